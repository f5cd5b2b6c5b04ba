# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_menu import (
    kernel_release,
    parse_environment,
    parse_menu,
    to_entries,
)

FIXTURES = Path(__file__).resolve().parents[4] / "fixtures/grub/debian12"

TWO_KERNELS = """
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
else
   set default="DEFAULT"
fi
menuentry 'Debian' --class os $menuentry_id_option 'simple' {
\tlinux\t/vmlinuz-6.12.1-amd64 root=/dev/vda2 ro quiet dyndbg="file a.c +p"
\tinitrd\t/initrd.img-6.12.1-amd64
}
submenu 'Advanced options' $menuentry_id_option 'advanced' {
\tmenuentry 'Debian, 6.12.1' $menuentry_id_option 'new' {
\t\tif [ x$grub_platform = xxen ]; then insmod xzio; fi
\t\tlinux\t/vmlinuz-6.12.1-amd64 root=/dev/vda2 ro quiet
\t}
\tmenuentry 'Debian, 6.1.0' $menuentry_id_option 'old' {
\t\tlinux\t/vmlinuz-6.1.0-amd64 root=/dev/vda2 ro quiet
\t}
\tmenuentry 'Debian, 6.1.0 (recovery mode)' $menuentry_id_option 'old-recovery' {
\t\tlinux\t/vmlinuz-6.1.0-amd64 root=/dev/vda2 ro single
\t}
}
menuentry 'Firmware' $menuentry_id_option 'uefi-firmware' {
\tfwsetup
}
"""

NEXT = [
    ("0", {}, "Debian"),
    ("1>1", {}, "Debian, 6.1.0"),
    ("advanced>old", {}, "Debian, 6.1.0"),
    ("Advanced options>Debian, 6.1.0", {}, "Debian, 6.1.0"),
    ("1", {}, "Debian, 6.12.1"),
    ("${saved_entry}", {"saved_entry": "advanced>old"}, "Debian, 6.1.0"),
    ("${saved_entry}", {}, "Debian"),
    ("0", {"next_entry": "advanced>old"}, "Debian, 6.1.0"),
    ("gone", {}, "Debian"),
    # A submenu that is there boots its first entry where what is named in it is gone.
    ("advanced>gone", {}, "Debian, 6.12.1"),
    ("advanced>old-recovery", {}, "Debian, 6.1.0 (recovery mode)"),
]


def test_a_configuration_that_debian_12_generated() -> None:
    menu = parse_menu((FIXTURES / "grub.cfg").read_text(), parse_environment((FIXTURES / "grubenv").read_text()))
    entries = to_entries(menu)
    assert [(entry.default, entry.rescue) for entry in entries] == [(True, False), (False, False), (False, True)]
    assert entries[0].args[1:] == (
        "ro",
        "console=tty0",
        "console=ttyS0,115200n8",
        "no_timer_check",
        "quiet",
        "mitigations=off",
    )
    assert entries[0].kernel.endswith("-amd64")
    assert entries[0].initrd == f"/boot/initrd.img-{entries[0].kernel}"
    assert not menu.uses_boot_loader_spec


@pytest.mark.parametrize(("default", "environment", "title"), NEXT)
def test_which_entry_boots_next(default: str, environment: dict[str, str], title: str) -> None:
    entries = to_entries(parse_menu(TWO_KERNELS.replace("DEFAULT", default), environment))
    assert [entry.title for entry in entries if entry.default] == [title]


def test_a_quoted_value_keeps_its_blanks() -> None:
    entries = to_entries(parse_menu(TWO_KERNELS, {}))
    assert entries[0].args[-1] == '"dyndbg=file a.c +p"'


def test_what_a_countdown_of_failed_boots_would_choose_only_counts_when_it_has_ended() -> None:
    countdown = """
if [ -n "${boot_counter}" -a "${boot_success}" = "0" ]; then
  if [ "${boot_counter}" = "0" -o "${boot_counter}" = "-1" ]; then
    set default=1
  else
    decrement boot_counter
  fi
fi
menuentry A { linux /k-1 }
menuentry B { linux /k-2 }
"""
    default = 'set default="${saved_entry}"'
    for environment, title in [({}, "A"), ({"boot_counter": "0", "boot_success": "0"}, "B")]:
        entries = to_entries(parse_menu(default + countdown, environment))
        assert [entry.title for entry in entries if entry.default] == [title]


def test_entries_that_a_condition_leaves_out_do_not_count() -> None:
    text = """
set default=Snapshots>B
menuentry Z { linux /k-9 z }
submenu Snapshots {
  if [ "$none" ]; then
    menuentry A { linux /k-1 }
  fi
  menuentry B { if [ x$grub_platform = xxen ]; then insmod xzio; fi; linux /k-2 ${extra_cmdline} a }
}
function f { menuentry C { linux /k-3 } }
"""
    entries = to_entries(parse_menu(text, {}))
    assert [(entry.title, entry.args, entry.default) for entry in entries] == [
        ("Z", ("z",), False),
        ("B", ("a",), True),
    ]


def test_another_system_may_boot_next() -> None:
    entries = to_entries(parse_menu(TWO_KERNELS.replace("DEFAULT", "uefi-firmware"), {}))
    assert len(entries) == 4
    assert not any(entry.default for entry in entries)


def test_what_is_for_recovery_is_known_by_its_id_whatever_its_arguments_are() -> None:
    text = """
menuentry 'Debian' $menuentry_id_option 'gnulinux-simple-1' { linux /vmlinuz-6.1.0 ro quiet }
menuentry 'Wartung' $menuentry_id_option 'gnulinux-6.1.0-recovery-1' { linux /vmlinuz-6.1.0 ro emergency nomodeset }
menuentry 'ZFS' ${menuentry_id_option} 'gnulinux-rpool/ROOT/x-6.1.0-recovery' { linux /vmlinuz-6.1.0 ro emergency }
"""
    assert [entry.rescue for entry in to_entries(parse_menu(text, {}))] == [False, True, True]


FORCE_PARTUUID = """
menuentry 'Ubuntu' {
  if [ "${initrdfail}" = 1 ]; then
    linux  /boot/vmlinuz-6.8.0-1021-aws root=PARTUUID=1 ro console=ttyS0
    initrd  /boot/initrd.img-6.8.0-1021-aws
  else
    linux  /boot/vmlinuz-6.8.0-1021-aws root=PARTUUID=1 ro console=ttyS0 panic=-1
  fi
  initrdfail
}
"""


@pytest.mark.parametrize(
    ("environment", "panic", "initrd"),
    [({}, ("panic=-1",), None), ({"initrdfail": "1"}, (), "/boot/initrd.img-6.8.0-1021-aws")],
)
def test_a_cloud_image_of_ubuntu_boots_without_an_initramfs_until_that_has_failed(
    environment: dict[str, str], panic: tuple[str, ...], initrd: str | None
) -> None:
    (entry,) = to_entries(parse_menu(FORCE_PARTUUID, environment))
    assert (entry.args[3:], entry.initrd) == (panic, initrd)


def test_a_kernel_behind_a_condition_that_only_the_boot_can_answer_is_listed() -> None:
    text = 'menuentry A { if [ "${machine}" = big ]; then linux /vmlinuz-6.1 a; initrd /i; fi }'
    assert [(entry.kernel, entry.args) for entry in to_entries(parse_menu(text, {}))] == [("6.1", ("a",))]


def test_variables_that_the_menu_sets_are_part_of_the_line() -> None:
    """TuneD's on hosts without boot loader specification entries, and those that people use in entries of theirs."""
    text = """
set tuned_params="isolcpus=2-3 nohz_full=2-3"
set nothing=""
menuentry A { linux /vmlinuz-6.1 quiet $tuned_params ${nothing} "x=$tuned_params" $vt_handoff; initrd /i $tuned_initrd }
menuentry B {
  set release=6.12
  linux ($root)/vmlinuz-$release root=/dev/$disk
  initrd /initrd-$release
}
"""
    first, second = to_entries(parse_menu(text, {"disk": "vda1"}))
    assert first.args == (*("quiet", "isolcpus=2-3", "nohz_full=2-3", '"x=isolcpus=2-3 nohz_full=2-3"', "$vt_handoff"),)
    assert first.initrd == "/i"
    assert (second.kernel, second.args, second.initrd) == ("6.12", ("root=/dev/vda1",), "/initrd-6.12")


def test_a_title_may_stand_behind_options() -> None:
    text = """
set default=mine
menuentry --class os --unrestricted 'First' { linux /vmlinuz-1 }
menuentry --class os --id=mine --users "" 'Mine' { linux /vmlinuz-2 }
"""
    entries = to_entries(parse_menu(text, {}))
    assert [(entry.title, entry.default) for entry in entries] == [("First", False), ("Mine", True)]


def test_a_backslash_in_an_environment_block_protects_the_character_behind_it() -> None:
    text = "# GRUB Environment Block\nkernelopts=a=x\\\\x2dy\nsaved_entry=1\n#####"
    assert parse_environment(text) == {"kernelopts": "a=x\\x2dy", "saved_entry": "1"}


def test_an_environment_block_with_its_padding() -> None:
    text = "# GRUB Environment Block\nsaved_entry=advanced>old\n" + "#" * 900
    assert parse_environment(text) == {"saved_entry": "advanced>old"}
    assert parse_environment("saved_entry=advanced\n") == {}


@pytest.mark.parametrize(
    ("path", "release"),
    [
        ("/boot/vmlinuz-6.1.0-28-amd64", "6.1.0-28-amd64"),
        ("/vmlinuz-linux", "linux"),
        ("/boot/bzImage", "bzImage"),
        ("/4098b3f6/6.12.6-200.fc41.x86_64/linux", "6.12.6-200.fc41.x86_64"),
        ("/boot/linux", "linux"),
    ],
)
def test_release_of_a_kernels_file_name(path: str, release: str) -> None:
    assert kernel_release(path) == release

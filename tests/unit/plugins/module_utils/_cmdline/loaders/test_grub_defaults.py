# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""SUSE and Arch: menus generated from ``/etc/default/grub`` alone, on recorded trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import find_loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.grub_defaults import (
    GrubDefaultsLoader,
    has_read_only_root,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import read_boot_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    RefusedError,
    ToolError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from tests.unit.plugins.grub_trees import GeneratedTree, GrubbyTree

RECORDED = ["opensuse-leap-15.5", "opensuse-leap-15.6", "opensuse-tumbleweed", "arch-2024", "arch-2025"]
ARGS = ("hugepagesz=1G", "hugepages=2", "intel_iommu=on")
DEFAULTS = "etc/default/grub"


@pytest.fixture(params=RECORDED)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> GeneratedTree:
    return GeneratedTree(tmp_path, f"grub/{request.param}")


@pytest.fixture
def leap(tmp_path: Path) -> GeneratedTree:
    return GeneratedTree(tmp_path, "grub/opensuse-leap-15.6")


@pytest.mark.parametrize(
    ("recorded", "kernels", "next_boot"),
    [
        ("opensuse-leap-15.5", ["5.14.21-150500.55.62", "5.14.21-150500.53"], "openSUSE Leap 15.5"),
        (
            "opensuse-leap-15.6",
            ["6.4.0-150600.23.33", "6.4.0-150600.21"],
            "openSUSE Leap 15.6, with Linux 6.4.0-150600.21-default",
        ),
        ("opensuse-tumbleweed", ["6.11.8-1", "6.11.7-1"], "openSUSE Tumbleweed"),
        ("arch-2024", ["linux", "linux-lts"], "Arch Linux"),
        ("arch-2025", ["linux"], "Arch Linux"),
    ],
)
def test_what_each_recorded_host_boots(tmp_path: Path, recorded: str, kernels: list[str], next_boot: str) -> None:
    host = GeneratedTree(tmp_path, f"grub/{recorded}")
    assert isinstance(find_loader(host.root), GrubDefaultsLoader)
    found = dict.fromkeys(entry.kernel.replace("-default", "") for entry in host.entries())
    assert list(found) == kernels
    assert host.next_boot().title == next_boot
    state = read_boot_state(host.root, Ledger())
    assert (state["bootloader"], state["reboot_required"]) == ("grub", False)
    assert not any(token.startswith("$") for entry in host.entries() for token in entry.args)


def test_recovery_entries_are_known_and_fallback_entries_are_not_taken_for_them(tmp_path: Path) -> None:
    leap = GeneratedTree(tmp_path / "leap", "grub/opensuse-leap-15.5")
    assert [entry.rescue for entry in leap.entries()] == [False, False, True, False, True]
    arch = GeneratedTree(tmp_path / "arch", "grub/arch-2024")
    assert not any(entry.rescue for entry in arch.entries())
    assert arch.entries()[2].initrd == "/initramfs-linux-fallback.img"


def test_every_entry_but_recovery_gets_them_behind_what_is_there(host: GeneratedTree) -> None:
    before = host.lines()
    assert host.put("hugepages", *ARGS).changed
    for entry in host.entries():
        assert " ".join(entry.args) == before[entry.title] + ("" if entry.rescue else " " + " ".join(ARGS))
    assert all(argument in host.shell_variable("GRUB_CMDLINE_LINUX_DEFAULT").split() for argument in ARGS)


def test_what_was_set_is_taken_away_without_a_trace(host: GeneratedTree) -> None:
    before = host.snapshot()
    host.put("iommu", "intel_iommu=on")
    host.put("hugepages", *ARGS[:2])
    host.put("iommu")
    host.put("hugepages")
    assert host.snapshot() == before


def test_the_second_run_changes_nothing_and_starts_no_tool(host: GeneratedTree) -> None:
    host.put("iommu", "intel_iommu=on")
    before, runs = host.snapshot(), host.runs
    assert not host.put("iommu", "intel_iommu=on").changed
    assert (host.snapshot(), host.runs) == (before, runs)


def test_check_mode_writes_nothing_and_predicts_exactly(host: GeneratedTree) -> None:
    before = host.snapshot()
    predicted = host.put("iommu", "intel_iommu=on", check_mode=True)
    assert (host.snapshot(), host.runs) == (before, 0)
    done = host.put("iommu", "intel_iommu=on")
    assert (predicted.changed, predicted.diff, predicted.state) == (done.changed, done.diff, done.state)


@pytest.mark.parametrize("failure", ["exit status", "empty", "truncated", "other arguments"])
def test_lesson_3_a_tool_that_fails_leaves_everything_as_it_was(host: GeneratedTree, failure: str) -> None:
    for args in ((), ("intel_iommu=on",)):
        host.failure = None
        host.put("iommu", *args)
        before = host.snapshot()
        host.failure = failure
        with pytest.raises(ToolError):
            host.put("iommu", "intel_iommu=on", "iommu=pt")
        assert host.snapshot() == before


def test_the_message_names_the_hosts_own_command(leap: GeneratedTree) -> None:
    leap.change(DEFAULTS, "quiet", "verbose")
    with pytest.raises(ToolError, match=r"grub2-mkconfig -o /boot/grub2/grub\.cfg not run since"):
        leap.put("iommu", "intel_iommu=on")


def test_a_value_that_a_command_computes_is_refused(leap: GeneratedTree) -> None:
    leap.change(DEFAULTS, 'GRUB_CMDLINE_LINUX_DEFAULT="', 'GRUB_CMDLINE_LINUX_DEFAULT="$(cat /x) ')
    with pytest.raises(RefusedError, match="GRUB_CMDLINE_LINUX_DEFAULT is computed"):
        leap.put("iommu", "intel_iommu=on", check_mode=True)


@pytest.mark.parametrize(
    ("fstab", "tool", "read_only"),
    [
        ("LABEL=ROOT / btrfs ro 0 0\n", True, True),
        ("# x / btrfs rw\nUUID=1\t/\tbtrfs\tsubvol=@,ro\t0 0\n", True, True),
        ("LABEL=ROOT / btrfs rw,noatime 0 0\nLABEL=A /opt btrfs ro 0 0\n", True, False),
        ("LABEL=ROOT / btrfs ro 0 0\n", False, False),
        ("", True, False),
    ],
)
def test_transactional_systems(leap: GeneratedTree, fstab: str, tool: bool, read_only: bool) -> None:
    leap.write("etc/fstab", fstab)
    if tool:
        leap.write("usr/sbin/transactional-update", "")
    assert has_read_only_root(leap.root) is read_only


def test_a_transactional_system_is_read_and_refused_with_what_to_do(leap: GeneratedTree) -> None:
    leap.write("etc/fstab", "LABEL=ROOT / btrfs ro 0 0\n")
    leap.write("usr/sbin/transactional-update", "")
    before = leap.snapshot()
    with pytest.raises(RefusedError, match="transactional-update shell"):
        leap.put("iommu", "intel_iommu=on")
    assert leap.snapshot() == before
    assert not leap.put("iommu").changed


@pytest.mark.parametrize("loader_type", ["grub2-bls", "systemd-boot"])
def test_entries_of_sdbootutil_are_refused_with_what_to_do(leap: GeneratedTree, loader_type: str) -> None:
    leap.change("etc/sysconfig/bootloader", "grub2-efi", loader_type)
    with pytest.raises(HostStateError, match=f"{loader_type}.*sdbootutil update-all-entries"):
        find_loader(leap.root)


def test_enterprise_linux_without_blscfg_is_configured_the_same_way(tmp_path: Path) -> None:
    tree = GrubbyTree(tmp_path, "grub_bls/almalinux-9.2")
    tree.change("boot/grub2/grub.cfg", "\nblscfg\n", "\nmenuentry A { linux /vmlinuz-1 root=/dev/a ro }\n")
    tree.write("usr/sbin/grub2-mkconfig", "if test -f ${sysconfdir}/default/grub ; then")
    assert isinstance(find_loader(tree.root), GrubDefaultsLoader)
    (carrier,) = tree.put("iommu", "intel_iommu=on", check_mode=True).diff[1:]
    assert 'GRUB_CMDLINE_LINUX_DEFAULT="intel_iommu=on"' in carrier["after"]


def test_a_generator_that_reads_drop_ins_is_told_by_its_text(leap: GeneratedTree) -> None:
    (leap.base / "etc/default/grub.d").mkdir()
    assert isinstance(find_loader(leap.root), GrubDefaultsLoader)
    leap.write(leap.tool, "for x in ${sysconfdir}/default/grub.d/*.cfg ; do")
    assert not isinstance(find_loader(leap.root), GrubDefaultsLoader)


def test_a_menu_that_a_person_wrote_is_not_replaced(leap: GeneratedTree) -> None:
    (leap.base / DEFAULTS).unlink()
    leap.write("boot/grub2/grub.cfg", "menuentry Mine { linux /vmlinuz a }\n")
    with pytest.raises(HostStateError, match="not made by a generator"):
        find_loader(leap.root)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several boot loaders on one machine are told apart by what started the running kernel, never by their order."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import (
    BOOTLOADERS,
    Known,
    choose,
    find_loader,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.started_by import (
    GRUB,
    REFIND,
    SYSTEMD_BOOT,
    UNIFIED_KERNEL,
    Started,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import read_boot_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.state import read_host
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from tests.unit.plugins.boot_trees import RECORDED
from tests.unit.plugins.efi_variables import MAC, file_path, load_option, set_boot_current, set_loader_variable
from tests.unit.plugins.host_tree import HostTree


def nothing(root: Root, looked_for: list[str]) -> Loader | None:
    raise AssertionError("the decision reads nothing")


def no_program(argv: Sequence[str], cwd: str | None = None) -> CommandResult:
    raise AssertionError(f"{argv} was started")


BY_GRUB = Known("grub", nothing, frozenset({GRUB}))
BY_SYSTEMD_BOOT = Known("systemd-boot", nothing, frozenset({SYSTEMD_BOOT}))
BY_STUB = Known("unified", nothing, frozenset({UNIFIED_KERNEL}))
OSTREE = Known("ostree", nothing, drives=frozenset({"grub", "systemd-boot"}))
BY_REFIND = Known("rEFInd", nothing, frozenset({REFIND}), supported=False)
ALL = (BY_GRUB, BY_REFIND, BY_SYSTEMD_BOOT, BY_STUB, OSTREE)


@pytest.mark.parametrize(
    ("found", "program", "certain", "chosen"),
    [
        ([BY_GRUB, BY_SYSTEMD_BOOT], SYSTEMD_BOOT, True, [BY_SYSTEMD_BOOT]),
        ([BY_GRUB, BY_SYSTEMD_BOOT], GRUB, False, [BY_GRUB]),
        ([BY_GRUB, BY_SYSTEMD_BOOT, BY_STUB], UNIFIED_KERNEL, True, [BY_STUB]),
        ([BY_GRUB, BY_SYSTEMD_BOOT], None, False, [BY_GRUB, BY_SYSTEMD_BOOT]),
        ([BY_GRUB], None, False, [BY_GRUB]),
        ([BY_GRUB], SYSTEMD_BOOT, False, [BY_GRUB]),
        ([BY_GRUB], SYSTEMD_BOOT, True, []),
        ([BY_REFIND], GRUB, False, []),
        ([BY_REFIND], None, False, [BY_REFIND]),
        ([BY_REFIND, BY_SYSTEMD_BOOT], GRUB, False, [BY_SYSTEMD_BOOT]),
        ([OSTREE, BY_GRUB], GRUB, True, [OSTREE]),
        ([OSTREE, BY_SYSTEMD_BOOT], None, False, [OSTREE]),
    ],
)
def test_what_started_the_kernel_decides(
    found: list[Known], program: str | None, certain: bool, chosen: list[Known]
) -> None:
    assert choose(found, Started(frozenset({program} if program else ()), "", certain)) == chosen


@given(st.sets(st.sampled_from(ALL)), st.sets(st.sampled_from([GRUB, SYSTEMD_BOOT, UNIFIED_KERNEL])), st.booleans())
def test_the_order_makes_no_difference(found: set[Known], programs: set[str], certain: bool) -> None:
    started = Started(frozenset(programs), "", certain)
    answers = [frozenset(choose(order, started)) for order in itertools.permutations(found)]
    assert len(set(answers)) == 1
    assert answers[0] <= found


def grub_tree(base: Path, line: str = "BOOT_IMAGE=/boot/vmlinuz-6.12 ro") -> HostTree:
    tree = HostTree(base)
    for path in ("/etc/default/grub", "/usr/sbin/grub-mkconfig"):
        tree.write(path, "")
    tree.write("/boot/grub/grub.cfg", "menuentry 'Debian' {\n\tlinux /boot/vmlinuz-6.12 ro\n}\n")
    tree.write("/proc/cmdline", f"{line}\n")
    return tree


def test_a_captured_tree_without_variables_and_without_a_line_is_enough(tmp_path: Path) -> None:
    tree = grub_tree(tmp_path)
    (tmp_path / "proc/cmdline").unlink()
    assert find_loader(tree.root).name == "grub"


def test_what_is_left_over_of_another_loader_does_not_count(tmp_path: Path) -> None:
    tree = grub_tree(tmp_path)
    tree.write("/boot/refind_linux.conf", "")
    tree.write("/etc/lilo.conf", "")
    tree.write("/sbin/lilo", "")
    assert find_loader(tree.root).name == "grub"


def test_what_is_left_over_is_not_blamed_where_grub_is_not_recognised(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.write("/proc/cmdline", "BOOT_IMAGE=/boot/vmlinuz-6.12 ro")
    tree.write("/boot/refind_linux.conf", "")
    with pytest.raises(HostStateError, match=r"^No supported boot loader .*no /boot/grub/grub\.cfg.*BOOT_IMAGE=/boot"):
        find_loader(tree.root)


def test_nothing_known_is_refused_with_everything_that_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(HostStateError) as error:
        find_loader(Root(str(tmp_path)))
    for word in ("/boot/grub/grub.cfg", "rEFInd", "Limine", "LILO", "network", "LoaderInfo", "BOOT_IMAGE="):
        assert word in str(error.value)


def test_grub_left_on_the_disk_of_a_machine_that_another_program_boots_is_refused(tmp_path: Path) -> None:
    tree = grub_tree(tmp_path, "initrd=\\x root=/dev/vda2")
    set_loader_variable(tmp_path, "LoaderInfo", "systemd-boot 257.8")
    with pytest.raises(HostStateError, match=r"started by systemd-boot .*LoaderInfo.*is grub.*left alone"):
        find_loader(tree.root)
    with pytest.raises(InputError, match=r"bootloader=grub.*LoaderInfo says 'systemd-boot 257\.8'"):
        find_loader(tree.root, "grub")


def test_an_unclear_case_names_the_option_that_decides_it(tmp_path: Path) -> None:
    tree = grub_tree(tmp_path, "root=/dev/vda2")
    tree.write("/boot/refind_linux.conf", "")
    with pytest.raises(HostStateError, match=r"unclear whether grub or rEFInd.*bootloader: grub; of roles: kernel_arg"):
        find_loader(tree.root)
    assert find_loader(tree.root, "grub").name == "grub"
    assert read_boot_state(tree.root, Ledger())["bootloader"] is None
    assert read_boot_state(tree.root, Ledger(), "grub")["bootloader"] == "grub"
    assert read_host(tree.root, no_program, {}, bootloader="grub")["boot"]["bootloader"] == "grub"


def test_a_recorded_tree_of_ubuntu_with_a_kernel_chosen_in_a_submenu() -> None:
    """A /boot of its own, recovery entries, and an older kernel saved as the default by its ids."""
    state = read_boot_state(Root(str(RECORDED / "grub/ubuntu-24.04")), Ledger())
    assert (state["bootloader"], state["reboot_required"], state["obstacle"]) == ("grub", False, None)
    newer, older = "6.8.0-63-generic", "6.8.0-60-generic"
    assert [(entry["kernel"], entry["rescue"], entry["default"]) for entry in state["entries"]] == [
        (newer, False, False),
        (newer, False, False),
        (newer, True, False),
        (older, False, True),
        (older, True, False),
    ]
    assert state["next_boot"][-3:] == ["quiet", "splash", "$vt_handoff"]


def test_a_recorded_cloud_image_that_boots_without_an_initramfs_first(tmp_path: Path) -> None:
    """GRUB_FORCE_PARTUUID: each entry has a line for the first try and one for after it has failed."""
    shutil.copytree(RECORDED / "grub/ubuntu-22.04-cloud", tmp_path, dirs_exist_ok=True)
    state = read_boot_state(Root(str(tmp_path)), Ledger())
    assert (state["bootloader"], state["reboot_required"], state["obstacle"]) == ("grub", False, None)
    assert [(entry["rescue"], entry["default"], entry["initrd"] is None) for entry in state["entries"]] == [
        (False, True, True),
        (False, False, True),
        (True, False, False),
        (False, False, True),
        (True, False, False),
    ]
    assert state["next_boot"][-1] == "panic=-1"
    (tmp_path / "boot/grub/grubenv").write_text("# GRUB Environment Block\ninitrdfail=1\n####")
    assert [part["parameter"] for part in read_boot_state(Root(str(tmp_path)), Ledger())["differs"]] == ["panic"]


def test_what_grub_keeps_outside_of_every_file_is_refused(tmp_path: Path) -> None:
    tree = grub_tree(tmp_path)
    configuration = tmp_path / "boot/grub/grub.cfg"
    block = "# GRUB Environment Block\nenv_block=512+1\n####"
    tree.write("/boot/grub/grubenv", block)
    # A GRUB that does not look there has all in the file.
    assert find_loader(tree.root).name == "grub"
    configuration.write_text(
        'if [ "${env_block}" ]; then\n  load_env -f "${env_block}"\nfi\n' + configuration.read_text()
    )
    with pytest.raises(HostStateError, match=r"grubenv says env_block=512\+1.*unset env_block"):
        find_loader(tree.root)
    tree.write("/boot/grub/grubenv", "# GRUB Environment Block\nsaved_entry=0\n####")
    assert find_loader(tree.root).name == "grub"


def test_every_name_of_the_option_is_of_a_loader(tmp_path: Path) -> None:
    assert BOOTLOADERS[0] == "auto"
    assert find_loader(grub_tree(tmp_path).root, "grub").name in BOOTLOADERS


@pytest.mark.parametrize(
    ("files", "line", "words"),
    [
        ({"/boot/refind_linux.conf": ""}, "root=/dev/sda2", r"rEFInd.*by hand.*refind_linux\.conf"),
        ({"/boot/efi/EFI/refind/refind.conf": ""}, "initrd=\\i", r"rEFInd \(/boot/efi/EFI/refind/refind\.conf"),
        ({"/boot/limine.conf": ""}, "root=/dev/sda2", r"Limine.*'cmdline'.*/boot/limine\.conf"),
        ({"/efi/limine/limine.cfg": ""}, "root=/dev/sda2", r"Limine.*CMDLINE"),
        ({"/etc/lilo.conf": "", "/sbin/lilo": ""}, "BOOT_IMAGE=Linux root=801", r"LILO.*run lilo"),
        (
            {},
            "root=/dev/nfs nfsroot=10.0.0.1:/srv",
            r"booted by the network .*root=/dev/nfs.*from the server",
        ),
    ],
)
def test_what_is_not_supported_is_refused_with_advice(
    tmp_path: Path, files: dict[str, str], line: str, words: str
) -> None:
    tree = HostTree(tmp_path)
    tree.write("/proc/cmdline", line)
    for path, text in files.items():
        tree.write(path, text)
    with pytest.raises(HostStateError, match=words):
        find_loader(tree.root)


def test_a_kernel_that_the_firmware_starts_itself_is_refused_although_grub_is_there(tmp_path: Path) -> None:
    tree = grub_tree(tmp_path, "initrd=\\initramfs-linux.img root=/dev/sda2")
    set_boot_current(tmp_path, load_option(file_path("\\vmlinuz-linux"), description="Arch"))
    with pytest.raises(HostStateError, match=r"firmware without a boot loader .*'Arch'.*efibootmgr"):
        find_loader(tree.root)


def test_a_machine_that_started_over_the_network_without_a_kernel_of_its_own(tmp_path: Path) -> None:
    tree = grub_tree(tmp_path, "BOOT_IMAGE=/images/vmlinuz root=/dev/sda2")
    tree.write("/proc/sys/kernel/osrelease", "6.1.0-40-amd64\n")
    set_boot_current(tmp_path, load_option(MAC, description="UEFI PXEv4"))
    with pytest.raises(HostStateError, match=r"'UEFI PXEv4' over the network.*from the server"):
        find_loader(tree.root)


@pytest.mark.parametrize(("info", "advice"), [("rEFInd 0.14.2", "refind_linux.conf"), ("Limine 9.2.0", "cmdline")])
def test_a_loader_on_an_esp_that_is_not_mounted_is_known_by_its_variable(
    tmp_path: Path, info: str, advice: str
) -> None:
    set_loader_variable(tmp_path, "LoaderInfo", info)
    with pytest.raises(HostStateError, match=advice):
        find_loader(Root(str(tmp_path)))

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.started_by import (
    EFI_STUB,
    GRUB,
    LILO,
    LIMINE,
    NETWORK,
    REFIND,
    SYSTEMD_BOOT,
    U_BOOT,
    UNIFIED_KERNEL,
    Started,
    read_started,
)
from tests.unit.plugins.efi_variables import (
    MAC,
    file_path,
    hard_drive,
    load_option,
    set_boot_current,
    set_loader_variable,
)
from tests.unit.plugins.host_tree import HostTree

ESP = "c1a5d0de-0001-4aaa-8bbb-0123456789ab"
FROM_GRUB = "BOOT_IMAGE=/boot/vmlinuz-6.12.48+deb13-amd64 root=/dev/vda2 ro quiet"
PLAIN = "root=/dev/vda2 ro quiet"


def started(
    base: Path,
    line: str = PLAIN,
    *,
    loader: str | None = None,
    stub: str | None = None,
    path: str | None = None,
    **files: str,
) -> Started:
    tree = HostTree(base)
    tree.write("/proc/cmdline", f"{line}\n")
    for name, value in (("LoaderInfo", loader), ("StubInfo", stub)):
        if value is not None:
            set_loader_variable(base, name, value)
    if path is not None:
        set_boot_current(base, load_option(hard_drive(ESP), file_path(path), description="Linux"))
    for name, text in files.items():
        tree.write(name, text)
    return read_started(tree.root)


@pytest.mark.parametrize(
    ("loader", "stub", "path", "line", "programs"),
    [
        ("systemd-boot 257.8", None, "\\EFI\\BOOT\\BOOTX64.EFI", f"initrd=\\x\\initrd {PLAIN}", {SYSTEMD_BOOT}),
        ("GRUB 2.12", None, "\\EFI\\fedora\\shimx64.efi", "BOOT_IMAGE=(hd0,gpt2)/vmlinuz-6.14 ro", {GRUB}),
        ("systemd-boot 255", "systemd-stub 255", "\\EFI\\systemd\\systemd-bootx64.efi", PLAIN, {UNIFIED_KERNEL}),
        (None, "systemd-stub 257", "\\EFI\\Linux\\arch-linux.efi", PLAIN, {UNIFIED_KERNEL}),
        ("rEFInd 0.14.2", None, None, PLAIN, {REFIND}),
        ("Limine 9.2.0", None, None, PLAIN, {LIMINE}),
        ("NewLoader 1.0", None, None, PLAIN, {"NewLoader 1.0"}),
        (None, None, "\\vmlinuz-linux", f"initrd=\\initramfs-linux.img {PLAIN}", {EFI_STUB}),
    ],
)
def test_what_a_program_says_of_itself_is_certain(
    tmp_path: Path, loader: str | None, stub: str | None, path: str | None, line: str, programs: set[str]
) -> None:
    found = started(tmp_path, line, loader=loader, stub=stub, path=path)
    assert (found.programs, found.certain) == (frozenset(programs), True)


@pytest.mark.parametrize(
    ("path", "line", "programs"),
    [
        ("\\EFI\\debian\\shimx64.efi", PLAIN, {GRUB}),
        ("\\EFI\\opensuse\\grubx64.efi", PLAIN, {GRUB}),
        ("\\EFI\\Linux\\6.12-unified.efi", PLAIN, {UNIFIED_KERNEL}),
        ("\\EFI\\refind\\refind_x64.efi", PLAIN, {REFIND}),
        (None, FROM_GRUB, {GRUB}),
        (None, "BOOT_IMAGE=Linux ro root=801", {LILO}),
        (None, f"initrd=\\m\\initrd {PLAIN}", {SYSTEMD_BOOT, REFIND, EFI_STUB}),
        (None, PLAIN, set()),
        ("\\EFI\\BOOT\\BOOTX64.EFI", PLAIN, set()),
        ("\\EFI\\BOOT\\BOOTX64.EFI", FROM_GRUB, {GRUB}),
    ],
)
def test_other_traces_are_hints(tmp_path: Path, path: str | None, line: str, programs: set[str]) -> None:
    found = started(tmp_path, line, path=path)
    assert (found.programs, found.certain) == (frozenset(programs), False)


@pytest.mark.parametrize("menu", ["rEFInd 0.14.2", "systemd-boot 254.5"])
def test_a_boot_menu_that_handed_over_to_grub_is_not_what_carries_the_line(tmp_path: Path, menu: str) -> None:
    assert started(tmp_path, FROM_GRUB, loader=menu).by(GRUB)


def test_an_argument_that_somebody_copied_from_a_line_of_grub_is_no_trace_of_it(tmp_path: Path) -> None:
    found = started(tmp_path, FROM_GRUB, loader="systemd-boot 257", **{"/etc/kernel/cmdline": FROM_GRUB})
    assert found.by(SYSTEMD_BOOT)


def test_u_boot_leaves_its_version_in_the_device_tree(tmp_path: Path) -> None:
    assert started(tmp_path, **{"/proc/device-tree/chosen/u-boot,version": "2025.01\0"}).by(U_BOOT)


@pytest.mark.parametrize(
    "line",
    [
        "BOOT_IMAGE=vmlinuz initrd=initrd.img root=/dev/nfs nfsroot=10.0.0.1:/srv/root ip=dhcp",
        "initrd=initrd.magic root=live:http://10.0.0.1/squashfs.img ip=dhcp",
        "BOOT_IMAGE=debian/linux boot=live fetch=http://10.0.0.1/filesystem.squashfs BOOTIF=01-52-54-00-aa-00-10",
    ],
)
def test_a_root_from_the_network_is_a_start_from_the_network(tmp_path: Path, line: str) -> None:
    found = started(tmp_path, line)
    assert found.by(NETWORK)
    assert found.certain


def test_a_root_over_nfs_that_the_local_boot_loader_knows_of_is_started_locally(tmp_path: Path) -> None:
    menu = "linux /vmlinuz-6.12 root=/dev/nfs nfsroot=10.0.0.1:/srv/root"
    line = "BOOT_IMAGE=/vmlinuz-6.12 root=/dev/nfs nfsroot=10.0.0.1:/srv/root"
    assert started(tmp_path, line, **{"/boot/grub/grub.cfg": menu}).by(GRUB)


def test_an_ip_address_given_on_the_line_is_no_start_from_the_network(tmp_path: Path) -> None:
    assert started(tmp_path, f"{FROM_GRUB} ip=dhcp rd.neednet=1").by(GRUB)


@pytest.mark.parametrize(("kernel", "programs"), [("6.12.48+deb13-amd64", {GRUB}), ("6.1.0-1-amd64", {NETWORK})])
def test_a_start_over_the_network_that_ends_on_the_own_disk_is_a_local_one(
    tmp_path: Path, kernel: str, programs: set[str]
) -> None:
    set_boot_current(tmp_path, load_option(MAC, description="UEFI PXEv4"))
    found = started(
        tmp_path,
        FROM_GRUB,
        **{"/proc/sys/kernel/osrelease": "6.12.48+deb13-amd64\n", f"/boot/vmlinuz-{kernel}": ""},
    )
    assert found.programs == programs

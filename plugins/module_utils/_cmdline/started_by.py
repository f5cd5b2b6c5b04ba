# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which program started the running kernel, by the traces that it left. What is installed beside it says nothing:
GRUB often stays on the disk when systemd-boot has taken over, and the other way round."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.firmware import (
    BootOption,
    Firmware,
    read_firmware,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import split
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

GRUB = "GRUB"
SYSTEMD_BOOT = "systemd-boot"
UNIFIED_KERNEL = "a unified kernel image"
EFI_STUB = "the firmware without a boot loader"
REFIND = "rEFInd"
LIMINE = "Limine"
LILO = "LILO"
U_BOOT = "U-Boot"
NETWORK = "the network"

# How what these programs write into LoaderInfo begins; a version follows.
_LOADER_INFO: t.Final[t.Mapping[str, str]] = {
    "systemd-boot": SYSTEMD_BOOT,
    "GRUB": GRUB,
    "rEFInd": REFIND,
    "Limine": LIMINE,
}
# How the file names begin under which distributions put these programs on the ESP.
_EFI_FILES: t.Final[t.Mapping[str, str]] = {
    "grub": GRUB,
    "shim": GRUB,
    "systemd-boot": SYSTEMD_BOOT,
    "refind": REFIND,
    "limine": LIMINE,
}
_KERNEL_FILES = ("vmlinuz", "bzimage")

# Only on the line of a kernel whose root file system or installer image comes over the network (dracut.cmdline(7),
# Documentation/admin-guide/nfs/nfsroot.rst, live-boot(7)), and what PXELINUX adds (IPAPPEND 2).
_NETWORK_ARGUMENTS = (
    *("nfsroot=", "root=/dev/nfs", "root=nfs", "root=dhcp", "root=live:http", "root=live:nfs", "root=nbd:"),
    *("root=iscsi:", "netboot=", "fetch=", "BOOTIF="),
)
# Where an installed system keeps the lines of its own entries.
_LOCAL_CONFIGURATIONS = (
    *("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/grub2/grubenv", "/etc/default/grub"),
    *("/etc/kernel/cmdline", "/boot/extlinux/extlinux.conf"),
)
_LOCAL_ENTRIES = ("/boot/loader/entries", "/efi/loader/entries", "/boot/efi/loader/entries")
_DEVICE_TREE_U_BOOT = "/proc/device-tree/chosen/u-boot,version"


@dataclasses.dataclass(frozen=True)
class Started:
    """``programs`` that can have started the running kernel; empty where nothing tells.

    ``certain``: the program itself said so, and a loader that does not fit is not what boots this machine.
    Otherwise it only decides between several that are installed. ``evidence`` are the words for people.
    """

    programs: frozenset[str]
    evidence: str
    certain: bool = False

    def by(self, program: str) -> bool:
        """Whether it was this program and no other."""
        return self.programs == {program}


def read_started(root: Root) -> Started:
    firmware = read_firmware(root)
    # What stands in a configuration was written there by somebody, often copied from a running line.
    line = [token for token in split(root.read_text("/proc/cmdline") or "") if not _is_copied(root, token)]
    network = _network(root, firmware, line)
    return network or tell(firmware, line, root.exists(_DEVICE_TREE_U_BOOT))


def tell(firmware: Firmware, line: t.Sequence[str], u_boot: bool = False) -> Started:
    """From what the programs say of themselves, then from what the firmware started, then from the line."""
    return (
        _from_variables(firmware, line)
        or (_from_boot_option(firmware.current) if firmware.current else None)
        or _from_line(line)
        or (Started(frozenset({U_BOOT}), f"{_DEVICE_TREE_U_BOOT} is there") if u_boot and not firmware.efi else None)
        or Started(
            frozenset(),
            "neither the EFI variables (StubInfo, LoaderInfo, BootCurrent) nor /proc/cmdline (BOOT_IMAGE=, initrd=) "
            "say what started the running kernel",
        )
    )


def _from_variables(firmware: Firmware, line: t.Sequence[str]) -> Started | None:
    if firmware.stub is not None:
        return Started(frozenset({UNIFIED_KERNEL}), f"the EFI variable StubInfo says '{firmware.stub}'", certain=True)
    if firmware.loader is None:
        return None
    evidence = f"the EFI variable LoaderInfo says '{firmware.loader}'"
    name = next((name for start, name in _LOADER_INFO.items() if firmware.loader.startswith(start)), firmware.loader)
    last = _from_line(line)
    if name != GRUB and last is not None and last.by(GRUB):
        # A boot menu that hands over to GRUB has written the variable before it.
        return Started(last.programs, f"{evidence}, but {last.evidence}, which GRUB adds", certain=True)
    return Started(frozenset({name}), evidence, certain=True)


def _from_boot_option(option: BootOption) -> Started | None:
    path = (option.image or option.path or "").lower()
    file = path.rpartition("/")[2]
    evidence = f"the firmware started Boot{option.number:04X} '{option.description}' ({option.image or option.path})"
    if "/efi/linux/" in path:
        return Started(frozenset({UNIFIED_KERNEL}), evidence)
    if file.startswith(_KERNEL_FILES):
        return Started(frozenset({EFI_STUB}), evidence, certain=True)
    program = next((program for start, program in _EFI_FILES.items() if file.startswith(start)), None)
    return Started(frozenset({program}), evidence) if program else None


def _from_line(line: t.Sequence[str]) -> Started | None:
    for token in line:
        name, _equals, value = token.strip('"').partition("=")
        if name == "BOOT_IMAGE":
            # GRUB gives the path, LILO the label of the image.
            program = GRUB if value.startswith(("/", "(")) else LILO
            return Started(frozenset({program}), f"/proc/cmdline has '{token}'")
        if name == "initrd" and "\\" in value:
            return Started(frozenset({SYSTEMD_BOOT, REFIND, EFI_STUB}), f"/proc/cmdline has '{token}'")
    return None


def _network(root: Root, firmware: Firmware, line: t.Sequence[str]) -> Started | None:
    foreign = next((token for token in line if token.startswith(_NETWORK_ARGUMENTS)), None)
    if foreign is not None:
        evidence = f"/proc/cmdline has '{foreign}', which is in no boot configuration on this machine"
        return Started(frozenset({NETWORK}), evidence, certain=True)
    release = root.read_word("/proc/sys/kernel/osrelease")
    if firmware.current is None or not firmware.current.network or release is None:
        return None
    # Provisioning servers let a machine start from the network and send it on to its own disk.
    if any(name.endswith(f"-{release}") for name in root.listdir("/boot")):
        return None
    evidence = (
        f"the firmware started '{firmware.current.description}' over the network and /boot has no kernel {release}"
    )
    return Started(frozenset({NETWORK}), evidence, certain=True)


def _is_copied(root: Root, token: str) -> bool:
    if not token.startswith((*_NETWORK_ARGUMENTS, "BOOT_IMAGE=")):
        return False
    entries = (f"{directory}/{name}" for directory in _LOCAL_ENTRIES for name in root.listdir(directory))
    return any(token in (root.read_text(path) or "") for path in (*_LOCAL_CONFIGURATIONS, *entries))

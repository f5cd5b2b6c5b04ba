# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Boot loaders that are recognised and left alone, each with advice that a person can follow."""

from __future__ import annotations

import re

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Unsupported
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.started_by import (
    EFI_STUB,
    LIMINE,
    NETWORK,
    REFIND,
    read_started,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, first_existing

_ESPS = ("/boot", "/boot/efi", "/efi")
_REFIND_FILES = (
    "/boot/refind_linux.conf",
    *(f"{esp}/EFI/{directory}/refind.conf" for esp in _ESPS for directory in ("refind", "BOOT")),
)
# Up to version 8 the file was called limine.cfg (Limine's CONFIG.md and ChangeLog).
_LIMINE_FILES = tuple(
    f"{directory}/{name}"
    for esp in _ESPS
    for directory in (esp, f"{esp}/limine", f"{esp}/boot", f"{esp}/boot/limine", f"{esp}/EFI/limine", f"{esp}/EFI/BOOT")
    for name in ("limine.conf", "limine.cfg")
)
_SUSE_SETTINGS = "/etc/sysconfig/bootloader"
# SUSE's own record of what boots the machine. With these two, sdbootutil makes the entries, one for each snapshot.
_SDBOOTUTIL = re.compile(r"""(?m)^[ \t]*LOADER_TYPE=["']?(grub2-bls|systemd-boot)\b""")
_LILO_CONFIGURATION = "/etc/lilo.conf"
_LILO_TOOLS = ("/sbin/lilo", "/usr/sbin/lilo")


def detect_refind(root: Root, looked_for: list[str]) -> Unsupported | None:
    started = read_started(root)
    path = first_existing(root, _REFIND_FILES)
    if path is None and not started.by(REFIND):
        looked_for.append(f"rEFInd: no {_REFIND_FILES[0]}, no refind.conf on the ESP")
        return None
    return Unsupported(
        "rEFInd",
        f"{path} is there" if path else started.evidence,
        "Add the arguments by hand to every line of /boot/refind_linux.conf that boots normally (each line is a title "
        "and the kernel's command line, both in quotes), or to the 'options' line of a stanza in refind.conf",
    )


def detect_limine(root: Root, looked_for: list[str]) -> Unsupported | None:
    started = read_started(root)
    path = first_existing(root, _LIMINE_FILES)
    if path is None and not started.by(LIMINE):
        looked_for.append("Limine: no limine.conf or limine.cfg in /boot or on the ESP")
        return None
    return Unsupported(
        "Limine",
        f"{path} is there" if path else started.evidence,
        "Add the arguments by hand to the 'cmdline' (before version 8: CMDLINE) of every entry in "
        f"{path or 'limine.conf'}; where a tool of the distribution writes that file, to the tool's own configuration "
        "(limine-entry-tool: KERNEL_CMDLINE in /etc/default/limine)",
    )


def detect_sdbootutil(root: Root, looked_for: list[str]) -> Unsupported | None:
    found = _SDBOOTUTIL.search(root.read_text(_SUSE_SETTINGS) or "")
    if found is None:
        looked_for.append(f"sdbootutil: no LOADER_TYPE of grub2-bls or systemd-boot in {_SUSE_SETTINGS}")
        return None
    return Unsupported(
        "sdbootutil",
        f"{_SUSE_SETTINGS} says LOADER_TYPE={found.group(1)}",
        "Add the arguments by hand to /etc/kernel/cmdline and run 'sdbootutil update-all-entries'",
    )


def detect_lilo(root: Root, looked_for: list[str]) -> Unsupported | None:
    if not root.exists(_LILO_CONFIGURATION) or first_existing(root, _LILO_TOOLS) is None:
        looked_for.append(f"LILO: no {_LILO_CONFIGURATION} with {_LILO_TOOLS[0]}")
        return None
    return Unsupported(
        "LILO",
        f"{_LILO_CONFIGURATION} and the program lilo are there",
        f"Add the arguments by hand to 'append' in {_LILO_CONFIGURATION} and run lilo, which writes the map that the "
        "machine boots from",
    )


def detect_network(root: Root, looked_for: list[str]) -> Unsupported | None:
    started = read_started(root)
    if not started.by(NETWORK):
        looked_for.append("a start from the network: no trace of one")
        return None
    return Unsupported(
        "the network",
        started.evidence,
        "The command line comes from the server (PXE, iPXE, HTTP boot): add the arguments there, in the boot "
        "configuration of this machine",
    )


def detect_efi_stub(root: Root, looked_for: list[str]) -> Unsupported | None:
    started = read_started(root)
    if not started.by(EFI_STUB):
        looked_for.append("a kernel that the firmware starts itself: BootCurrent names none")
        return None
    return Unsupported(
        "the firmware without a boot loader",
        started.evidence,
        "The command line stands in the firmware's boot entry: create one with the arguments added (efibootmgr "
        "--create --unicode '...'), or install a boot loader",
    )

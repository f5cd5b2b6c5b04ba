# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Whether the root file system is encrypted, and whether what unlocks it measures what we change.

Sources: the LUKS2 on-disk format (header, JSON area, tokens), systemd-cryptenroll(1), clevis-encrypt-tpm2(1), and the
registry of PCRs at uapi-group.org: 4 and 8 see what the boot loader runs and is told, 9 the initramfs, 11 the parts of
a unified kernel image, 12 the command line.
"""

from __future__ import annotations

import base64
import json
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.block import BLOCK, BlockDevices
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.mounts import mount_of, read_mounts
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import BASE_CLASS_DISPLAY

CHANGED_PCRS: t.Final = frozenset({4, 8, 9, 11, 12})

_DEVICES = "/sys/bus/pci/devices"
_DISPLAY = f"0x{BASE_CLASS_DISPLAY}"
_VFIO_PCI = "vfio-pci"
# The driver of the bus is not that of the display.
_MODULES: t.Final[t.Mapping[str, str]] = {"virtio-pci": "virtio_gpu", "nvidia": "nvidia_drm"}

_MAGIC = b"LUKS\xba\xbe"
_BINARY_HEADER = 4096
# The format knows no larger one (4 MiB).
_MOST_HEADER = 4 << 20
_CRYPT = "CRYPT-"
_CRYPTTAB = "/etc/crypttab"
# On an ostree system "/" is part of the file system that is mounted there.
_ROOTS = ("/", "/sysroot")
_ON_THE_LINE = ("rd.luks.uuid=", "rd.luks.name=", "luks.uuid=", "luks.name=", "cryptdevice=")
_TPM_OPTION = "tpm2-device="


def read_encryption(root: Root) -> dict[str, str | None]:
    """``encrypted`` and ``sealed``: what shows it, in words for people; ``None`` where nothing does.

    Reads the headers of the disks below the root file system where it may; without them an option for a TPM counts.
    """
    disks, crypts = _below_root(root)
    line = (root.read_text("/proc/cmdline") or "").split()
    named = next((word for word in line if word.startswith(_ON_THE_LINE)), None)
    encrypted = f"{crypts[0]} is below the root file system" if crypts else None
    if encrypted is None and named is not None:
        encrypted = f"the kernel command line has {named}"
    return {"encrypted": encrypted, "sealed": _sealed(root, disks, line) if encrypted else None}


def display_modules(root: Root) -> dict[str, str]:
    """The drivers of this host's displays, each with the kernel module that shows a console on it."""
    drivers = (
        root.link_name(f"{_DEVICES}/{name}/driver")
        for name in root.listdir(_DEVICES)
        if (root.read_word(f"{_DEVICES}/{name}/class") or "").startswith(_DISPLAY)
    )
    return {driver: console_module(driver) for driver in drivers if driver and driver != _VFIO_PCI}


def console_module(driver: str) -> str:
    """The kernel module that shows a console on a display with this driver."""
    return _MODULES.get(driver, driver.replace("-", "_"))


def _below_root(root: Root) -> tuple[list[str], list[str]]:
    """The kernel's names of the encrypted disks below the root file system, and the names of what is decrypted."""
    blocks = BlockDevices(root, ())
    mounts = read_mounts(root)
    found = (mount_of(point, mounts) for point in _ROOTS)
    names = [blocks.name_of(mount.source) for mount in found if mount is not None]
    waiting = [name for name in names if name is not None]
    seen: set[str] = set()
    disks: list[str] = []
    crypts: list[str] = []
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        slaves = root.listdir(f"{BLOCK}/{name}/slaves")
        if (root.read_word(f"{BLOCK}/{name}/dm/uuid") or "").startswith(_CRYPT):
            crypts.append(root.read_word(f"{BLOCK}/{name}/dm/name") or name)
            disks.extend(slaves)
        waiting.extend(slaves)
    return disks, crypts


def _sealed(root: Root, disks: t.Sequence[str], line: t.Sequence[str]) -> str | None:
    unread = not disks
    for disk in disks:
        tokens = read_tokens(root.path(f"/dev/{disk.replace('!', '/')}"))
        if tokens is None:
            unread = True
            continue
        for token in tokens:
            pcrs = sorted(CHANGED_PCRS & sealed_to(token))
            if pcrs:
                listed = ", ".join(str(pcr) for pcr in pcrs)
                return f"a {token.get('type')} token of /dev/{disk} is sealed to PCR {listed}"
    if unread:
        # Which PCRs count stands only in the header.
        if any(_TPM_OPTION in word for word in line):
            return f"the kernel command line has {_TPM_OPTION}, and to which PCRs it is sealed could not be read"
        if any(_TPM_OPTION in entry for entry in _entries(root)):
            return f"{_CRYPTTAB} has {_TPM_OPTION}, and to which PCRs it is sealed could not be read"
    return None


def _entries(root: Root) -> list[str]:
    lines = (root.read_text(_CRYPTTAB) or "").splitlines()
    return [line for line in lines if not line.lstrip().startswith("#")]


def read_tokens(path: str) -> list[dict[str, t.Any]] | None:
    """The tokens in the LUKS2 header of the disk at ``path`` (a real path), none for LUKS1; ``None`` where it cannot be
    read."""
    try:
        with open(path, "rb") as disk:
            head = disk.read(_BINARY_HEADER)
            if not head.startswith(_MAGIC):
                return None
            if int.from_bytes(head[6:8], "big") != 2:
                return []
            size = int.from_bytes(head[8:16], "big")
            area = disk.read(max(0, min(size, _MOST_HEADER) - _BINARY_HEADER))
        tokens = json.loads(area.split(b"\0", 1)[0])["tokens"]
        return [token for token in tokens.values() if isinstance(token, dict)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def sealed_to(token: t.Mapping[str, t.Any]) -> frozenset[int]:
    """The PCRs whose very content a token of systemd or clevis needs. Not those of which a signature is enough: an
    image that is made anew is signed anew."""
    if token.get("type") == "systemd-tpm2":
        return _numbers(token.get("tpm2-pcrs"))
    if token.get("type") == "clevis":
        jwe = token.get("jwe")
        return _clevis(jwe.get("protected")) if isinstance(jwe, dict) else frozenset()
    return frozenset()


def _clevis(protected: t.Any) -> frozenset[int]:
    """From the header of what clevis encrypted; a shared secret (``sss``) has several inside."""
    try:
        text = str(protected).split(".", 1)[0]
        header = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        pin = header["clevis"]["pin"]
        options = header["clevis"].get(pin) or {}
        if pin == "tpm2":
            return _numbers(options.get("pcr_ids"))
        if pin == "sss":
            return frozenset().union(*(_clevis(inner) for inner in options.get("jwe") or ()))
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return frozenset()


def _numbers(value: t.Any) -> frozenset[int]:
    """PCRs as a list of numbers, or as clevis writes them: ``"4,7"``."""
    words = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    return frozenset(int(word) for word in words if str(word).strip().isdecimal())

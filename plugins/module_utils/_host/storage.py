# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which PCI functions carry the storage that this host uses."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import functions_on_path
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency

# Without these the machine does not come up again; no option releases them.
BOOT_MOUNTS = frozenset({"/", "/usr", "/boot", "/boot/efi", "/efi", "/boot/firmware"})

ALLOW_STORAGE = "storage_in_use"

_OCTAL_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclasses.dataclass(frozen=True)
class Mount:
    """A line of ``/proc/self/mountinfo`` (proc_pid_mountinfo(5)): ``device`` is ``major:minor``."""

    device: str
    point: str
    source: str


def storage_dependencies(root: Root) -> list[Dependency]:
    """Every PCI function under a mount, a swap area, or a block device that another one is built on."""
    found: list[Dependency] = []
    for mount in read_mounts(root):
        kind, allow = ("root_disk", None) if mount.point in BOOT_MOUNTS else ("storage", ALLOW_STORAGE)
        for directory in _block_directories(root, mount):
            found += _dependencies(directory, kind, f"holds {mount.point}", allow)
    for source in _swap_areas(root):
        for directory in _named_block_directories(root, source):
            found += _dependencies(directory, "storage", f"holds the swap area {source}", ALLOW_STORAGE)
    for name in root.listdir("/sys/class/block"):
        holders = root.listdir(f"/sys/class/block/{name}/holders")
        if holders:
            detail = f"holds {name}, on which {', '.join(holders)} is built"
            found += _dependencies(_real(root, f"/sys/class/block/{name}"), "storage", detail, ALLOW_STORAGE)
    return list(dict.fromkeys(found))


def read_mounts(root: Root) -> list[Mount]:
    mounts = []
    for line in (root.read_text("/proc/self/mountinfo") or "").splitlines():
        before, _separator, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) >= 5 and len(rest) >= 2:
            mounts.append(Mount(fields[2], _unescape(fields[4]), _unescape(rest[1])))
    return mounts


def _unescape(text: str) -> str:
    return _OCTAL_ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), text)


def _swap_areas(root: Root) -> list[str]:
    lines = (root.read_text("/proc/swaps") or "").splitlines()[1:]
    return [_unescape(line.split()[0]) for line in lines if line.startswith("/dev/")]


def _real(root: Root, path: str) -> str:
    return os.path.realpath(root.path(path))


def _block_directories(root: Root, mount: Mount) -> list[str]:
    """The sysfs directories of the block devices below one mount."""
    if not mount.device.startswith("0:"):
        return [_real(root, f"/sys/dev/block/{mount.device}")]
    # Btrfs and ZFS show an anonymous device; Btrfs names one member, and its siblings in sysfs.
    directories = _named_block_directories(root, mount.source)
    return directories + [
        _real(root, f"/sys/fs/btrfs/{volume}/devices/{member}")
        for volume in root.listdir("/sys/fs/btrfs")
        for member in root.listdir(f"/sys/fs/btrfs/{volume}/devices")
        if os.path.basename(mount.source) in root.listdir(f"/sys/fs/btrfs/{volume}/devices")
    ]


def _named_block_directories(root: Root, source: str) -> list[str]:
    name = os.path.basename(os.path.realpath(source) if root.is_live else source)
    path = f"/sys/class/block/{name}"
    return [_real(root, path)] if source.startswith("/dev/") and root.exists(path) else []


def _dependencies(directory: str, kind: str, detail: str, allow: str | None) -> list[Dependency]:
    return [Dependency(str(address), kind, detail, allow) for address in _functions_below(directory)]


def _functions_below(directory: str) -> t.Iterator[Address]:
    """The PCI functions that a block device lives on, through device mapper, MD and the like."""
    functions = functions_on_path(directory)
    if functions:
        yield functions[-1]
    slaves = os.path.join(directory, "slaves")
    for name in sorted(os.listdir(slaves)) if os.path.isdir(slaves) else []:
        yield from _functions_below(os.path.realpath(os.path.join(slaves, name)))

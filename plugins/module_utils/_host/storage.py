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
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import BASE_CLASS_STORAGE, Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import functions_on_path
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency

# Without these the machine does not come up again; no option releases them.
BOOT_MOUNTS = frozenset({"/", "/usr", "/boot", "/boot/efi", "/efi", "/boot/firmware"})

ROOT_DISK = "root_disk"
STORAGE = "storage"
ALLOW_STORAGE = "storage"

ZFS = "zfs"

# Carried by the network, by memory, or by files of another mount, which is judged by itself. An automount that
# nobody has used yet (autofs) carries nothing.
_NO_DISK = re.compile(r"nfs4?|cifs|smb3|9p|ceph|afs|virtiofs|fuse\.\S+|overlay|aufs|tmpfs|ramfs|rootfs|devtmpfs|autofs")
# Block devices that live in memory or on another machine.
_NO_DISK_BELOW = re.compile(r"zram\d+|ram\d+|nbd\d+")

# The kernel's directory for devices that hang on no bus.
_VIRTUAL = f"{os.sep}devices{os.sep}virtual{os.sep}"
_NVME_FABRICS = f"{_VIRTUAL}nvme-fabrics{os.sep}"
_NVME_SUBSYSTEM = re.compile(r"nvme-subsys\d+")
_NVME_CONTROLLER = re.compile(r"nvme\d+")

_OCTAL_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclasses.dataclass(frozen=True)
class Mount:
    """A line of ``/proc/self/mountinfo`` (proc_pid_mountinfo(5)): ``device`` is ``major:minor``, ``kind`` the file
    system's type."""

    device: str
    point: str
    source: str
    kind: str


@dataclasses.dataclass(frozen=True)
class _Carriers:
    """The PCI functions that carry something; ``known`` is false where that cannot be told of a part of it."""

    functions: tuple[Address, ...] = ()
    known: bool = True

    def __add__(self, other: _Carriers) -> _Carriers:
        return _Carriers((*self.functions, *other.functions), self.known and other.known)


_UNKNOWN = _Carriers(known=False)


def storage_dependencies(root: Root, devices: t.Sequence[Device]) -> list[Dependency]:
    """Every PCI function under a mount, a swap area, or a block device that another one is built on.

    Where it cannot be told what carries a mount that the machine needs to start, every storage controller may.
    """
    endpoints = {device.address for device in devices if not device.is_bridge}
    found: list[Dependency] = []
    for mount in read_mounts(root):
        found += _below_mount(root, mount, devices, endpoints)
    for source in _swap_areas(root):
        for directory in _named_block_directories(root, source):
            detail = f"holds the swap area {source}"
            found += _dependencies(_carriers(directory, endpoints), STORAGE, detail, ALLOW_STORAGE)
    for name in root.listdir("/sys/class/block"):
        holders = root.listdir(f"/sys/class/block/{name}/holders")
        if holders:
            detail = f"holds {name}, on which {', '.join(holders)} is built"
            carriers = _carriers(_real(root, f"/sys/class/block/{name}"), endpoints)
            found += _dependencies(carriers, STORAGE, detail, ALLOW_STORAGE)
    return list(dict.fromkeys(found))


def _below_mount(
    root: Root, mount: Mount, devices: t.Iterable[Device], endpoints: t.Collection[Address]
) -> t.Iterator[Dependency]:
    needed = mount.point in BOOT_MOUNTS
    kind, allow = (ROOT_DISK, None) if needed else (STORAGE, ALLOW_STORAGE)
    directories = _block_directories(root, mount)
    carriers = sum((_carriers(directory, endpoints) for directory in directories), _Carriers())
    yield from _dependencies(carriers, kind, f"holds {mount.point}", allow)
    if _NO_DISK.fullmatch(mount.kind) or (directories and carriers.known):
        return
    # ZFS names a pool and no disk, and which disks make the pool only its own program tells. Other file systems
    # without a block device (proc, cgroup2, …) carry nothing unless the machine starts from them.
    pool = mount.source.partition("/")[0]
    if needed:
        detail = f"may carry {mount.point}: what it is on cannot be told ({mount.kind} {mount.source})"
    elif mount.kind == ZFS:
        detail = f"may carry the ZFS pool {pool}: what it is on cannot be told"
    else:
        return
    controllers = (device.address for device in devices if device.class_code.startswith(BASE_CLASS_STORAGE))
    yield from _dependencies(_Carriers(tuple(controllers)), kind, detail, allow)


def read_mounts(root: Root) -> list[Mount]:
    mounts = []
    for line in (root.read_text("/proc/self/mountinfo") or "").splitlines():
        before, _separator, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) >= 5 and len(rest) >= 2:
            mounts.append(Mount(fields[2], _unescape(fields[4]), _unescape(rest[1]), rest[0]))
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
    names = {os.path.basename(directory) for directory in directories}
    return directories + [
        _real(root, f"/sys/fs/btrfs/{volume}/devices/{member}")
        for volume in root.listdir("/sys/fs/btrfs")
        for member in root.listdir(f"/sys/fs/btrfs/{volume}/devices")
        if names.intersection(root.listdir(f"/sys/fs/btrfs/{volume}/devices"))
    ]


def _named_block_directories(root: Root, source: str) -> list[str]:
    if not source.startswith("/dev/"):
        return []
    name = os.path.basename(os.path.realpath(source) if root.is_live else source)
    if not root.exists(f"/sys/class/block/{name}"):
        # In a captured tree nothing leads from /dev/mapper/NAME to its device but the name in sysfs.
        blocks = root.listdir("/sys/class/block")
        name = next((block for block in blocks if root.read_word(f"/sys/class/block/{block}/dm/name") == name), "")
    return [_real(root, f"/sys/class/block/{name}")] if name else []


def _dependencies(carriers: _Carriers, kind: str, detail: str, allow: str | None) -> list[Dependency]:
    return [Dependency(str(address), kind, detail, allow) for address in carriers.functions]


def _carriers(directory: str, endpoints: t.Collection[Address]) -> _Carriers:
    """The PCI functions that a block device lives on, through device mapper, MD, NVMe multipath and the like."""
    functions = functions_on_path(directory)
    if functions:
        # Between root port and disk there may be another endpoint (a Volume Management Device) that goes with both.
        between = (address for address in functions[:-1] if address in endpoints)
        return _Carriers((functions[-1], *between))
    if not os.path.isdir(directory):
        return _UNKNOWN
    subsystem = _nvme_subsystem(directory)
    if subsystem is not None:
        # The disk of a subsystem hangs on no bus; its controllers are links beside it (drivers/nvme/host/core.c).
        links = (os.path.join(subsystem, name) for name in sorted(os.listdir(subsystem)))
        below = [os.path.realpath(link) for link in links if _NVME_CONTROLLER.fullmatch(os.path.basename(link))]
    else:
        # A partition has no slaves of its own.
        whole = os.path.dirname(directory) if os.path.exists(os.path.join(directory, "partition")) else directory
        slaves = os.path.join(whole, "slaves")
        names = sorted(os.listdir(slaves)) if os.path.isdir(slaves) else []
        below = [os.path.realpath(os.path.join(slaves, name)) for name in names]
        if not below:
            return _Carriers() if _needs_no_disk(whole) else _UNKNOWN
    return sum((_carriers(each, endpoints) for each in below), _Carriers(known=bool(below)))


def _nvme_subsystem(directory: str) -> str | None:
    while directory != os.path.dirname(directory):
        if _NVME_SUBSYSTEM.fullmatch(os.path.basename(directory)):
            return directory
        directory = os.path.dirname(directory)
    return None


def _needs_no_disk(directory: str) -> bool:
    """Whether it is known that no PCI function of this host carries a device: it hangs on another bus (iSCSI, VMBus,
    a controller of the platform), on the network, or lives in memory."""
    if _VIRTUAL not in directory or _NVME_FABRICS in directory:
        return True
    return _NO_DISK_BELOW.fullmatch(os.path.basename(directory)) is not None

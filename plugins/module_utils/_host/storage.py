# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which PCI functions carry the storage that this host uses, and which machines carry what it starts from."""

from __future__ import annotations

import functools
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.block import (
    UNKNOWN,
    BlockDevices,
    Carriers,
    together,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.members import (
    UdevBlocks,
    active_physical_volumes,
    bcache_members,
    boot_partitions,
    exported_devices,
    imported_pools,
    listed_boot_partitions,
    pool_members,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.mounts import (
    OVERLAY,
    Mount,
    mount_of,
    read_mounts,
    read_swap_areas,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.remote import Remote, remote_mount
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import BASE_CLASS_STORAGE, Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency

ROOT_DISK = "root_disk"
STORAGE = "storage"
ALLOW_STORAGE = "storage"

ZFS = "zfs"

_MOST_NAMES = 4

# Carried by the network, by memory, or by files of another mount, which is judged by itself. An automount that
# nobody has used yet (autofs) carries nothing.
_NO_DISK = re.compile(r"nfs4?|cifs|smb3|9p|ceph|afs|virtiofs|fuse\.\S+|overlay|aufs|tmpfs|ramfs|rootfs|devtmpfs|autofs")
# What stands at the point of an automount until somebody looks there.
_WAITING = "autofs"


class RemoteRoot(t.NamedTuple):
    """A mount that the machine needs to start and that another machine carries."""

    point: str
    remote: Remote


class StorageUse(t.NamedTuple):
    dependencies: tuple[Dependency, ...]
    remote_roots: tuple[RemoteRoot, ...]
    blocks: BlockDevices


def storage_use(root: Root, devices: t.Sequence[Device]) -> StorageUse:
    """Every PCI function under a mount, a swap area, or a block device that another one is built on.

    Where it cannot be told what carries a mount that the machine needs to start, every storage controller may.
    """
    host = _Host(root, devices)
    found = [*host.mounted(), *host.swap(), *host.built_on(), *host.pools(), *host.started_from()]
    return StorageUse(tuple(dict.fromkeys(found)), tuple(dict.fromkeys(host.remote_roots)), host.blocks)


class _Host:
    def __init__(self, root: Root, devices: t.Sequence[Device]) -> None:
        self._root = root
        self._mounts = read_mounts(root)
        self._controllers = tuple(
            device.address for device in devices if device.class_code.startswith(BASE_CLASS_STORAGE)
        )
        self.blocks = BlockDevices(root, {device.address for device in devices if not device.is_bridge})
        self._udev = UdevBlocks(root, self.blocks.names)
        self._btrfs = _btrfs_volumes(root)
        self._files: dict[str, Carriers] = {}
        self.remote_roots: list[RemoteRoot] = []

    def mounted(self) -> t.Iterator[Dependency]:
        points: dict[tuple[Address, bool], dict[str, None]] = {}
        for mount in self._mounts:
            if mount.is_file and not mount.needed_to_start:
                # A part of another mount, which is judged by itself; a snap is one.
                continue
            carriers = self._below_mount(mount)
            for address in carriers.functions:
                points.setdefault((address, mount.needed_to_start), {})[mount.point] = None
            if not mount.needed_to_start:
                continue
            self.remote_roots += [RemoteRoot(mount.point, remote) for remote in carriers.remotes]
            if not carriers.known:
                what = f"what it is on cannot be told ({mount.kind} {mount.source})"
                yield from _root_disk(Carriers(self._controllers), f"may carry {mount.point}: {what}")
        if not any(mount.point == "/" for mount in self._mounts):
            # A captured tree without it, a chroot: nothing read is no proof that nothing is there.
            detail = "may carry /: /proc/self/mountinfo lists no mount there"
            yield from _root_disk(Carriers(self._controllers), detail)
        for (address, needed_to_start), held in points.items():
            depends = _root_disk if needed_to_start else _storage
            yield from depends(Carriers((address,)), f"holds {_named(list(held))}")

    def swap(self) -> t.Iterator[Dependency]:
        for source in read_swap_areas(self._root):
            name = self.blocks.name_of(source)
            if name is not None:
                yield from _storage(self.blocks.below_name(name), f"holds the swap area {source}")

    def built_on(self) -> t.Iterator[Dependency]:
        for name in self.blocks.names:
            holders = self.blocks.holders(name)
            if holders:
                detail = f"holds {name}, on which {_named(holders)} is built"
                yield from _storage(self.blocks.below_name(name), detail)
        for name, group in active_physical_volumes(self._root, self.blocks.names).items():
            detail = f"holds {name}, a physical volume of the active volume group {group}"
            yield from _storage(self.blocks.below_name(name), detail)
        for name in bcache_members(self._root, self.blocks.names):
            yield from _storage(self.blocks.below_name(name), f"holds {name}, which bcache uses")
        for name in filter(None, map(self.blocks.name_of, exported_devices(self._root))):
            yield from _storage(self.blocks.below_name(name), f"holds {name}, which this host serves to others")

    def pools(self) -> t.Iterator[Dependency]:
        mounted = [mount for mount in self._mounts if mount.kind == ZFS]
        pools = {*imported_pools(self._root), *map(_pool, mounted)}
        needed_to_start = {_pool(mount) for mount in mounted if mount.needed_to_start}
        if not pools:
            return
        members = self._pool_members
        for pool in sorted(pools):
            for name in members.get(pool, ()):
                yield from _storage(self.blocks.below_name(name), f"holds {name}, a member of the ZFS pool {pool}")
            if not members.get(pool) and pool not in needed_to_start:
                detail = f"may carry the ZFS pool {pool}: what it is on cannot be told"
                yield from _storage(Carriers(self._controllers), detail)
        for name in members.get("", ()):
            detail = f"holds {name}, which may belong to the ZFS pool {' or '.join(sorted(pools))}"
            yield from _storage(self.blocks.below_name(name), detail)

    def started_from(self) -> t.Iterator[Dependency]:
        for name in boot_partitions(self._root, self._udev):
            detail = f"holds {name}, the EFI system partition that this machine starts from"
            yield from _root_disk(self.blocks.below_name(name), detail)
        mounted = {mount.point for mount in self._mounts if mount.kind != _WAITING}
        for name, point in listed_boot_partitions(self._root, self._udev, self.blocks.name_of).items():
            if point not in mounted:
                yield from _root_disk(self.blocks.below_name(name), f"holds {name}, which /etc/fstab has at {point}")

    @functools.cached_property
    def _pool_members(self) -> dict[str, list[str]]:
        return pool_members(self._udev)

    def _below_mount(self, mount: Mount) -> Carriers:
        remote = remote_mount(mount)
        if remote is not None:
            return Carriers(remotes=(remote,))
        if mount.kind == ZFS:
            # ZFS names a pool and no disk; udev has found the pool's name on its members.
            return self._all(self._pool_members.get(_pool(mount), ()))
        if mount.is_file:
            return self._below_file(mount)
        if not mount.device.startswith("0:"):
            return self.blocks.below_number(mount.device)
        if mount.kind == OVERLAY and mount.needed_to_start:
            return self._below_layers(mount)
        if _NO_DISK.fullmatch(mount.kind):
            return Carriers()
        # Btrfs and bcachefs show an anonymous device. Btrfs names one member, and its siblings in sysfs; bcachefs
        # names all of them.
        names = [self.blocks.name_of(source) for source in mount.source.split(":")]
        siblings = {sibling for name in names if name is not None for sibling in self._btrfs.get(name, ())}
        found = [name for name in names if name is not None]
        carriers = self._all([*found, *sorted(siblings.difference(found))])
        return carriers if len(found) == len(names) else together([carriers, UNKNOWN])

    def _below_file(self, mount: Mount) -> Carriers:
        """What the file of a loop device stands on: live systems start from one, within one."""
        if mount.device not in self._files:
            # In place before the walk, so that a loop of loop devices could not hold us up.
            self._files[mount.device] = UNKNOWN
            file = self._root.read_word(f"/sys/dev/block/{mount.device}/loop/backing_file")
            holding = None if file is None else mount_of(file, self._mounts)
            # Where the file was opened from the initramfs, it only seems to lie in the overlay.
            if holding is not None and holding.kind != OVERLAY:
                self._files[mount.device] = self._below_mount(holding)
        return self._files[mount.device]

    def _below_layers(self, mount: Mount) -> Carriers:
        """What the layers of a root stand on: OSTree with composefs, a live system, a root that forgets changes."""
        holding = [mount_of(layer, self._mounts) for layer in mount.layers]
        # A directory that was seen from the initramfs, or in a mount without a name, seems to lie in the overlay.
        found = [other for other in holding if other is not None and other.kind != OVERLAY]
        return together(self._below_mount(other) for other in dict.fromkeys(found)) if found else UNKNOWN

    def _all(self, names: t.Collection[str]) -> Carriers:
        return together(self.blocks.below_name(name) for name in names) if names else UNKNOWN


def _btrfs_volumes(root: Root) -> dict[str, list[str]]:
    """The members of the Btrfs file system that each block device belongs to."""
    volumes = [root.listdir(f"/sys/fs/btrfs/{volume}/devices") for volume in root.listdir("/sys/fs/btrfs")]
    return {name: members for members in volumes for name in members}


def _named(names: t.Sequence[str]) -> str:
    # A physical volume can have hundreds of logical ones.
    further = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + further


def _pool(mount: Mount) -> str:
    return mount.source.partition("/")[0]


def _root_disk(carriers: Carriers, detail: str) -> t.Iterator[Dependency]:
    for address in carriers.functions:
        yield Dependency(str(address), ROOT_DISK, detail)


def _storage(carriers: Carriers, detail: str) -> t.Iterator[Dependency]:
    for address in carriers.functions:
        yield Dependency(str(address), STORAGE, detail, ALLOW_STORAGE)

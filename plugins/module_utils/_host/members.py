# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Block devices that something uses although the kernel shows no holder: of ZFS, of LVM, of bcache, and the ESP."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.firmware import read_boot_current
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.block import BLOCK
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.mounts import BOOT_MOUNTS

_PROXMOX_ESPS = "/etc/kernel/proxmox-boot-uuids"

# The kernel module of ZFS shows every imported pool here as a directory.
_ZFS_POOLS = "/proc/spl/kstat/zfs"
# Documentation/target and drivers/nvme/target/configfs.c
_LIO = "/sys/kernel/config/target/core"
_NVMET = "/sys/kernel/config/nvmet/subsystems"
_LVM_ONLINE = "/run/lvm/pvs_online"

# What fstab(5) calls by which tag, and udev by which property.
_UDEV_KEYS = {
    "UUID": "ID_FS_UUID",
    "LABEL": "ID_FS_LABEL",
    "PARTUUID": "ID_PART_ENTRY_UUID",
    "PARTLABEL": "ID_PART_ENTRY_NAME",
}

# Device mapper joins the names of a volume group and its volume by one hyphen and doubles those within them.
_VOLUME_GROUP = re.compile(r"((?:[^-]|--)+)-(?!-)")


class UdevBlocks:
    """What udev found on the block devices (``ID_FS_TYPE``, …), read when first asked for."""

    def __init__(self, root: Root, names: t.Sequence[str]) -> None:
        self._root = root
        self._names = names
        self._properties: dict[str, dict[str, str]] | None = None

    def with_any(self, key: str, values: t.Collection[str]) -> list[str]:
        """The names of the devices whose property ``key`` is one of ``values``."""
        if not values:
            return []
        if self._properties is None:
            self._properties = {name: self._read(name) for name in self._names}
        return [name for name, found in self._properties.items() if found.get(key) in values]

    def property(self, name: str, key: str) -> str | None:
        return (self._properties or {}).get(name, {}).get(key)

    def _read(self, name: str) -> dict[str, str]:
        number = self._root.read_word(f"{BLOCK}/{name}/dev")
        text = (self._root.read_text(f"/run/udev/data/b{number}") if number else None) or ""
        lines = (line[2:].partition("=") for line in text.splitlines() if line.startswith("E:"))
        return {key: value for key, _equals, value in lines}


def imported_pools(root: Root) -> list[str]:
    """The ZFS pools that this kernel has open, mounted or not."""
    return [name for name in root.listdir(_ZFS_POOLS) if root.exists(f"{_ZFS_POOLS}/{name}/state")]


def pool_members(udev: UdevBlocks) -> dict[str, list[str]]:
    """Block devices by the name of their ZFS pool; an empty name for those that tell of none (cache devices)."""
    found: dict[str, list[str]] = {}
    for name in udev.with_any("ID_FS_TYPE", {"zfs_member"}):
        found.setdefault(udev.property(name, "ID_FS_LABEL") or "", []).append(name)
    return found


def active_physical_volumes(root: Root, names: t.Sequence[str]) -> dict[str, str]:
    """Volume groups with an active volume, by the block device of each of their physical volumes.

    A physical volume may hold no part of an active volume, yet without it the group is incomplete and is not
    activated at the next start. LVM notes the devices that it has seen (lvmautoactivation(7)): number, then
    ``vg:`` and the group.
    """
    online = [(root.read_text(f"{_LVM_ONLINE}/{name}") or "").split() for name in root.listdir(_LVM_ONLINE)]
    if not online:
        return {}
    active = {
        match.group(1).replace("--", "-")
        for name in names
        if (root.read_word(f"{BLOCK}/{name}/dm/uuid") or "").startswith("LVM-")
        and (match := _VOLUME_GROUP.match(root.read_word(f"{BLOCK}/{name}/dm/name") or "")) is not None
    }
    by_number = {root.read_word(f"{BLOCK}/{name}/dev"): name for name in names}
    found = {}
    for words in online:
        group = next((word[len("vg:") :] for word in words if word.startswith("vg:")), None)
        name = by_number.get(words[0]) if words else None
        if name is not None and group is not None and group in active:
            found[name] = group
    return found


def bcache_members(root: Root, names: t.Sequence[str]) -> list[str]:
    """Registered cache and backing devices, also those that no bcache device is built on yet."""
    return [name for name in names if not name.startswith("bcache") and root.exists(f"{BLOCK}/{name}/bcache")]


def exported_devices(root: Root) -> list[str]:
    """Paths of devices that this host serves to others by the kernel's targets (iSCSI and its like, NVMe fabrics)."""
    # Back ends that are no block devices (files, memory) have other names.
    backends = [f"{_LIO}/{name}" for name in root.listdir(_LIO) if name.startswith("iblock_")]
    subsystems = [f"{_NVMET}/{name}/namespaces" for name in root.listdir(_NVMET)]
    attributes = [
        *(f"{backend}/{name}/udev_path" for backend in backends for name in root.listdir(backend)),
        *(f"{namespaces}/{number}/device_path" for namespaces in subsystems for number in root.listdir(namespaces)),
    ]
    return [path for attribute in attributes if (path := root.read_word(attribute)) is not None]


def boot_partitions(root: Root, udev: UdevBlocks) -> list[str]:
    """The EFI system partitions that this machine starts from, mounted or not.

    Not every one on the machine: a disk that is meant for a guest has often kept one of its own.
    """
    option = read_boot_current(root)
    started = option.partition if option else None
    synced = {line.strip() for line in (root.read_text(_PROXMOX_ESPS) or "").splitlines() if line.strip()}
    found = udev.with_any("ID_PART_ENTRY_UUID", {started} if started else set())
    return [*found, *udev.with_any("ID_FS_UUID", synced)]


def listed_boot_partitions(root: Root, udev: UdevBlocks, name_of: t.Callable[[str], str | None]) -> dict[str, str]:
    """Block devices by the mount point that ``/etc/fstab`` gives them, of what the machine starts from: mounted or not
    (``noauto``, an automount that waits). ``name_of`` gives the device of a path below ``/dev``."""
    found: dict[str, str] = {}
    for line in (root.read_text("/etc/fstab") or "").splitlines():
        fields = line.split()
        if len(fields) < 2 or fields[0].startswith("#") or fields[1] not in BOOT_MOUNTS:
            continue
        tag, _equals, value = fields[0].partition("=")
        key = _UDEV_KEYS.get(tag)
        value = value.strip('"')
        # PARTUUID is written in either case, and the UUID of a FAT file system too; udev has but one of them.
        names = udev.with_any(key, {value, value.lower(), value.upper()}) if key else [name_of(fields[0])]
        found.update({name: fields[1] for name in names if name is not None})
    return found

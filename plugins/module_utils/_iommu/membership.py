# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The IOMMU groups as the kernel made them, and what keeps each from being given to a guest."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._attributes import AttributeDirectory
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import is_pci_address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import HOLDING_DRIVERS, Device

GROUPS = "/sys/kernel/iommu_groups"

# Drivers that do no DMA of their own through the kernel's mappings and so do not keep a group from VFIO
# (driver_managed_dma in the kernel's drivers/pci and drivers/vfio).
HARMLESS_DRIVERS = HOLDING_DRIVERS | {"pcieport"}

# The same for members on other buses (drivers/vfio/platform); None stands for no driver at all.
_HARMLESS_ELSEWHERE = frozenset({None, "vfio-platform", "vfio-amba"})

_NO_IOMMU = "vfio-noiommu"
_NO_DOMAIN = "unknown"


@dataclasses.dataclass(frozen=True)
class Groups:
    """``groups`` by number, in the form that users see. ``without_iommu``: all are those that VFIO makes in its
    no-IOMMU mode (drivers/vfio/group.c), behind no IOMMU at all."""

    groups: tuple[dict[str, t.Any], ...]
    without_iommu: bool
    gaps: tuple[str, ...]


def read_groups(root: Root, devices: t.Sequence[Device]) -> Groups:
    """Members are the devices that name the group; ``other_devices`` are on another bus than PCI."""
    try:
        directory = os.open(root.path(GROUPS), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Groups((), False, ())
    except OSError as exc:
        return Groups((), False, (f"{GROUPS} cannot be read: {exc.strerror}",))
    try:
        reader = _Reader(directory, devices)
        names = os.listdir(directory)
        groups = [group for number in sorted(reader.numbers(names)) if (group := reader.group(number)) is not None]
    finally:
        os.close(directory)
    return Groups(tuple(groups), bool(groups) and reader.without_iommu == len(groups), tuple(reader.gaps))


def blocks_group(device: Device) -> bool:
    """Whether this member keeps its IOMMU group from being opened by VFIO as things are now."""
    harmless = device.driver is None or device.driver in HARMLESS_DRIVERS or device.held_for_guests
    return not harmless and not _is_passed_over(device)


def _is_passed_over(device: Device) -> bool:
    # Kernels before 5.18 let every driver be on a bridge with a header of its own (vfio_dev_driver_allowed() in
    # drivers/vfio/vfio.c); one to ISA or to the CPU (lpc_ich, k10temp) has that of any device, and counts as one.
    return device.is_bridge and device.header_type != 0


class _Reader:
    def __init__(self, directory: int, devices: t.Sequence[Device]) -> None:
        self.gaps: list[str] = []
        self.without_iommu = 0
        self._directory = directory
        self._known = {str(device.address) for device in devices}
        self._members: dict[int, list[Device]] = {}
        for device in devices:
            if device.iommu_group is not None:
                self._members.setdefault(device.iommu_group, []).append(device)

    def numbers(self, names: t.Iterable[str]) -> t.Iterator[int]:
        for name in names:
            if name.isdecimal():
                yield int(name)
            else:
                self.gaps.append(f"{GROUPS}/{name} is no IOMMU group")

    def group(self, number: int) -> dict[str, t.Any] | None:
        try:
            with AttributeDirectory.opened(str(number), self._directory) as directory:
                group = self._read(number, directory)
        except OSError as exc:
            self.gaps.append(f"IOMMU group {number} is left out: it disappeared while it was read ({exc.strerror})")
            return None
        self.gaps += [f"IOMMU group {number}: {gap}" for gap in directory.gaps]
        return group

    def _read(self, number: int, directory: AttributeDirectory) -> dict[str, t.Any]:
        members = self._members.get(number, [])
        endpoints = [device for device in members if not device.is_bridge]
        others = list(self._others(number, directory.names("devices")))
        blockers = [str(device.address) for device in members if blocks_group(device)]
        blockers += [name for name in others if directory.link(f"devices/{name}/driver") not in _HARMLESS_ELSEWHERE]
        domain_type = directory.word("type")
        # Without an IOMMU there is no default domain, and kernels before 5.11 have no such attribute.
        if domain_type in (None, _NO_DOMAIN) and directory.word("name") == _NO_IOMMU:
            self.without_iommu += 1
        return {
            "id": number,
            "devices": [str(device.address) for device in members],
            "endpoints": [str(device.address) for device in endpoints],
            "bridges": [str(device.address) for device in members if device.is_bridge],
            "other_devices": others,
            "reserved_regions": list(self._regions(number, directory.text("reserved_regions") or "")),
            "type": None if domain_type == _NO_DOMAIN else domain_type,
            "viable": not blockers,
            "blockers": blockers,
        }

    def _others(self, number: int, names: t.Iterable[str]) -> t.Iterator[str]:
        for name in names:
            if name in self._known:
                continue
            if is_pci_address(name):
                self.gaps.append(f"IOMMU group {number} has {name}, which is not among the PCI functions read")
            else:
                yield name

    def _regions(self, number: int, text: str) -> t.Iterator[dict[str, str]]:
        """Lines of start, end and type (Documentation/ABI/testing/sysfs-kernel-iommu_groups)."""
        for line in text.splitlines():
            words = line.split()
            if len(words) == 3:
                yield {"start": words[0], "end": words[1], "type": words[2]}
            else:
                self.gaps.append(f"IOMMU group {number}: '{line[:60]}' is no reserved region")

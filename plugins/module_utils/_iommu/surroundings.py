# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the rules look at beside the device itself. Pure."""

from __future__ import annotations

import collections
import dataclasses
import functools
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.network import (
    CONFIGURED_NIC,
    MANAGEMENT_NIC,
    ROOT_NIC,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.storage import ROOT_DISK, STORAGE
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import BASE_CLASS_DISPLAY, Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency

# Beside a use that nothing permits, the key of a lesser one of its sort would help nobody.
_OUTWEIGHED_BY: t.Final[t.Mapping[str, str]] = {
    STORAGE: ROOT_DISK,
    MANAGEMENT_NIC: ROOT_NIC,
    CONFIGURED_NIC: ROOT_NIC,
}

# A controller can carry dozens of disks, each with its own use.
_MOST_DETAILS = 4


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """A host around one of its functions.

    ``iommu`` is what ``read_iommu`` gives; while the IOMMU is off its predicted groups count. ``builtin_drivers`` are
    those of the running kernel. ``selected`` are the functions that leave the host together with the one in question.
    ``by_ids`` tells that vfio-pci is given ids instead of addresses, and so takes every function with the same ones.
    """

    devices: t.Sequence[Device]
    dependencies: t.Sequence[Dependency]
    iommu: t.Mapping[str, t.Any]
    builtin_drivers: t.Collection[str] = ()
    selected: t.Collection[Address] = ()
    by_ids: bool = False

    @property
    def iommu_enabled(self) -> bool:
        return bool(self.iommu["enabled"])

    @property
    def interrupt_remapping(self) -> bool | None:
        """``None`` where it cannot be known: the IOMMU is off, or the architecture shows it elsewhere."""
        remapping: bool | None = self.iommu["interrupt_remapping"]
        return remapping

    @property
    def unsafe_interrupts_allowed(self) -> bool:
        """Whether a person loaded VFIO so that it does without remapped interrupts."""
        return bool(self.iommu["vfio_parameters"]["allow_unsafe_interrupts"])

    @property
    def denylist_disabled(self) -> bool:
        """Whether a person loaded vfio-pci so that it takes the models on its denylist."""
        return bool(self.iommu["vfio_parameters"]["disable_denylist"])

    def mates(self, device: Device) -> tuple[Device, ...]:
        """The other members of the device's IOMMU group, bridges included; none where it has no group."""
        number = self._group_of.get(device.address)
        if number is None:
            return ()
        return tuple(mate for mate in self._members[number] if mate.address != device.address)

    def group_name(self, device: Device) -> str:
        return f"IOMMU group {device.iommu_group}" if self.iommu_enabled else "the predicted IOMMU group"

    def needs(self, device: Device) -> t.Sequence[Dependency]:
        """What the host would lose with the device."""
        return self._needs.get(str(device.address), ())

    def firmware_region(self, device: Device) -> str | None:
        """``0x…-0x…`` of a region that the firmware wants mapped unchanged for the device's group."""
        number = device.iommu_group
        return None if number is None else self._firmware_regions.get(number)

    def share_bus(self, device: Device) -> tuple[Device, ...]:
        """The other functions on the device's bus below its bridge; none for the root bus, which is never reset."""
        if device.parent is None:
            return ()
        return tuple(other for other in self._below[device.parent] if other.address != device.address)

    def is_part_of_display_card(self, device: Device) -> bool:
        """Whether the device is a display or sits with one in the same slot, as a card's audio function does."""
        return device.address.slot in self._display_slots

    @functools.cached_property
    def _group_of(self) -> dict[Address, int]:
        if self.iommu_enabled:
            return {device.address: device.iommu_group for device in self.devices if device.iommu_group is not None}
        predicted = enumerate(self.iommu["predicted_groups"])
        return {Address.parse(member): number for number, group in predicted for member in group["devices"]}

    @functools.cached_property
    def _members(self) -> dict[int, list[Device]]:
        members = collections.defaultdict(list)
        for device in self.devices:
            number = self._group_of.get(device.address)
            if number is not None:
                members[number].append(device)
        return members

    @functools.cached_property
    def _below(self) -> dict[Address, list[Device]]:
        below = collections.defaultdict(list)
        for device in self.devices:
            if device.parent is not None:
                below[device.parent].append(device)
        return below

    @functools.cached_property
    def _needs(self) -> dict[str, list[Dependency]]:
        by_device = collections.defaultdict(list)
        for dependency in self.dependencies:
            by_device[dependency.address].append(dependency)
        return {address: list(_by_use(found)) for address, found in by_device.items()}

    @functools.cached_property
    def _firmware_regions(self) -> dict[int, str]:
        # The kernel's "direct-relaxable" regions do not keep a device from a guest (include/linux/iommu.h).
        return {
            group["id"]: f"{region['start']}-{region['end']}"
            for group in self.iommu["groups"]
            for region in group["reserved_regions"]
            if region["type"] == "direct"
        }

    @functools.cached_property
    def _display_slots(self) -> frozenset[str]:
        displays = (device for device in self.devices if device.class_code.startswith(BASE_CLASS_DISPLAY))
        return frozenset(device.address.slot for device in displays)


def _by_use(found: t.Sequence[Dependency]) -> t.Iterator[Dependency]:
    """One dependency for each kind of use and key."""
    decisive = {dependency.kind: dependency for dependency in found if dependency.allow is None}
    by_use: dict[tuple[str, str | None], list[str]] = {}
    for dependency in sorted(found, key=lambda dependency: dependency.allow is not None):
        use = decisive.get(_OUTWEIGHED_BY.get(dependency.kind, ""), dependency)
        by_use.setdefault((use.kind, use.allow), []).append(dependency.detail)
    for (kind, allow), details in by_use.items():
        yield Dependency(found[0].address, kind, _in_one_sentence(details), allow)


def _in_one_sentence(details: t.Sequence[str]) -> str:
    named = "; ".join(details[:_MOST_DETAILS])
    further = len(details) - _MOST_DETAILS
    return f"{named}; and {further} more" if further > 0 else named

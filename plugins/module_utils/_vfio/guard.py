# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which devices may not be taken from the host, and why. Pure: one table of rules for the plan and for the writer."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.membership import blocks_group
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import (
    BASE_CLASS_STORAGE,
    HOLDING_DRIVERS,
    Device,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency, Refusal

VFIO_PCI = "vfio-pci"

ALLOW_BUILTIN = "builtin_driver"
ALLOW_IDENTITY = "changed_identity"
ALLOW_RUNTIME_GPU = "runtime_gpu"


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What the rules look at beside the device itself: all functions, what the host needs of them, the
    drivers that are built into the running kernel, and the functions that move together with it."""

    devices: t.Sequence[Device]
    dependencies: t.Sequence[Dependency]
    builtin_drivers: t.Collection[str] = ()
    selected: t.Collection[Address] = ()
    iommu_enabled: bool = True


def judge(device: Device, around: Surroundings, allow: t.Collection[str]) -> list[Refusal]:
    """Every reason to leave ``device`` to the host, empty where it may go. ``allow`` holds the keys of its entry."""
    if device.is_bridge:
        return [
            Refusal(
                str(device.address),
                f"{device.address} is a bridge (class {device.class_code}): other devices are reached through it, "
                "bridges are never given to a guest",
            )
        ]
    found = _needed_by_host(device, around, allow)
    found += _builtin_driver(device, around, allow)
    if around.iommu_enabled and device.iommu_group is None:
        reason = f"{device.address} is in no IOMMU group although the IOMMU is on: it cannot be given to a guest"
        found.append(Refusal(str(device.address), reason))
    for mate in group_mates(device, around.devices):
        found += _mate(device, mate, around, allow)
    return found


def group_mates(device: Device, devices: t.Iterable[Device]) -> list[Device]:
    """The other endpoints of the device's IOMMU group; bridges in it stay on the host and harm nothing."""
    if device.iommu_group is None:
        return []
    return [
        other
        for other in devices
        if other.iommu_group == device.iommu_group and other.address != device.address and not other.is_bridge
    ]


def _needed_by_host(device: Device, around: Surroundings, allow: t.Collection[str]) -> list[Refusal]:
    return [
        Refusal(str(device.address), f"{device.address} {dependency.detail}", dependency.allow)
        for dependency in around.dependencies
        if Address.parse(dependency.address) == device.address and not _permitted(dependency.allow, allow)
    ]


def _builtin_driver(device: Device, around: Surroundings, allow: t.Collection[str]) -> list[Refusal]:
    if device.driver is None or device.driver in HOLDING_DRIVERS or device.driver not in around.builtin_drivers:
        return []
    reason = (
        f"{device.driver}, which holds {device.address}, is built into the kernel: "
        "it probes the device before any initramfs"
    )
    if device.class_code.startswith(BASE_CLASS_STORAGE):
        return [Refusal(str(device.address), f"{reason}, which for storage may already use its data")]
    if ALLOW_BUILTIN in allow:
        return []
    return [Refusal(str(device.address), f"{reason} and vfio-pci gets it only afterwards", ALLOW_BUILTIN)]


def _mate(device: Device, mate: Device, around: Surroundings, allow: t.Collection[str]) -> list[Refusal]:
    """A group goes as a whole: what one function can reach through the other, the guest can reach."""
    if mate.address in around.selected:
        return []
    shares = f"{mate.address} shares IOMMU group {device.iommu_group} with {device.address}"
    found = [
        Refusal(str(mate.address), f"{shares}, and {mate.address} {dependency.detail}", dependency.allow)
        for dependency in around.dependencies
        if Address.parse(dependency.address) == mate.address and not _permitted(dependency.allow, allow)
    ]
    if blocks_group(mate):
        reason = f"{shares} and is held by {mate.driver}: the group is not viable unless {mate.address} is selected too"
        found.append(Refusal(str(mate.address), reason))
    return found


def _permitted(key: str | None, allow: t.Collection[str]) -> bool:
    return key is not None and key in allow

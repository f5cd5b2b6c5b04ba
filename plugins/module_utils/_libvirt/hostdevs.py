# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""Whether PCI functions may go into a domain: what they are, who holds them, who claims them. The rules are pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.membership import HARMLESS_DRIVERS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import PciHostdev
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import (
    BASE_CLASS_DISPLAY,
    Device,
    is_bridge_class,
)

# vfio-pci and its variants (mlx5_vfio_pci, hisi-acc-vfio-pci, xe-vfio-pci, …; drivers/vfio/pci in the kernel).
_VFIO_DRIVER = re.compile(r"(?:.*[-_])?vfio[-_]pci")


@dataclasses.dataclass(frozen=True)
class Function:
    """One PCI function as these rules need it."""

    address: str
    class_code: str
    is_bridge: bool
    driver: str | None
    iommu_group: int | None

    @classmethod
    def from_device(cls, device: Device) -> Function:
        return cls(str(device.address), device.class_code, device.is_bridge, device.driver, device.iommu_group)

    @property
    def is_on_vfio(self) -> bool:
        return self.driver is not None and _VFIO_DRIVER.fullmatch(self.driver) is not None


@dataclasses.dataclass(frozen=True)
class Claim:
    """A PCI function that some domain has: in its running state, or in the definition that it starts with."""

    domain: str
    address: str
    running: bool
    autostart: bool

    def to_json(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)


def read_function(root: Root, address: str) -> Function | None:
    """One function from sysfs, ``None`` where there is none at the address."""
    base = f"/sys/bus/pci/devices/{address}"
    class_word = root.read_word(f"{base}/class")
    if class_word is None:
        return None
    group = root.link_name(f"{base}/iommu_group")
    class_code = class_word[2:6]
    return Function(
        address,
        class_code,
        is_bridge_class(class_code),
        root.link_name(f"{base}/driver"),
        int(group) if group is not None else None,
    )


def read_functions(root: Root, addresses: t.Iterable[str]) -> dict[str, Function]:
    """The functions at ``addresses`` that exist, and everything that shares an IOMMU group with one of them."""
    found: dict[str, Function] = {}
    for address in addresses:
        function = read_function(root, address)
        if function is None:
            continue
        mates = root.listdir(f"/sys/kernel/iommu_groups/{function.iommu_group}/devices")
        for name in (address, *mates):
            mate = function if name == address else read_function(root, name)
            if mate is not None and name not in found:
                found[name] = mate
    return found


def judge_devices(
    devices: t.Sequence[PciHostdev], functions: t.Mapping[str, Function], claims: t.Sequence[Claim]
) -> tuple[RefusedError, ...]:
    """Why ``devices`` may not be in the definition; ``claims`` are those of all other domains."""
    refusals: list[RefusedError] = []
    for device in devices:
        address = str(device.address)
        function = functions.get(address)
        if function is None:
            refusals.append(RefusedError(f"there is no PCI device {address} on this host", address))
        elif function.is_bridge:
            refusals.append(
                RefusedError(
                    f"{address} is a bridge (class {function.class_code}): bridges stay with the host", address
                )
            )
        else:
            refusals.extend(_conflicts(function, functions, claims))
    return tuple(refusals)


def _conflicts(
    function: Function, functions: t.Mapping[str, Function], claims: t.Sequence[Claim]
) -> t.Iterator[RefusedError]:
    for claim in claims:
        if not (claim.running or claim.autostart):
            # Domains that take turns with a device are a common set-up.
            continue
        when = "is running with" if claim.running else "starts with the host and has"
        other = functions.get(claim.address)
        if claim.address == function.address:
            yield RefusedError(f"domain '{claim.domain}' {when} {claim.address}", claim.address)
        elif other is not None and function.iommu_group is not None and other.iommu_group == function.iommu_group:
            yield RefusedError(
                f"domain '{claim.domain}' {when} {claim.address}, which shares IOMMU group {function.iommu_group} with "
                f"{function.address}: a group belongs to one domain at a time",
                function.address,
            )


def judge_start(devices: t.Sequence[PciHostdev], functions: t.Mapping[str, Function]) -> tuple[RefusedError, ...]:
    """Why a domain with ``devices`` could not start now, or would harm the host if it did."""
    managed = {str(device.address) for device in devices if device.managed}
    refusals: list[RefusedError] = []
    for device in devices:
        function = functions.get(str(device.address))
        if function is not None:
            refusals.extend(_start_obstacles(device, function))
            refusals.extend(_mates_in_use(function, functions, managed))
    return tuple(refusals)


def _start_obstacles(device: PciHostdev, function: Function) -> t.Iterator[RefusedError]:
    address, driver = function.address, function.driver
    if function.iommu_group is None:
        yield RefusedError(f"{address} is in no IOMMU group: the IOMMU is off, so no domain can have it", address)
    if function.is_on_vfio:
        return
    if not device.managed:
        held = f"is held by the driver {driver}" if driver else "has no driver"
        yield RefusedError(
            f"{address} {held}, not by vfio-pci: bind it first (module vfio_bind), or set managed: true to have "
            "libvirt do it at each start",
            address,
        )
    elif driver is not None and function.class_code.startswith(BASE_CLASS_DISPLAY):
        yield RefusedError(
            f"{address} is a display held by {driver}, which seldom lets go of it while the host runs: bind it to "
            "vfio-pci from boot on (module vfio_bind) instead of managed: true",
            address,
        )


def _mates_in_use(
    function: Function, functions: t.Mapping[str, Function], managed: t.Collection[str]
) -> t.Iterator[RefusedError]:
    for mate in functions.values():
        if (
            function.iommu_group is None
            or mate.iommu_group != function.iommu_group
            or mate.address in (function.address, *managed)
            or mate.is_bridge
            or mate.is_on_vfio
            or mate.driver is None
            or mate.driver in HARMLESS_DRIVERS
        ):
            continue
        yield RefusedError(
            f"IOMMU group {function.iommu_group} of {function.address} also holds {mate.address}, which {mate.driver} "
            "drives for the host: bind that to vfio-pci as well (it need not go into the domain)",
            mate.address,
        )

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""PCI functions with their neighbours, as the kernel sees them when it forms IOMMU groups. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.requester_ids import alias_devfns
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import (
    DOWNSTREAM_PORT,
    PCI_TO_PCIE_BRIDGE,
    ROOT_PORT,
    UPSTREAM_PORT,
    Device,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Function:
    """A device in its place.

    ``above`` is the bridge it hangs on, ``None`` on a root bus; for a VF on an extra bus it is the PF's bridge,
    because that bus has none of its own and the kernel's walks skip it. ``pcie_type`` is what the kernel makes of
    the type, ``dma_device`` the function in another domain that does its DMA (VMD), else ``None``.
    """

    device: Device
    above: Function | None
    pcie_type: str | None
    multifunction: bool
    dma_device: Function | None

    @property
    def address(self) -> Address:
        return self.device.address

    def bridges_above(self) -> t.Iterator[Function]:
        """The bridges between this function and its root bus, nearest first."""
        bridge = self.above
        while bridge is not None:
            yield bridge
            bridge = bridge.above


def is_multifunction(device: Device) -> bool:
    """Bit 7 of the header type, or a function number above 0 (``pci_scan_slot``, drivers/pci/probe.c); never a VF
    (``pci_iov_add_virtfn``, drivers/pci/iov.c)."""
    return device.physfn is None and (device.multifunction or device.address.function > 0)


def corrected_type(pcie_type: str | None, above: str | None) -> str | None:
    """The port type after the kernel has corrected impossible switches by position (``set_pcie_port_type``,
    drivers/pci/probe.c); ``above`` is the corrected type of the bridge above."""
    if pcie_type == DOWNSTREAM_PORT and above in (ROOT_PORT, DOWNSTREAM_PORT, PCI_TO_PCIE_BRIDGE):
        return UPSTREAM_PORT
    if pcie_type == UPSTREAM_PORT and above == UPSTREAM_PORT:
        return DOWNSTREAM_PORT
    return pcie_type


def dma_device(device: Device, parent: Function | None) -> Function | None:
    """The function that does ``device``'s DMA where it lives in a domain that a VMD endpoint opened
    (``pci_real_dma_dev``, arch/x86/pci/common.c)."""
    if parent is None:
        return None
    return parent if parent.address.domain != device.address.domain else parent.dma_device


class Topology:
    """Every function by address, bus and slot; built once in time linear in their number."""

    def __init__(self, devices: t.Iterable[Device]) -> None:
        self.functions: dict[Address, Function] = {}
        self._slots: dict[str, list[Function]] = {}
        self._aliases: dict[Address, list[Function]] = {}
        # A bridge's own bus, and a VMD endpoint's domain, has a lower number than what lies behind: what is above
        # is always there before it is asked for, and links in a circle cannot be followed.
        for device in sorted(devices, key=lambda device: device.address):
            self._add(device)
        self._pair_aliases()

    def _add(self, device: Device) -> None:
        parent = self.functions.get(device.parent) if device.parent else None
        above = parent if parent is not None and parent.address.domain == device.address.domain else None
        function = Function(
            device=device,
            above=above,
            pcie_type=corrected_type(device.pcie_type, above.pcie_type if above else None),
            multifunction=is_multifunction(device),
            dma_device=dma_device(device, parent),
        )
        self.functions[device.address] = function
        self._slots.setdefault(device.address.slot, []).append(function)

    def _pair_aliases(self) -> None:
        aliases = {address: alias_devfns(function.device) for address, function in self.functions.items()}
        for address, devfns in aliases.items():
            for devfn in sorted(devfns):
                other = self.functions.get(Address(address.domain, address.bus, devfn >> 3, devfn & 7))
                if other is not None and other.address != address:
                    self._aliases.setdefault(address, []).append(other)
                    self._aliases.setdefault(other.address, []).append(self.functions[address])

    def slot_mates(self, function: Function) -> list[Function]:
        """The other functions of the same slot, in order."""
        return [other for other in self._slots[function.address.slot] if other is not function]

    def alias_partners(self, function: Function) -> list[Function]:
        """Functions of the same bus that use this one's requester id, or whose id this one uses, in order."""
        return sorted(set(self._aliases.get(function.address, ())), key=lambda other: other.address)

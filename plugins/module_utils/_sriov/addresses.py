# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Where the VFs of a PF are on the bus, also before they exist. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device

_LAST_ROUTING_ID = 0xFFFF


def vf_address(pf: Address, offset: int, stride: int, index: int) -> Address | None:
    """The VF number ``index`` (from 0), ``None`` past the last bus of the domain.

    Routing ids are added up (PCI Express Base Specification, 9.2.1.2; drivers/pci/iov.c, pci_iov_virtfn_bus), so a VF
    may sit on a bus after its PF's.
    """
    number = (pf.bus << 8 | pf.device << 3 | pf.function) + offset + stride * index
    if number > _LAST_ROUTING_ID:
        return None
    return Address(pf.domain, number >> 8, number >> 3 & 0x1F, number & 0x7)


def vf_addresses(pf: Device, numvfs: int) -> tuple[Address, ...] | None:
    """The first ``numvfs`` VFs by the PF's own registers; ``None`` where these cannot tell.

    A card may change both registers with the number of its VFs (PCI Express Base Specification, 9.3.3.8), and may show
    zeros while it has none.
    """
    if pf.sriov_offset is None or pf.sriov_stride is None or not pf.sriov_offset:
        return () if numvfs == 0 else None
    if numvfs > 1 and not pf.sriov_stride:
        return None
    found = [vf_address(pf.address, pf.sriov_offset, pf.sriov_stride, index) for index in range(numvfs)]
    known = tuple(address for address in found if address is not None)
    return known if len(known) == numvfs else None


def foreseen_vfs(pf: Device, numvfs: int, devices: t.Iterable[Device]) -> tuple[Device, ...] | None:
    """The VFs as they are, or as they will be where they are not there yet; ``None`` where nobody can tell.

    A VF that is not there has the class and the subsystem of its PF here, and its own device id. Cards may give it
    another subsystem, so nothing may count on that part of its identity.
    """
    addresses = vf_addresses(pf, numvfs)
    if addresses is None or (addresses and pf.sriov_device_id is None):
        return None
    present = {device.address: device for device in devices if device.physfn == pf.address}
    return tuple(present.get(address) or _foreseen(pf, address) for address in addresses)


def _foreseen(pf: Device, address: Address) -> Device:
    device_id = pf.sriov_device_id or pf.identity.device_id
    return Device(
        address=address,
        identity=dataclasses.replace(pf.identity, device_id=device_id, serial=None),
        class_code=pf.class_code,
        numa_node=pf.numa_node,
        parent=pf.parent,
        root_port=pf.root_port,
        physfn=pf.address,
    )

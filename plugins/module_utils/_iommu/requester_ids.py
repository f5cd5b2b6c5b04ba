# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Devices that use another requester id for DMA than their own. Pure.

Source: the ``pci_add_dma_alias`` quirks in drivers/pci/quirks.c of Linux 6.18. Not here, because configuration space
does not tell: Switchtec NTB, whose aliases are read from its memory.
"""

from __future__ import annotations

from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device

_Id = tuple[str, str]


def _ids(vendor: str, devices: str) -> frozenset[_Id]:
    return frozenset((vendor, device) for device in devices.split())


# quirk_dma_func0_alias: Ricoh, Glenfly
_FUNCTION_0 = _ids("1180", "e832 e476") | _ids("6766", "3d40 3d41")
# quirk_dma_func1_alias: Marvell, HighPoint, JMicron JMB388, Lite-On (a Marvell chip)
_FUNCTION_1 = (
    _ids("1b4b", "9120 9123 9125 9128 9130 9170 9172 917a 9182 9183 91a0 9215 9220 9230 9235")
    | _ids("1103", "0642 0645")
    | _ids("197b", "2392")
    | _ids("1c28", "0122")
)
# fixed_dma_alias_tbl: Adaptec 3405 and 3805, by subsystem
_ADAPTEC = ("9005", "0285")
_ADAPTEC_SUBSYSTEMS = _ids("9005", "02bb 02bc")
# quirk_mic_x200_dma_alias
_MIC_X200 = _ids("8086", "2260 2264")
# quirk_pex_vca_alias: Intel Visual Compute Accelerator
_VCA = _ids("8086", "2954 2955 2956 2958 2959 295a")
# quirk_plx_ntb_dma_alias
_PLX_NTB = _ids("10b5", "87b0 87b1")

# PCI_DEV_FLAGS_BRIDGE_XLATE_ROOT (Broadcom Vulcan, Cavium ThunderX2) and PCI_DEV_FLAGS_PCI_BRIDGE_NO_ALIAS (ASPEED)
_TRANSLATES_BELOW_ROOT = _ids("14e4", "9000 9084")
_BRIDGE_WITHOUT_ALIAS = _ids("1a03", "1150")


def devfn(slot: int, function: int) -> int:
    """Slot (0 to 31) and function (0 to 7) as the kernel packs them into one byte."""
    return slot << 3 | function


def _model(device: Device) -> _Id:
    return device.identity.vendor_id, device.identity.device_id


def alias_devfns(device: Device) -> frozenset[int]:
    """The slots and functions of its own bus whose requester id the device may use besides its own."""
    model, slot = _model(device), device.address.device
    if model in _FUNCTION_0:
        return frozenset({devfn(slot, 0)})
    if model in _FUNCTION_1:
        return frozenset({devfn(slot, 1)})
    if model == _ADAPTEC and _subsystem(device) in _ADAPTEC_SUBSYSTEMS:
        return frozenset({devfn(1, 0)})
    if model in _MIC_X200:
        return frozenset({devfn(0x10, 0), devfn(0x11, 0), devfn(0x12, 3)})
    if model in _VCA:
        return frozenset(devfn(any_slot, function) for any_slot in range(32) for function in range(5))
    if model in _PLX_NTB:
        return frozenset(range(256))
    return frozenset()


def _subsystem(device: Device) -> _Id:
    return device.identity.subsystem_vendor_id, device.identity.subsystem_device_id


def ends_alias_walk(bridge: Device) -> bool:
    """Whether the IOMMU sits at this bridge, so that no bridge above can take over a requester id."""
    return _model(bridge) in _TRANSLATES_BELOW_ROOT


def passes_requester_ids(bridge: Device) -> bool:
    """Whether this PCIe-to-PCI bridge hands the requester ids of what is behind it on unchanged."""
    return _model(bridge) in _BRIDGE_WITHOUT_ALIAS

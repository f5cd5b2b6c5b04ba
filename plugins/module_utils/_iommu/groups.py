# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Whether the IOMMU is on, why not, and the groups as the kernel made them."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import HOLDING_DRIVERS, Device

GROUPS = "/sys/kernel/iommu_groups"
UNITS = "/sys/class/iommu"
ACPI_TABLES = "/sys/firmware/acpi/tables"

# CPU vendor ids as /proc/cpuinfo prints them.
INTEL = "GenuineIntel"
AMD = "AuthenticAMD"

# Drivers that do no DMA of their own through the kernel's mappings and so do not keep a group from VFIO
# (driver_managed_dma in the kernel's drivers/pci and drivers/vfio).
HARMLESS_DRIVERS = HOLDING_DRIVERS | {"pcieport"}

_HARDWARE_TABLES = {"DMAR": "dmar", "IVRS": "ivrs", "VIOT": "viot", "IORT": "iort"}
TURNED_OFF = ("intel_iommu=off", "amd_iommu=off", "iommu=off", "iommu=soft")


def cpu_vendor(root: Root) -> str:
    """``GenuineIntel``, ``AuthenticAMD``, … or an empty string on other architectures."""
    for line in (root.read_text("/proc/cpuinfo") or "").splitlines():
        name, _colon, vendor = line.partition(":")
        if name.strip() == "vendor_id":
            return vendor.strip()
    return ""


def read_iommu(root: Root, devices: t.Sequence[Device], running: t.Sequence[str]) -> dict[str, t.Any]:
    """``enabled``, ``reason``, ``hardware``, ``vendor``, ``units``, ``interrupt_remapping``, ``groups``.

    ``enabled`` is what the kernel did, never what a parameter asks for. ``hardware`` names the firmware's
    table (``dmar``, ``ivrs``, …) or is ``None``; ``interrupt_remapping`` is ``None`` while the IOMMU is off.
    """
    hardware = next((name for table, name in _HARDWARE_TABLES.items() if root.exists(f"{ACPI_TABLES}/{table}")), None)
    units = root.listdir(UNITS)
    groups = [_group(root, int(name), devices) for name in sorted(root.listdir(GROUPS), key=int)]
    enabled = bool(groups)
    return {
        "enabled": enabled,
        "reason": None if enabled else _why_not(hardware, units, running),
        "hardware": hardware,
        "vendor": cpu_vendor(root),
        "units": units,
        "interrupt_remapping": _remaps_interrupts(root) if enabled else None,
        "groups": groups,
    }


def _group(root: Root, number: int, devices: t.Sequence[Device]) -> dict[str, t.Any]:
    members = [device for device in devices if device.iommu_group == number]
    endpoints = [device for device in members if not device.is_bridge]
    blockers = [str(device.address) for device in endpoints if blocks_group(device)]
    regions = (root.read_text(f"{GROUPS}/{number}/reserved_regions") or "").splitlines()
    return {
        "id": number,
        "devices": [str(device.address) for device in members],
        "endpoints": [str(device.address) for device in endpoints],
        "bridges": [str(device.address) for device in members if device.is_bridge],
        "reserved_regions": [_region(line) for line in regions],
        "viable": not blockers,
        "blockers": blockers,
    }


def blocks_group(device: Device) -> bool:
    """Whether this member keeps its IOMMU group from being opened by VFIO as things are now."""
    harmless = device.driver is None or device.driver in HARMLESS_DRIVERS or device.held_for_guests
    return not harmless and not device.is_bridge


def _region(line: str) -> dict[str, str]:
    """A line of ``reserved_regions``: start, end, type (Documentation/ABI/testing/sysfs-kernel-iommu_groups)."""
    start, end, kind = line.split()
    return {"start": start, "end": end, "type": kind}


def _remaps_interrupts(root: Root) -> bool:
    # Remapped interrupt chips carry an "IR-" prefix, whichever vendor (arch/x86/kernel/apic, drivers/iommu).
    return any(" IR-" in line for line in (root.read_text("/proc/interrupts") or "").splitlines())


def _why_not(hardware: str | None, units: t.Sequence[str], running: t.Sequence[str]) -> str:
    off = next((argument for argument in running if argument in TURNED_OFF), None)
    if off is not None:
        return f"turned off by '{off}' on the kernel command line"
    if hardware is None:
        return (
            "the firmware describes no IOMMU (no DMAR or IVRS table): the CPU or board has none, or it is off in the "
            "firmware set-up (look for VT-d, AMD-Vi, IOMMU or SVM)"
        )
    if units:
        return "the kernel knows the IOMMU and made no groups: it does not use it for DMA remapping"
    return "the firmware describes an IOMMU and the kernel does not use it: it must be turned on by a kernel parameter"

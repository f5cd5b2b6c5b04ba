# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Whether the IOMMU is on, why not, and what else the host says about it."""

from __future__ import annotations

import collections
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.kernel_config import read_kernel_config
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.membership import read_groups
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.options import off_switch
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.modalias import running_release

UNITS = "/sys/class/iommu"
ACPI_TABLES = "/sys/firmware/acpi/tables"

# CPU vendor ids as /proc/cpuinfo prints them.
INTEL = "GenuineIntel"
AMD = "AuthenticAMD"

_HARDWARE_TABLES = {"DMAR": "dmar", "IVRS": "ivrs", "VIOT": "viot", "IORT": "iort"}
# Kinds of reserved regions (drivers/iommu/iommu.c, iommu_group_resv_type_string).
_DIRECT = "direct"
_DIRECT_RELAXABLE = "direct-relaxable"

_CPU_FLAGS = re.compile(r"^flags\s*:(.*)$", re.MULTILINE)


def cpu_vendor(root: Root) -> str:
    """``GenuineIntel``, ``AuthenticAMD``, … or an empty string on other architectures."""
    for line in (root.read_text("/proc/cpuinfo") or "").splitlines():
        name, _colon, vendor = line.partition(":")
        if name.strip() == "vendor_id":
            return vendor.strip()
    return ""


def kvm_capable(root: Root) -> bool:
    """Whether the CPU virtualises (VT-x, AMD-V): by its flags on x86, by the device elsewhere. Says nothing about
    the IOMMU, which is another feature."""
    flags = _CPU_FLAGS.search(root.read_text("/proc/cpuinfo") or "")
    return root.exists("/dev/kvm") or (flags is not None and not {"vmx", "svm"}.isdisjoint(flags[1].split()))


def read_iommu(root: Root, devices: t.Sequence[Device], running: t.Sequence[str]) -> dict[str, t.Any]:
    """What :mod:`iommu_groups_facts` documents, but for the devices themselves.

    ``enabled`` is what the kernel did, never what a parameter asks for. ``hardware`` names the firmware's
    table (``dmar``, ``ivrs``, …) or is ``None``; ``interrupt_remapping`` is ``None`` while the IOMMU is off.
    """
    hardware = next((name for table, name in _HARDWARE_TABLES.items() if root.exists(f"{ACPI_TABLES}/{table}")), None)
    units = root.listdir(UNITS)
    found = read_groups(root, devices)
    enabled = bool(found.groups) and not found.without_iommu
    return {
        "enabled": enabled,
        "reason": None if enabled else _why_not(hardware, units, running, found.without_iommu),
        "hardware": hardware,
        "vendor": cpu_vendor(root),
        "units": units,
        "interrupt_remapping": _remaps_interrupts(root) if enabled else None,
        "default_domain_type": _commonest(group["type"] for group in found.groups),
        "identity_mapped": _identity_mapped(found.groups),
        "kvm_capable": kvm_capable(root),
        "kernel_config": read_kernel_config(root, running_release(root)).to_json(hardware),
        "groups": list(found.groups),
        "gaps": [*found.gaps, *_contradictions(units, enabled)],
    }


def _contradictions(units: t.Sequence[str], enabled: bool) -> t.Iterator[str]:
    if enabled and not units:
        yield f"there are IOMMU groups and {UNITS} names no IOMMU unit: the two contradict each other"


def _commonest(types: t.Iterable[str | None]) -> str | None:
    counted = collections.Counter(kind for kind in types if kind is not None)
    return counted.most_common(1)[0][0] if counted else None


def _identity_mapped(groups: t.Iterable[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Endpoints for which the firmware reserves memory (RMRR, IVMD), which the groups' regions tell."""
    found = []
    for group in groups:
        kinds = {region["type"] for region in group["reserved_regions"]} & {_DIRECT, _DIRECT_RELAXABLE}
        found += [{"device": device, "relaxable": _DIRECT not in kinds} for device in group["endpoints"] if kinds]
    return found


def _remaps_interrupts(root: Root) -> bool | None:
    # Remapped interrupt chips carry an "IR-" prefix, whichever vendor (arch/x86/kernel/apic, drivers/iommu). Other
    # architectures have no such chips: there the interrupt controller isolates, and nothing here tells whether.
    text = root.read_bytes("/proc/interrupts")
    return None if text is None or b"APIC" not in text else b" IR-" in text


def _why_not(hardware: str | None, units: t.Sequence[str], running: t.Sequence[str], without_iommu: bool) -> str:
    if without_iommu:
        return "the only groups are those of VFIO's no-IOMMU mode, which protects nothing"
    off = off_switch(running)
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

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Whether the kernel takes a PCI function, and the way above it, for isolated from its neighbours. Pure.

The rules of ``pci_acs_enabled`` and ``pci_acs_path_enabled`` in drivers/pci/pci.c with ``REQ_ACS_FLAGS``.
"""

from __future__ import annotations

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.acs import SOURCE_VALIDATION, controls_off
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override import Override
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.quirks import (
    ISOLATED,
    Platform,
    Verdict,
    device_quirk,
    source_validation_is_broken,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.topology import Function
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import (
    DOWNSTREAM_PORT,
    ENDPOINT,
    LEGACY_ENDPOINT,
    PCI_TO_PCIE_BRIDGE,
    PCIE_TO_PCI_BRIDGE,
    ROOT_COMPLEX_ENDPOINT,
    ROOT_COMPLEX_EVENT_COLLECTOR,
    ROOT_PORT,
    UPSTREAM_PORT,
    Device,
)

_NEVER_ISOLATED = {
    PCIE_TO_PCI_BRIDGE: "is a PCIe-to-PCI bridge, which no ACS isolates",
    PCI_TO_PCIE_BRIDGE: "is a PCI-to-PCIe bridge, which no ACS isolates",
    ROOT_COMPLEX_EVENT_COLLECTOR: "is a root complex event collector, which no ACS isolates",
}
_PORTS = (ROOT_PORT, DOWNSTREAM_PORT)
_NEED_ACS_IF_MULTIFUNCTION = (ENDPOINT, UPSTREAM_PORT, LEGACY_ENDPOINT, ROOT_COMPLEX_ENDPOINT)


class Isolation:
    """Verdicts on the functions of one host, each made once."""

    def __init__(self, platform: Platform, override: Override) -> None:
        self._platform = platform
        self._override = override
        self._verdicts: dict[Function, Verdict] = {}
        self._open_above: dict[Function, Function | None] = {}

    def verdict(self, function: Function) -> Verdict:
        known = self._verdicts.get(function)
        if known is None:
            known = self._verdicts[function] = judge(function, self._platform, self._override)
        return known

    def isolated(self, function: Function) -> bool:
        return self.verdict(function).isolated

    def first_open_bridge(self, bridge: Function) -> Function | None:
        """The nearest bridge from ``bridge`` up to the root bus that is not isolated, or ``None``: every one of
        them counts, because a request turned back by none of them reaches the others' neighbours."""
        if bridge not in self._open_above:
            if not self.isolated(bridge):
                self._open_above[bridge] = bridge
            else:
                self._open_above[bridge] = first_open_beyond(self, bridge)
        return self._open_above[bridge]


def first_open_beyond(isolation: Isolation, bridge: Function) -> Function | None:
    """The same, above ``bridge``."""
    return isolation.first_open_bridge(bridge.above) if bridge.above is not None else None


def judge(function: Function, platform: Platform, override: Override) -> Verdict:
    """Device quirks first, then the override (the last entry of the same table), then what the registers say."""
    return device_quirk(function, platform) or overridden(function, override) or by_capability(function)


def overridden(function: Function, override: Override) -> Verdict | None:
    """What ``pcie_acs_override`` says: it never touches conventional PCI, nor a function that has ACS."""
    if function.pcie_type is None or has_acs(function.device):
        return None
    identity = function.device.identity
    applies = (
        (identity.vendor_id, identity.device_id) in override.ids
        or (override.downstream and function.pcie_type in _PORTS)
        or (override.multifunction and function.multifunction and function.pcie_type in _NEED_ACS_IF_MULTIFUNCTION)
    )
    return ISOLATED if applies else None


def has_acs(device: Device) -> bool:
    return device.acs_capability is not None


def by_capability(function: Function) -> Verdict:
    """What type and ACS registers say: ports always need ACS, other functions where they share a slot."""
    device = function.device
    if function.pcie_type is None:
        return Verdict(False, _without_pcie(device))
    if function.pcie_type in _NEVER_ISOLATED:
        return Verdict(False, _NEVER_ISOLATED[function.pcie_type])
    if needs_acs(function):
        return by_registers(device)
    return ISOLATED


def needs_acs(function: Function) -> bool:
    return function.pcie_type in _PORTS or (function.pcie_type in _NEED_ACS_IF_MULTIFUNCTION and function.multifunction)


def by_registers(device: Device) -> Verdict:
    """Whether the ACS controls that the function has and that matter are on."""
    if device.acs_capability is None:
        return Verdict(False, "has no ACS capability" + _doubts(device))
    off = controls_off(usable_capability(device), device.acs_control or 0)
    if not off:
        return ISOLATED
    return Verdict(False, f"has ACS, but {_listed(off)} {'is' if len(off) == 1 else 'are'} off")


def usable_capability(device: Device) -> int:
    """The ACS capability register without what the kernel does not use."""
    capability = device.acs_capability or 0
    return capability & ~SOURCE_VALIDATION if source_validation_is_broken(device) else capability


def _without_pcie(device: Device) -> str:
    if device.header_type is None:
        return "is taken for conventional PCI, because its configuration space could not be read" + _doubts(device)
    return "has no PCI Express capability, and conventional PCI has no ACS" + _doubts(device)


def _doubts(device: Device) -> str:
    return f" (as far as could be read: {'; '.join(device.gaps)})" if device.gaps else ""


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

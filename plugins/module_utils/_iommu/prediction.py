# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The IOMMU groups that the kernel will form, and why. Pure.

The rule set is ``pci_device_group`` in drivers/iommu/iommu.c as it is from Linux 5.10 to 7.0, which the drivers of
Intel, AMD, ARM and virtio IOMMUs share. What it makes differs from the kernel's groups where ACS was switched on only
after they were formed (stable kernels 5.10, 6.1, 6.6 and 6.12 of early 2026), and where configuration space does not
tell (see ``requester_ids.py`` and ``Platform.pch_workaround``).
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.isolation import Isolation
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override import Override
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.quirks import Platform
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.requester_ids import (
    ends_alias_walk,
    passes_requester_ids,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.topology import Function, Topology
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import (
    PCI_TO_PCIE_BRIDGE,
    PCIE_TO_PCI_BRIDGE,
    Device,
)

__all__ = ["Override", "Platform", "PredictedGroup", "differences", "predict_groups"]


@dataclasses.dataclass(frozen=True)
class PredictedGroup:
    """``devices`` are ordered by address; ``reasons`` say why they were joined and are empty for a group of one."""

    devices: tuple[Address, ...]
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, list[str]]:
        return {"devices": [str(address) for address in self.devices], "reasons": list(self.reasons)}


def predict_groups(
    devices: t.Sequence[Device],
    platform: Platform,
    override: Override | None = None,
    without_group: t.Collection[Address] = (),
) -> tuple[PredictedGroup, ...]:
    """The groups, ordered by their first address; ``override`` is for a kernel that has the patch.

    ``without_group`` are functions that the IOMMU does not cover: they are in no group, and no mates of others.
    """
    former = _GroupFormer(Isolation(platform, override or Override()), Topology(devices))
    return former.form(frozenset(without_group))


@dataclasses.dataclass(eq=False)
class _Group:
    members: list[Address] = dataclasses.field(default_factory=list)
    reasons: dict[str, None] = dataclasses.field(default_factory=dict)


class _GroupFormer:
    """Puts function after function into a group, in the order in which the kernel finds them."""

    def __init__(self, isolation: Isolation, topology: Topology) -> None:
        self._isolation = isolation
        self._topology = topology
        self._groups: dict[Function, _Group] = {}

    def form(self, without_group: frozenset[Address]) -> tuple[PredictedGroup, ...]:
        groups: list[_Group] = []
        for function in self._topology.functions.values():
            if function.address in without_group:
                continue
            # What led to a group that is new joins nothing, so it is no reason.
            reasons: list[str] = []
            group = self._group_to_join(function, reasons)
            if group is None:
                group = _Group()
                groups.append(group)
            else:
                group.reasons.update(dict.fromkeys(reasons))
            group.members.append(function.address)
            self._groups[function] = group
        return tuple(PredictedGroup(tuple(group.members), tuple(group.reasons)) for group in groups)

    def _group_to_join(self, function: Function, reasons: list[str]) -> _Group | None:
        requester, group = self._through_aliases(function, reasons)
        if group is not None:
            return group
        requester, group = self._to_isolation(requester, reasons)
        if group is not None:
            return group
        seen: set[Function] = set()
        return self._of_alias_partners(requester, seen, reasons) or self._of_slot_mates(requester, seen, reasons)

    def _through_aliases(self, function: Function, reasons: list[str]) -> tuple[Function, _Group | None]:
        """``pci_for_each_dma_alias``: up to the last function whose requester id the DMA may carry."""
        requester = function
        if function.dma_device is not None:
            requester = function.dma_device
            reasons.append(f"{requester.address} does the DMA of {function.address}, which is behind it (VMD)")
        if requester in self._groups:
            return requester, self._groups[requester]
        for bridge in requester.bridges_above():
            if ends_alias_walk(bridge.device):
                break
            if not takes_over_requester_id(bridge):
                continue
            requester = bridge
            reasons.append(f"{bridge.address} is {_bridge_kind(bridge)} and takes over the requester id")
            if bridge in self._groups:
                return bridge, self._groups[bridge]
        return requester, None

    def _to_isolation(self, requester: Function, reasons: list[str]) -> tuple[Function, _Group | None]:
        """Up to where ACS on every bridge above keeps requests from turning to a neighbour."""
        for bridge in requester.bridges_above():
            culprit = self._isolation.first_open_bridge(bridge)
            if culprit is None:
                break
            requester = bridge
            reasons.append(f"{culprit.address} {self._isolation.verdict(culprit).why}")
            if bridge in self._groups:
                return bridge, self._groups[bridge]
        return requester, None

    def _of_alias_partners(self, function: Function, seen: set[Function], reasons: list[str]) -> _Group | None:
        """``get_pci_alias_group``: the function's own group or that of one with which it shares requester ids."""
        if function in seen:
            return None
        seen.add(function)
        if function in self._groups:
            return self._groups[function]
        for partner in self._topology.alias_partners(function):
            via = [f"{function.address} and {partner.address} share a requester id (device quirk)"]
            group = self._of_alias_partners(partner, seen, via) or self._of_slot_mates(partner, seen, via)
            if group is not None:
                reasons.extend(via)
                return group
        return None

    def _of_slot_mates(self, function: Function, seen: set[Function], reasons: list[str]) -> _Group | None:
        """``get_pci_function_alias_group``: functions of one slot of which neither is isolated."""
        if not function.multifunction or self._isolation.isolated(function):
            return None
        for mate in self._topology.slot_mates(function):
            if self._isolation.isolated(mate):
                continue
            via = [self._slot_reason(mate), self._slot_reason(function)]
            group = self._of_alias_partners(mate, seen, via)
            if group is not None:
                reasons.extend(via)
                return group
        return None

    def _slot_reason(self, function: Function) -> str:
        address, why = function.address, self._isolation.verdict(function).why
        return f"function {address.function} of slot {address.slot} is not isolated: it {why}"


def takes_over_requester_id(bridge: Function) -> bool:
    """Whether requests from behind the bridge carry its id: bridges between conventional PCI and PCIe, and
    conventional bridges; never ports of a switch or of the root complex."""
    if bridge.pcie_type == PCIE_TO_PCI_BRIDGE:
        return not passes_requester_ids(bridge.device)
    return bridge.pcie_type in (PCI_TO_PCIE_BRIDGE, None)


def _bridge_kind(bridge: Function) -> str:
    if bridge.pcie_type is None:
        return "a conventional PCI bridge"
    return "a PCIe-to-PCI bridge" if bridge.pcie_type == PCIE_TO_PCI_BRIDGE else "a PCI-to-PCIe bridge"


def differences(
    actual: t.Iterable[t.Collection[Address]], predicted: t.Sequence[PredictedGroup]
) -> list[dict[str, t.Any]]:
    """The kernel's groups that are none of the predicted ones, ordered by first address.

    Each as ``{"devices": [str], "predicted": [[str]], "hint": str}``; ``predicted`` are all predicted groups that
    hold one of the devices. Functions that no prediction was made for are passed over.
    """
    group_of = {address: group for group in predicted for address in group.devices}
    found: list[dict[str, t.Any]] = []
    for devices in sorted(sorted(group) for group in actual):
        touched = {group_of[address].devices: None for address in devices if address in group_of}
        known = tuple(address for address in devices if address in group_of)
        if not known or list(touched) == [known]:
            continue
        found.append(
            {
                "devices": [str(address) for address in devices],
                "predicted": [[str(address) for address in group] for group in touched],
                "hint": _hint(set(known), [set(group) for group in touched]),
            }
        )
    return found


def _hint(actual: set[Address], predicted: t.Sequence[set[Address]]) -> str:
    if all(group <= actual for group in predicted):
        return (
            "the kernel's group is coarser than ACS in configuration space asks for: some stable kernels of early 2026 "
            "formed groups before they switched ACS on (fixed in 5.10.253, 6.1.169, 6.6.135 and 6.12.83), and "
            "'pci=disable_acs_redir=' or 'pci=config_acs=' can have changed ACS; the kernel's group is what counts"
        )
    if len(predicted) == 1 and actual < predicted[0]:
        return (
            "the kernel's group is finer than ACS in configuration space allows: it may carry an override or a device "
            "quirk that is not known here, or ACS was switched off after the groups were formed; what it calls "
            "isolated may reach its neighbours"
        )
    return "the kernel grouped by rules that are not known here; its group is what counts"

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The least ``pcie_acs_override=`` that would part wanted devices from the others, or why there is none. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override import MAX_IDS, PARAMETER, Override
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.prediction import (
    Platform,
    PredictedGroup,
    predict_groups,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device

# All at once, where single ids do not do.
_PRESETS = (Override(downstream=True), Override(multifunction=True), Override(downstream=True, multifunction=True))


@dataclasses.dataclass(frozen=True)
class Advice:
    """What to add to the command line so that wanted devices share no group with others.

    ``override`` is to be added to what is ``present`` there: empty where nothing is needed, ``None`` where no
    override does it; then ``reasons`` say why. ``joined_with`` are the other functions, bridges left out, that are
    in the wanted devices' groups as things are.
    """

    override: Override | None
    joined_with: tuple[Address, ...] = ()
    reasons: tuple[str, ...] = ()


def smallest_override(
    devices: t.Sequence[Device],
    platform: Platform,
    wanted: t.Collection[Address],
    present: Override | None,
    without_group: t.Collection[Address] = (),
) -> Advice:
    """Prefer few ids over the words that open up every port or multifunction device of the host.

    An override only ever parts what is together now, so only these groups and the bridges above them are looked
    at again for each attempt. Every attempt is a whole prediction: the path up to the root bus counts, and an id
    frees all functions that carry it.
    """
    attempt = _Attempt(devices, platform, frozenset(wanted), present or Override(), frozenset(without_group))
    joined_with = attempt.joined_with(Override())
    if not joined_with:
        return Advice(Override())
    return dataclasses.replace(_search(attempt), joined_with=joined_with)


def _search(attempt: _Attempt) -> Advice:
    everything = Override(ids=attempt.ids)
    if not attempt.isolates(everything):
        return Advice(None, reasons=attempt.obstacles(everything))
    ids = _without_needless_ids(attempt)
    if len(ids.ids | attempt.present.ids) <= MAX_IDS:
        return Advice(ids)
    preset = next((preset for preset in _PRESETS if attempt.isolates(preset)), None)
    if preset is not None:
        return Advice(preset)
    number = len(ids.ids | attempt.present.ids)
    return Advice(None, reasons=(f"{number} ids would be needed and the kernel takes {MAX_IDS} in '{PARAMETER}='",))


def _without_needless_ids(attempt: _Attempt) -> Override:
    """Leave out id after id as long as what remains does it."""
    needed = attempt.ids - attempt.present.ids
    for candidate in sorted(needed):
        fewer = needed - {candidate}
        if attempt.isolates(Override(ids=fewer)):
            needed = fewer
    return Override(ids=needed)


class _Attempt:
    """Predictions for the groups that hold wanted devices, under one override after another."""

    def __init__(
        self,
        devices: t.Sequence[Device],
        platform: Platform,
        wanted: frozenset[Address],
        present: Override,
        without_group: frozenset[Address],
    ) -> None:
        self.present = present
        self._platform = platform
        self._wanted = wanted
        self._without_group = without_group
        self._devices = {device.address: device for device in devices}
        groups = predict_groups(devices, platform, present, without_group)
        members = {address for group in groups if wanted.intersection(group.devices) for address in group.devices}
        self._scope = tuple(self._devices[address] for address in self._with_bridges_above(members))
        self.ids = frozenset((device.identity.vendor_id, device.identity.device_id) for device in self._scope)

    def _with_bridges_above(self, members: t.Iterable[Address]) -> t.Iterable[Address]:
        found: dict[Address, None] = {}
        for member in members:
            address: Address | None = member
            while address in self._devices and address not in found:
                found[address] = None
                address = self._devices[address].parent
        return found

    def joined_with(self, added: Override) -> tuple[Address, ...]:
        """What shares a group with a wanted device and is neither wanted nor a bridge."""
        return tuple(sorted(address for group in self._shared(added) for address in self._others(group)))

    def isolates(self, added: Override) -> bool:
        return not self._shared(added)

    def obstacles(self, added: Override) -> tuple[str, ...]:
        """Why wanted devices would still share groups."""
        return tuple(dict.fromkeys(reason for group in self._shared(added) for reason in group.reasons))

    def _shared(self, added: Override) -> list[PredictedGroup]:
        groups = predict_groups(self._scope, self._platform, self.present | added, self._without_group)
        return [group for group in groups if self._wanted.intersection(group.devices) and self._others(group)]

    def _others(self, group: PredictedGroup) -> list[Address]:
        return [
            address for address in group.devices if address not in self._wanted and not self._devices[address].is_bridge
        ]

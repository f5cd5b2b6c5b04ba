# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every rule of the prediction is needed: with any of them switched off, some topology is grouped wrongly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu import (
    acs,
    isolation,
    prediction,
    quirks,
    topology,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.isolation import Isolation
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.quirks import ISOLATED, Verdict
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.topology import Function
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from tests.unit.plugins.iommu_cases import Case, kernel_cases
from tests.unit.plugins.iommu_table import table_cases


def never(*_arguments: Any, **_options: Any) -> bool:
    return False


def always(*_arguments: Any, **_options: Any) -> bool:
    return True


def nothing(*_arguments: Any, **_options: Any) -> None:
    return None


def override_first(function: Function, platform: Any, override: Any) -> Any:
    return (
        isolation.overridden(function, override)
        or quirks.device_quirk(function, platform)
        or isolation.by_capability(function)
    )


BY_CAPABILITY = isolation.by_capability


def conventional_isolated_too(function: Function) -> Verdict:
    return ISOLATED if function.pcie_type is None else BY_CAPABILITY(function)


def bridges_to_pcie_isolated_too(function: Function) -> Verdict:
    return ISOLATED if function.pcie_type in isolation.NEVER_ISOLATED else BY_CAPABILITY(function)


def header_bit_only(device: Device) -> bool:
    return device.multifunction and device.physfn is None


def vfs_too(device: Device) -> bool:
    return device.multifunction or device.address.function > 0


def where_it_stands(_former: Any, requester: Function, _reasons: list[str]) -> tuple[Function, None]:
    return requester, None


def open_only_if_the_nearest_is(checked: Isolation, bridge: Function) -> Function | None:
    return None


# What is switched off: where, which name, what stands there instead.
MUTATIONS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "controls that do not exist need not be on": (acs, "offered", always),
    "IDT's source validation is not used": (isolation, "source_validation_is_broken", never),
    "device quirks": (isolation, "device_quirk", nothing),
    "the override": (isolation, "overridden", nothing),
    "the override leaves ACS alone": (isolation, "has_acs", never),
    "the override comes after device quirks": (isolation, "judge", override_first),
    "conventional PCI is never isolated": (isolation, "by_capability", conventional_isolated_too),
    "some types are never isolated": (isolation, "by_capability", bridges_to_pcie_isolated_too),
    "ports and shared slots need ACS": (isolation, "needs_acs", never),
    "single functions need none": (isolation, "needs_acs", always),
    "the way up to the root bus counts": (isolation, "first_open_beyond", open_only_if_the_nearest_is),
    "functions above 0 are multifunction": (topology, "is_multifunction", header_bit_only),
    "VFs are single functions": (topology, "is_multifunction", vfs_too),
    "port types are corrected by position": (topology, "corrected_type", lambda pcie_type, above: pcie_type),
    "VMD does its children's DMA": (topology, "dma_device", nothing),
    "requester id quirks": (topology, "alias_devfns", lambda device: frozenset()),
    "bridges take over requester ids": (prediction, "takes_over_requester_id", never),
    "ports do not": (prediction, "takes_over_requester_id", always),
    "ASPEED's bridge does not": (prediction, "passes_requester_ids", never),
    "the IOMMU may sit below the root bus": (prediction, "ends_alias_walk", never),
    "isolation is sought upwards": (prediction._GroupFormer, "_to_isolation", where_it_stands),
    "slot mates are joined": (prediction._GroupFormer, "_of_slot_mates", nothing),
}


def wrongly_grouped() -> list[Case]:
    return [case for case in (*table_cases(), *kernel_cases()) if case.predicted() != case.groups]


def test_no_topology_is_grouped_wrongly_as_things_are() -> None:
    assert wrongly_grouped() == []


@pytest.mark.parametrize("rule", sorted(MUTATIONS))
def test_a_rule_that_is_switched_off_shows(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, name, instead = MUTATIONS[rule]
    monkeypatch.setattr(place, name, instead)
    assert wrongly_grouped() != []


@pytest.mark.parametrize("number", range(len(quirks.ACS_QUIRKS)))
def test_an_entry_that_is_missing_in_the_quirk_table_shows(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = quirks.ACS_QUIRKS
    monkeypatch.setattr(quirks, "ACS_QUIRKS", entries[:number] + entries[number + 1 :])
    assert wrongly_grouped() != []


def test_the_first_entry_of_the_quirk_table_that_answers_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quirks, "ACS_QUIRKS", quirks.ACS_QUIRKS[::-1])
    assert wrongly_grouped() != []

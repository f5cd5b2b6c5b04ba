# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.isolation import parting_advice
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState
from tests.unit.plugins.iommu_cases import bridge, function
from tests.unit.plugins.planned_host import IOMMU_ON, host_with

CARD, OTHER = "0000:02:00.0", "0000:03:00.0"
# A switch below a root port without ACS: everything behind it is one group.
SWITCH = [
    bridge("00:01.0", ids="8086:1901"),
    bridge("01:00.0", "upstream_port", under="00:01.0", ids="10b5:8724"),
    bridge("02:08.0", "downstream_port", under="01:00.0", ids="10b5:8724"),
    bridge("02:09.0", "downstream_port", under="01:00.0", ids="10b5:8724"),
    function("03:00.0", under="02:08.0"),
    function("04:00.0", under="02:09.0"),
]
# Two cards behind one conventional bridge.
CONVENTIONAL = [
    bridge("00:1e.0", None, ids="8086:244e"),
    function("05:00.0", None, under="00:1e.0"),
    function("05:01.0", None, under="00:1e.0"),
]


def host(devices: list[Device], patched: bool | None = None, running: str = "ro", **more: Any) -> HostState:
    grouped = tuple(dataclasses.replace(device, iommu_group=1) for device in devices)
    support = IOMMU_ON["acs_override"]
    requested = {**support["running"], "patched": patched, "effective": bool(patched)}
    iommu = {**IOMMU_ON, "acs_override": {**support, "running": requested}, **more}
    return dataclasses.replace(host_with({}, running=running), devices=grouped, iommu=iommu)


def advice(state: HostState, *wanted: str) -> str | None:
    return parting_advice(state, [Address.parse(address) for address in wanted])


def test_the_least_override_is_named_after_the_better_way() -> None:
    said = advice(host(SWITCH), "03:00.0")
    assert said is not None
    assert "'pcie_acs_override=id:8086:1901'" in said
    assert "0000:04:00.0" in said
    assert said.index("another slot") < said.index("pcie_acs_override")
    assert "only looks isolated" in said


@pytest.mark.parametrize(("patched", "words"), [(None, "finds out"), (False, "lacks the patch")])
def test_what_is_known_of_the_kernel_is_said(patched: bool | None, words: str) -> None:
    assert words in (advice(host(SWITCH, patched), "03:00.0") or "")


def test_an_override_that_takes_effect_already_counts() -> None:
    assert advice(host(SWITCH, True, "ro pcie_acs_override=downstream"), "03:00.0") is None
    # A kernel that lacks the patch passes over it.
    assert advice(host(SWITCH, False, "ro pcie_acs_override=downstream"), "03:00.0") is not None


def test_where_none_helps_the_reason_is_named() -> None:
    said = advice(host(CONVENTIONAL), "05:00.0")
    assert said is not None
    assert said.startswith("no ACS override parts the selection from 0000:05:01.0")
    assert "0000:00:1e.0" in said


def test_a_whole_group_needs_no_advice() -> None:
    assert advice(host(SWITCH), "03:00.0", "04:00.0") is None


def test_with_the_iommu_off_all_functions_count() -> None:
    off = host(SWITCH, enabled=False)
    without = dataclasses.replace(
        off, devices=tuple(dataclasses.replace(device, iommu_group=None) for device in off.devices)
    )
    assert advice(without, "03:00.0") is not None


@pytest.mark.parametrize("enabled", [True, False])
def test_the_override_counts_that_the_groups_were_formed_or_predicted_with(enabled: bool) -> None:
    state = host(SWITCH, enabled=enabled)
    support = {"requested": ["downstream"], "patched": True, "evidence": "", "effective": True}
    acs_override = {**state.iommu["acs_override"], "next_boot": {**support, "kernel": "6.12"}}
    state = dataclasses.replace(
        state,
        iommu={**state.iommu, "acs_override": acs_override},
        boot={**state.boot, "next_boot": ["ro", "pcie_acs_override=downstream"]},
    )
    assert (advice(state, "03:00.0") is None) is not enabled

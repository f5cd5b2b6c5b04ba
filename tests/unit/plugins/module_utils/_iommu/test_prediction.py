# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override import Override
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.prediction import (
    Platform,
    PredictedGroup,
    differences,
    predict_groups,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from tests.unit.plugins.iommu_cases import ACS_ON, Case, bridge, function, kernel_cases, memberships, together
from tests.unit.plugins.iommu_table import PCH_PORT, PORT, ROOT_PORT_WITHOUT_ACS, table_cases


def reasons(*devices: Device, platform: Platform | None = None) -> str:
    """All reasons as one text."""
    return "; ".join(reason for group in predict_groups(devices, platform or Platform()) for reason in group.reasons)


@pytest.mark.parametrize("case", kernel_cases(), ids=lambda case: case.name)
def test_the_groups_are_those_of_the_kernel(case: Case) -> None:
    assert case.predicted() == case.groups


def test_there_are_cases_of_every_sort() -> None:
    cases = kernel_cases()
    assert len(cases) == 51
    assert sum(case.override is not None for case in cases) >= 20
    assert any(device.physfn for case in cases for device in case.devices)


@pytest.mark.parametrize("case", table_cases(), ids=lambda case: case.name)
def test_rules_that_no_recorded_kernel_shows(case: Case) -> None:
    assert case.predicted() == case.groups


def test_what_is_assumed_is_said() -> None:
    assert "it is assumed" in reasons(*PCH_PORT)
    assert "assumed" not in reasons(*PCH_PORT, platform=Platform(pch_workaround=False))


REASONS = {
    "0000:00:1c.0 has no ACS capability": (ROOT_PORT_WITHOUT_ACS, function("01:00.0", under=PORT)),
    "0000:00:1c.0 has ACS, but source validation and request redirect are off": (
        bridge(PORT, acs=(0x1D, 0x18)),
        function("01:00.0", under=PORT),
    ),
    "0000:00:1c.0 has ACS, but upstream forwarding is off": (
        bridge(PORT, acs=(0x1D, 0x0D)),
        function("01:00.0", under=PORT),
    ),
    "0000:00:1e.0 is a conventional PCI bridge and takes over the requester id": (
        bridge("00:1e.0", None),
        function("02:01.0", None, under="00:1e.0"),
    ),
    "0000:00:1e.0 is a PCIe-to-PCI bridge and takes over the requester id": (
        bridge("00:1e.0", "pcie_to_pci_bridge"),
        function("02:01.0", None, under="00:1e.0"),
    ),
    "function 1 of slot 0000:00:1f is not isolated: it has no ACS capability": (
        function("00:1f.0", multifunction=True),
        function("00:1f.1"),
    ),
    "0000:00:0e.0 does the DMA of 10000:e0:01.0, which is behind it (VMD)": (
        function("0000:00:0e.0"),
        function("10000:e0:01.0", under="0000:00:0e.0"),
    ),
    "0000:01:00.1 and 0000:01:00.0 share a requester id (device quirk)": (
        function("01:00.0", ids="1b4b:9172"),
        function("01:00.1", acs=ACS_ON),
    ),
    "0000:00:1c.0 has no ACS capability (as far as could be read: only 256 bytes of configuration space)": (
        bridge(PORT, gaps=("only 256 bytes of configuration space",)),
        function("01:00.0", under=PORT),
    ),
    "is taken for conventional PCI, because its configuration space could not be read": (
        function("00:1f.0", None, header_type=None, multifunction=True),
        function("00:1f.1", None),
    ),
}


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_reasons_name_device_and_cause(reason: str) -> None:
    assert reason in reasons(*REASONS[reason])


def test_every_reason_is_given_once_and_no_other() -> None:
    devices = (
        bridge(PORT),
        function("01:00.0", under=PORT, acs=ACS_ON),
        function("01:00.1", under=PORT, acs=ACS_ON),
        function("00:1f.0", None, multifunction=True),
        function("00:1f.3", None),
        function("00:1f.4"),
    )
    conventional = "it has no PCI Express capability, and conventional PCI has no ACS"
    assert [group.reasons for group in predict_groups(devices, Platform())] == [
        ("0000:00:1c.0 has no ACS capability",),
        (
            f"function 0 of slot 0000:00:1f is not isolated: {conventional}",
            f"function 3 of slot 0000:00:1f is not isolated: {conventional}",
            "function 4 of slot 0000:00:1f is not isolated: it has no ACS capability",
        ),
    ]


def test_the_way_to_a_group_of_ones_own_is_no_reason() -> None:
    """A port that the IOMMU does not cover cannot be joined, however open it is."""
    devices = (bridge(PORT), function("01:00.0", under=PORT), function("01:01.0", under=PORT))
    groups = predict_groups(devices, Platform(), without_group=[Address.parse(PORT)])
    assert [(len(group.devices), group.reasons) for group in groups] == [(1, ()), (1, ())]


def test_functions_that_the_iommu_does_not_cover_are_nowhere() -> None:
    devices = (function("00:1f.0", multifunction=True), function("00:1f.1"), function("00:1f.2"))
    assert memberships(devices, without_group=[Address.parse("00:1f.1")]) == together("00:1f.0 00:1f.2")


def test_a_parent_that_was_not_read_is_no_bridge() -> None:
    assert memberships([function("01:00.0", under=PORT)]) == together("01:00.0")


def test_parents_in_a_circle_end_nowhere() -> None:
    devices = (bridge("01:00.0", under="02:00.0"), bridge("02:00.0", under="01:00.0"))
    assert memberships(devices) == together("01:00.0 02:00.0")


def test_platform_and_groups_travel_as_json() -> None:
    for platform in (Platform(), Platform(True, False), Platform(False, True)):
        assert Platform.from_json(platform.to_json()) == platform
    group = PredictedGroup((Address.parse("00:1f.0"), Address.parse("00:1f.1")), ("why",))
    assert group.to_json() == {"devices": ["0000:00:1f.0", "0000:00:1f.1"], "reasons": ["why"]}


PCIE_TYPE = st.sampled_from(["root_port", "upstream_port", "downstream_port", "pcie_to_pci_bridge", None])
ENDPOINT_TYPE = st.sampled_from(["endpoint", "legacy_endpoint", "root_complex_endpoint", None])
IDS = st.sampled_from(["1af4:1000", "8086:1521", "8086:8c10", "1b4b:9172", "1180:e832", "1d17:0001", "10b5:87b0"])
ACS = st.sampled_from([None, None, ACS_ON, (0x1D, 0), (0, 0)])


@st.composite
def topologies(draw: st.DrawFn) -> tuple[Device, ...]:
    """Bridges with functions on the buses behind them; VFs and slots with several functions among them."""
    devices: list[Device] = []
    buses: list[tuple[int, str | None]] = [(0, None)]
    for number in range(1, draw(st.integers(1, 5)) + 1):
        bus, above = draw(st.sampled_from(buses))
        address = f"{bus:02x}:{draw(st.integers(0, 3)) + 4 * number % 32:02x}.{draw(st.integers(0, 1))}"
        devices.append(bridge(address, draw(PCIE_TYPE), under=above, acs=draw(ACS), ids=draw(IDS)))
        buses.append((number, address))
    for (bus, above), slot, number in itertools.product(buses, (28, 29), (0, 1)):
        if draw(st.booleans()):
            devices.append(
                function(
                    f"{bus:02x}:{slot:02x}.{number}",
                    draw(ENDPOINT_TYPE),
                    under=above,
                    acs=draw(ACS),
                    ids=draw(IDS),
                    multifunction=draw(st.booleans()),
                )
            )
    return tuple({device.address: device for device in devices}.values())


OVERRIDES = st.builds(
    Override,
    st.booleans(),
    st.booleans(),
    st.frozensets(st.sampled_from([("1af4", "1000"), ("8086", "1521"), ("10b5", "87b0")])),
)


@given(topologies(), OVERRIDES, st.randoms())
def test_groups_partition_the_devices_in_any_order(
    devices: tuple[Device, ...], override: Override, order: Random
) -> None:
    shuffled = list(devices)
    order.shuffle(shuffled)
    groups = predict_groups(devices, Platform(), override)
    assert predict_groups(shuffled, Platform(), override) == groups
    members = [address for group in groups for address in group.devices]
    assert sorted(members) == sorted(device.address for device in devices)
    assert [group.devices for group in groups] == sorted(tuple(sorted(group.devices)) for group in groups)


@given(topologies(), OVERRIDES)
def test_reasons_stand_exactly_where_something_was_joined(devices: tuple[Device, ...], override: Override) -> None:
    for group in predict_groups(devices, Platform(), override):
        assert bool(group.reasons) == (len(group.devices) > 1)


@given(topologies(), OVERRIDES, OVERRIDES)
def test_an_override_never_makes_groups_coarser(devices: tuple[Device, ...], some: Override, more: Override) -> None:
    before = memberships(devices, override=some)
    for group in memberships(devices, override=some | more):
        assert any(group <= larger for larger in before)


@given(topologies(), OVERRIDES)
def test_equal_groups_differ_in_nothing(devices: tuple[Device, ...], override: Override) -> None:
    groups = predict_groups(devices, Platform(), override)
    assert differences([set(group.devices) for group in groups], groups) == []


A, B, C = (Address.parse(f"01:00.{number}") for number in range(3))


@pytest.mark.parametrize(
    ("actual", "predicted", "word"),
    [
        ([{A, B}, {C}], [(A,), (B,), (C,)], "coarser"),
        ([{A}, {B}, {C}], [(A, B), (C,)], "finer"),
        ([{A, B}, {C}], [(A,), (B, C)], "rules that are not known"),
    ],
)
def test_a_difference_is_told_with_both_sides(
    actual: list[set[Address]], predicted: list[tuple[Address, ...]], word: str
) -> None:
    found = differences(actual, [PredictedGroup(group, ()) for group in predicted])
    assert word in found[0]["hint"]
    assert found[0]["devices"] == [str(address) for address in sorted(actual[0])]
    assert [str(A)] in found[0]["predicted"] or [str(A), str(B)] in found[0]["predicted"]


def test_functions_without_a_prediction_are_no_difference() -> None:
    assert differences([{A, B}], [PredictedGroup((A,), ())]) == []
    assert differences([{B}], [PredictedGroup((A,), ())]) == []


def test_ten_thousand_functions_take_no_noticeable_time() -> None:
    devices: list[Device] = []
    for bus in range(1, 41):
        port = f"00:{bus % 32:02x}.{bus // 32}"
        devices.append(bridge(port))
        devices += [
            function(
                f"{bus:02x}:{slot:02x}.{number}",
                under=port,
                multifunction=True,
                ids="10b5:87b0" if bus < 3 else "1af4:1000",
            )
            for slot in range(32)
            for number in range(8)
        ]
    begin = time.process_time()
    groups = predict_groups(devices, Platform())
    assert time.process_time() - begin < 5
    assert sum(len(group.devices) for group in groups) == 40 * 257

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override import Override
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override_advice import (
    Advice,
    smallest_override,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.prediction import Platform, predict_groups
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from tests.unit.plugins.iommu_cases import ACS_ON, Case, bridge, function, kernel_cases

PORT, NEXT_PORT = "00:1c.0", "00:1c.4"
GPU = function("01:00.0", under=PORT, ids="10de:2204", multifunction=True)
GPU_AUDIO = function("01:00.1", under=PORT, ids="10de:1aef")
NIC = function("02:00.0", under=NEXT_PORT, ids="8086:15f3")
TWO_PORTS = (bridge(PORT, ids="8086:a338", multifunction=True), bridge(NEXT_PORT, ids="8086:a33c"), GPU, GPU_AUDIO, NIC)


def advise(
    devices: tuple[Device, ...], *wanted: str, present: Override | None = None, platform: Platform | None = None
) -> Advice:
    return smallest_override(devices, platform or Platform(), [Address.parse(text) for text in wanted], present)


def isolates(devices: tuple[Device, ...], wanted: set[Address], override: Override) -> bool:
    bridges = {device.address for device in devices if device.is_bridge}
    return not any(
        wanted & set(group.devices) and set(group.devices) - wanted - bridges
        for group in predict_groups(devices, Platform(), override)
    )


def test_nothing_is_needed_where_nothing_is_shared() -> None:
    devices = (bridge(PORT, acs=ACS_ON), GPU, GPU_AUDIO, NIC)
    assert advise(devices, "01:00.0", "01:00.1") == Advice(Override())


def test_bridges_in_the_group_are_nobody() -> None:
    assert advise((bridge(PORT), NIC, function("01:00.0", under=PORT)), "01:00.0") == Advice(Override())


def test_one_port_is_enough_where_one_port_is_open() -> None:
    advice = advise(TWO_PORTS, "01:00.0", "01:00.1")
    assert advice.override is not None
    assert len(advice.override.ids) == 1
    assert not advice.override.downstream
    assert advice.joined_with == (NIC.address,)


def test_every_port_on_the_way_is_needed_and_no_other() -> None:
    switch = (
        bridge(PORT, ids="8086:a338"),
        bridge("01:00.0", "upstream_port", under=PORT, ids="10b5:8747"),
        bridge("02:08.0", "downstream_port", under="01:00.0", ids="10b5:8748"),
        bridge("02:10.0", "downstream_port", under="01:00.0", ids="10b5:8749"),
        function("03:00.0", under="02:08.0", ids="10de:2204"),
        function("03:01.0", under="02:08.0", ids="10de:2204"),
        function("04:00.0", under="02:10.0", ids="10de:2204"),
    )
    advice = advise(switch, "03:00.0")
    assert advice.override == Override(ids=frozenset({("8086", "a338"), ("10b5", "8748")}))
    assert advice.joined_with == (Address.parse("03:01.0"), Address.parse("04:00.0"))


def test_what_is_there_already_is_not_asked_for_again() -> None:
    present = Override(ids=frozenset({("8086", "a338"), ("8086", "a33c")}))
    assert advise(TWO_PORTS, "01:00.0", "01:00.1", present=present) == Advice(Override())
    only_function = advise(TWO_PORTS, "01:00.0", present=present)
    assert only_function == Advice(Override(ids=frozenset({("10de", "1aef")})), (GPU_AUDIO.address,)) or (
        only_function == Advice(Override(ids=frozenset({("10de", "2204")})), (GPU_AUDIO.address,))
    )


def chain() -> tuple[Device, ...]:
    """Seventeen root ports one behind the other, each of another model, and two endpoints behind the last."""
    ports = [bridge("00:01.0", ids="1af4:0000")]
    for number in range(1, 17):
        ports.append(bridge(f"{number:02x}:01.0", under=str(ports[-1].address), ids=f"1af4:{number:04x}"))
    last = str(ports[-1].address)
    return (*ports, function("20:00.0", under=last), function("20:01.0", under=last))


def test_words_are_used_where_the_ids_are_too_many() -> None:
    assert advise(chain(), "20:00.0").override == Override(downstream=True)


FIFTEEN_IDS = Override(ids=frozenset(("8086", f"{number:04x}") for number in range(15)))


def test_ids_that_are_there_already_take_their_places() -> None:
    assert advise(TWO_PORTS, "01:00.0", "01:00.1", present=FIFTEEN_IDS).override == Override(downstream=True)
    collectors = [
        function(f"00:05.{number}", "root_complex_event_collector", ids=f"1af4:000{number}", multifunction=True)
        for number in range(2)
    ]
    advice = advise(tuple(collectors), "00:05.0", present=FIFTEEN_IDS)
    assert advice.override is None
    assert advice.reasons == ("16 ids would be needed and the kernel takes 15 in 'pcie_acs_override='",)


IMPOSSIBLE: dict[str, tuple[tuple[Device, ...], str, str]] = {
    "a conventional bridge": (
        (
            bridge("00:1e.0", None),
            function("05:01.0", None, under="00:1e.0"),
            function("05:02.0", None, under="00:1e.0"),
        ),
        "05:01.0",
        "0000:00:1e.0 is a conventional PCI bridge and takes over the requester id",
    ),
    "ACS that is off": (
        (bridge(PORT, acs=(0x1D, 0x11)), GPU, function("01:01.0", under=PORT)),
        "01:00.0",
        "0000:00:1c.0 has ACS, but request redirect and completion redirect are off",
    ),
    "an earlier entry of the kernel's table": (
        (bridge(PORT, ids="8086:8c10"), GPU, function("01:01.0", under=PORT)),
        "01:00.0",
        "0000:00:1c.0 is an Intel PCH root port without ACS; it is assumed",
    ),
    "VMD": (
        (
            function("00:0e.0", "root_complex_endpoint", ids="8086:9a0b"),
            bridge("10000:e0:06.0", under="0000:00:0e.0"),
            function("10000:e1:00.0", under="10000:e0:06.0"),
        ),
        "10000:e1:00.0",
        "0000:00:0e.0 does the DMA of 10000:e1:00.0",
    ),
}


@pytest.mark.parametrize("name", sorted(IMPOSSIBLE))
def test_where_no_override_helps_the_cause_is_named(name: str) -> None:
    devices, wanted, reason = IMPOSSIBLE[name]
    advice = advise(devices, wanted)
    assert advice.override is None
    assert any(text.startswith(reason) for text in advice.reasons)
    assert advice.joined_with


@given(st.sampled_from(kernel_cases()), st.data())
def test_advice_holds_and_nothing_in_it_is_needless(case: Case, data: st.DataObject) -> None:
    endpoints = [device.address for device in case.devices if not device.is_bridge]
    wanted = data.draw(st.sets(st.sampled_from(endpoints), min_size=1, max_size=3))
    override = smallest_override(case.devices, Platform(), wanted, None).override
    if override is None:
        assert not isolates(case.devices, wanted, Override(True, True))
        return
    assert isolates(case.devices, wanted, override)
    for candidate in override.ids:
        assert not isolates(case.devices, wanted, Override(ids=override.ids - {candidate}))

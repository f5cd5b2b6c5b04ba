# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random machines: the same for the same seed, and such that QEMU takes them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.fuzz.parts import CONVENTIONAL, EXPRESS, HYBRID
from lab.fuzz.topology import Topology, generate

USB = ("ich9-usb-uhci1", "ich9-usb-uhci2", "ich9-usb-uhci3", "ich9-usb-ehci1")
DRIVERS = frozenset({*EXPRESS, *HYBRID, *CONVENTIONAL, *USB, "igb"})
PCIE_PORTS = frozenset({"pcie-root-port", "ioh3420", "xio3130-downstream"})
ACS_PORTS = frozenset({"pcie-root-port", "ioh3420"})
CONVENTIONAL_BRIDGES = frozenset({"pcie-pci-bridge", "pci-bridge", "i82801b11-bridge"})
BRIDGES = PCIE_PORTS | CONVENTIONAL_BRIDGES | {"x3130-upstream"}
SEEDS = st.integers(0, 2**32)


@dataclass(frozen=True)
class Device:
    driver: str
    options: dict[str, str]

    @property
    def slot(self) -> str:
        return self.options["addr"].partition(".")[0]

    @property
    def function(self) -> str:
        return self.options["addr"].partition(".")[2] or "0"


def devices(topology: Topology) -> list[Device]:
    """Everything at a place on a bus, in QEMU's order."""
    assert topology.devices[::2] == ("-device",) * (len(topology.devices) // 2)
    found = []
    for text in topology.devices[1::2]:
        driver, *options = text.split(",")
        device = Device(driver, dict(option.split("=", 1) for option in options))
        if "bus" in device.options:
            found.append(device)
    return found


@given(SEEDS)
def test_a_seed_says_everything(seed: int) -> None:
    assert generate(seed, DRIVERS, config_acs=True) == generate(seed, set(DRIVERS), config_acs=True)


def test_seeds_differ() -> None:
    assert len({generate(seed, DRIVERS).devices for seed in range(100)}) == 100


@given(SEEDS)
def test_every_bus_is_there_before_what_is_on_it(seed: int) -> None:
    known = {"pcie.0"}
    for device in devices(generate(seed, DRIVERS)):
        assert device.options["bus"] in known
        known.add(device.options["id"])


@given(SEEDS)
def test_no_two_functions_share_a_place_or_a_name(seed: int) -> None:
    found = devices(generate(seed, DRIVERS))
    places = [(device.options["bus"], device.slot, device.function) for device in found]
    assert len(places) == len(set(places))
    assert len(found) == len({device.options["id"] for device in found})
    chassis = [device.options[word] for device in found for word in ("chassis", "chassis_nr") if word in device.options]
    assert len(chassis) == len(set(chassis))


@given(SEEDS)
def test_several_functions_begin_with_one_that_says_so(seed: int) -> None:
    slots: dict[tuple[str, str], list[Device]] = {}
    for device in devices(generate(seed, DRIVERS)):
        slots.setdefault((device.options["bus"], device.slot), []).append(device)
    for members in slots.values():
        first = [device for device in members if device.function == "0"]
        assert len(first) == 1
        assert len(members) == 1 or first[0].options["multifunction"] == "on"


@given(SEEDS)
def test_what_is_where_qemu_takes_it(seed: int) -> None:
    found = devices(generate(seed, DRIVERS))
    driver_of = {device.options["id"]: device.driver for device in found}
    for device in found:
        bus = driver_of.get(device.options["bus"], "pcie.0")
        if bus in PCIE_PORTS:
            assert device.slot == "00"
        elif bus in CONVENTIONAL_BRIDGES:
            assert device.driver in {*CONVENTIONAL, *HYBRID, "pci-bridge"}
            assert device.slot != "00"
        elif bus == "pxb-pcie":
            assert device.driver in BRIDGES
        elif bus == "pcie.0":
            assert device.slot not in ("00", "1f")


@given(SEEDS)
def test_vfs_can_be_plugged_in(seed: int) -> None:
    found = devices(generate(seed, DRIVERS))
    fixed = {device.options["id"] for device in found if device.options.get("hotplug") == "off"}
    assert not any("sriov_max_vfs" in device.options and device.options["bus"] in fixed for device in found)


@given(SEEDS)
def test_a_machine_can_carry_it(seed: int) -> None:
    found = devices(generate(seed, DRIVERS))
    with_children = {device.options["bus"] for device in found}
    bridges = [device for device in found if device.driver in BRIDGES and device.options["id"] in with_children]
    assert len(bridges) <= 12
    assert len(found) <= 100


@given(SEEDS)
def test_a_driver_that_qemu_lacks_is_not_asked_for(seed: int) -> None:
    lacking = DRIVERS - {"igb", "bochs-display"}
    given_drivers = [device.driver for device in devices(generate(seed, lacking))]
    assert not {"igb", "bochs-display"} & set(given_drivers)
    assert len(given_drivers) == len(devices(generate(seed, DRIVERS)))
    assert generate(seed, lacking).kernel_parameters == generate(seed, DRIVERS).kernel_parameters


@pytest.mark.parametrize(
    ("what", "config_acs"),
    [
        ("pxb-pcie", False),
        ("bypass_iommu=on", False),
        ("default_bus_bypass_iommu=on", False),
        ("disable-acs=on", False),
        ("sriov_max_vfs=", False),
        ("igb", False),
        ("x3130-upstream", False),
        ("pci-bridge", False),
        ("pci=disable_acs_redir=0000:", False),
        ("pci=config_acs=", True),
        ("noari", False),
        ("VFS=50", False),
    ],
)
def test_every_kind_of_topology_comes_up(what: str, config_acs: bool) -> None:
    assert any(what in _text(generate(seed, DRIVERS, config_acs=config_acs)) for seed in range(200))


def _text(topology: Topology) -> str:
    return " ".join([topology.machine, *topology.devices, *topology.kernel_parameters])


@given(SEEDS)
def test_a_kernel_is_not_told_what_it_does_not_know(seed: int) -> None:
    assert "config_acs" not in _text(generate(seed, DRIVERS))


@given(SEEDS)
def test_ports_that_lose_acs_are_there(seed: int) -> None:
    topology = generate(seed, DRIVERS, config_acs=True)
    found = devices(topology)
    bus_of = {"pcie.0": 0} | {
        each.options["id"]: int(each.options["bus_nr"]) for each in found if "bus_nr" in each.options
    }
    ports = {
        f"0000:{bus_of[each.options['bus']]:02x}:{each.options['addr']}" for each in found if each.driver in ACS_PORTS
    }
    named = re.findall(r"0000:[0-9a-f:.]+", " ".join(topology.kernel_parameters))
    assert set(named) <= ports


@given(SEEDS)
def test_its_description_is_one_line(seed: int) -> None:
    text = generate(seed, DRIVERS).description
    assert text.startswith("00")
    assert "\n" not in text

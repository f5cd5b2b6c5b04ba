# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks on a host that answers from a table: each must fail when its promise is broken."""

from __future__ import annotations

from typing import Any

import pytest

from lab import topology
from lab.binding import __main__ as binding
from lab.binding.__main__ import BRIDGE, CARDS, DATA, DRIVE, GIVEN, LIST_LOADED, LIST_MACS, MACS, NIC, OTHERS, TWINS
from lab.binding.evidence import LIST_DRIVERS
from lab.steps import StepFailedError

# What iproute2 6.1 prints of the PF.
INTERFACE = (
    "6: ens8: <BROADCAST,MULTICAST> mtu 1500 state DOWN\\    link/ether 52:54:00:aa:00:30 brd ff:ff:ff:ff:ff:ff"
    + "".join(
        f"\\    vf {index}     link/ether {mac} brd ff:ff:ff:ff:ff:ff, spoof checking on, link-state auto, trust off"
        for index, mac in enumerate(MACS)
    )
)


class AnsweringHost:
    """Holds a driver for each function, and a kernel log."""

    def __init__(
        self,
        drivers: dict[str, str],
        log: str,
        data: str = "same",
        loaded: str = "e1000e\nigbvf\nvfio-pci",
        interface: str = INTERFACE,
    ) -> None:
        listing = "\n".join(f"{address} {driver}" for address, driver in drivers.items())
        self.answers = {
            LIST_DRIVERS: listing,
            "dmesg": log,
            DATA: data,
            LIST_LOADED: loaded,
            LIST_MACS: interface,
        }

    def ssh(self, command: str) -> str:
        return self.answers[command]


def spoken(drivers: dict[str, str]) -> str:
    return "".join(f"[    1.0] {driver} {address}: hello\n" for address, driver in drivers.items())


NATIVE = {**CARDS, **TWINS, BRIDGE: ""}
HELD = {**NATIVE, **dict.fromkeys(GIVEN, "vfio-pci")}
ALL_SAID = spoken({**GIVEN, **TWINS})
SAID = "".join(
    f"[ 9.0] virtfleet-passthrough: {address} is {ids}, expected 8086:10d3: left to its own driver\n"
    for address, (ids, _driver) in OTHERS.items()
)
SWAPPED = {**HELD, **{address: driver for address, (_ids, driver) in OTHERS.items()}}


def native(host: Any) -> None:
    binding.check_native(host)


def held(host: Any) -> None:
    binding.check_held(host, NATIVE, "same")


def others(host: Any) -> None:
    binding.check_others(host, "same")


def test_native_host_passes() -> None:
    native(AnsweringHost(NATIVE, ALL_SAID))


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (AnsweringHost({**NATIVE, NIC: "vfio-pci"}, ALL_SAID), "0000:01:00.0 is held by vfio-pci"),
        # A log in which the driver does not speak could prove nothing later.
        (AnsweringHost(NATIVE, spoken(TWINS)), "0000:01:00.0 is held by e1000e"),
        (AnsweringHost(NATIVE, spoken({**CARDS, **TWINS})), "igbvf did not speak of 0000:08:10.0, 0000:08:10.2"),
    ],
)
def test_host_that_is_not_native_fails(host: AnsweringHost, words: str) -> None:
    with pytest.raises(StepFailedError, match=words):
        native(host)


def test_held_host_passes() -> None:
    held(AnsweringHost(HELD, spoken(TWINS)))


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (AnsweringHost({**HELD, "0000:08:10.2": ""}, spoken(TWINS)), "0000:08:10.2 is held by no driver"),
        (AnsweringHost(HELD, spoken({**TWINS, NIC: "e1000e"})), "e1000e has seen 0000:01:00.0"),
        (AnsweringHost({**HELD, BRIDGE: "vfio-pci"}, spoken(TWINS)), "0000:03:00.0: no driver before, vfio-pci now"),
        (AnsweringHost({**HELD, "0000:02:00.0": "vfio-pci"}, spoken(TWINS)), "0000:02:00.0: e1000e before"),
        (AnsweringHost(HELD, ""), "e1000e says nothing about 0000:02:00.0"),
        (AnsweringHost(HELD, spoken(TWINS), "other"), "the data on the twin"),
        (AnsweringHost(HELD, spoken(TWINS), loaded="igb\nvfio-pci"), "igbvf is not loaded"),
        (
            AnsweringHost(HELD, spoken(TWINS), interface=INTERFACE.replace(MACS[1], "00:00:00:00:00:00")),
            "VF 1 of 0000:08:00.0 has not the MAC 52:54:00:aa:00:41",
        ),
    ],
)
def test_device_that_is_not_held_fails(host: AnsweringHost, words: str) -> None:
    with pytest.raises(StepFailedError, match=words):
        held(host)


def test_other_models_pass() -> None:
    others(AnsweringHost(SWAPPED, SAID))


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (AnsweringHost({**SWAPPED, DRIVE: "vfio-pci"}, SAID), "0000:05:00.0 is held by vfio-pci, expected nvme"),
        (AnsweringHost({**SWAPPED, "0000:07:00.0": "xhci_hcd"}, SAID), "0000:07:00.0 is held by xhci_hcd"),
        (AnsweringHost(SWAPPED, ""), "does not say that 0000:01:00.0 is 10ec:8139"),
        (AnsweringHost(SWAPPED, SAID, "other"), "the data on the twin"),
    ],
)
def test_other_model_that_was_taken_fails(host: AnsweringHost, words: str) -> None:
    with pytest.raises(StepFailedError, match=words):
        others(host)


class Playbooks:
    def __init__(self, status: int, said: str) -> None:
        self.answer = (status, said)

    def attempt(self, _playbook: str) -> tuple[int, str]:
        return self.answer


@pytest.mark.parametrize(
    ("status", "said", "fails"), [(2, SAID, False), (0, SAID, True), (2, SAID.splitlines()[0], True), (2, "", True)]
)
def test_verify_must_fail_and_name_what_sits_there(status: int, said: str, fails: bool) -> None:
    playbooks: Any = Playbooks(status, said)
    if fails:
        with pytest.raises(StepFailedError, match=r"verify\.yml ended with status"):
            binding.check_told(playbooks)
    else:
        binding.check_told(playbooks)


def test_revert_that_leaves_something_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "manifest", lambda _host: {"/etc/a": "1"})
    host: Any = AnsweringHost(NATIVE, "")
    binding.check_reverted(host, NATIVE, {"/etc/a": "1"}, "same")
    held_still: Any = AnsweringHost(HELD, "", "other")
    with pytest.raises(StepFailedError, match=r"7 differences are left: .*new: /etc/a; the data on the twin"):
        binding.check_reverted(held_still, NATIVE, {}, "same")


def test_the_two_topologies_differ_in_two_cards() -> None:
    one, two = (topology.load(name) for name in (binding.TOPOLOGY, binding.CHANGED))
    pairs = zip(one.walk(), two.walk(), strict=True)
    cards = [(a.id, a.driver, b.driver) for a, b in pairs if not a.behind and a != b]
    assert cards == [("nic_a", "e1000e", "rtl8139"), ("nvme_a", "nvme", "nvme")]
    assert (one.memory, one.cpus, one.qemu, one.drives) == (two.memory, two.cpus, two.qemu, two.drives)

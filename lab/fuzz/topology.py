# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A random machine from a seed: which PCI functions it has, and with which parameters its kernel boots."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass

from lab.fuzz.parameters import kernel_parameters, vf_share
from lab.fuzz.parts import (
    CONVENTIONAL,
    EXPRESS,
    HYBRID,
    SUBSTITUTE,
    Card,
    Function,
    RootBus,
    describe,
    device_arguments,
)

# Each bridge may ask for 4 KiB of the 64 KiB of I/O ports; beyond that the firmware stops the machine.
_MOST_BRIDGES = 12
_MOST_FUNCTIONS = 40
# QEMU has something of its own in slots 00 and 1f of bus 0.
_FREE_SLOTS = range(0x01, 0x1F)
# Extra root buses; the numbers leave room for what is behind the ports of the bus before.
_EXTRA_BUSES = (0x40, 0x80, 0xC0)
_ROOT_PORTS = ("pcie-root-port", "pcie-root-port", "ioh3420")
_ACS_PORTS = frozenset({"pcie-root-port", "ioh3420"})
# Choices for a slot that are none once there are as many bridges as the machine can carry.
_WITH_BRIDGES = frozenset({"ports", "bridge", "mixed", "switch", "odd", "upstream"})
_ICH9_USB = ((0, "ich9-usb-uhci1"), (1, "ich9-usb-uhci2"), (2, "ich9-usb-uhci3"), (7, "ich9-usb-ehci1"))


@dataclass(frozen=True)
class Topology:
    """A machine: QEMU's arguments for everything that is drawn, the kernel's parameters, and a line to print.

    ``uncovered_buses`` are the numbers of root buses without an IOMMU; ``vf_share`` is the percentage of its VFs that
    each PF gets.
    """

    seed: int
    machine: str
    devices: tuple[str, ...]
    kernel_parameters: tuple[str, ...]
    uncovered_buses: frozenset[int]
    vf_share: int
    description: str


def generate(seed: int, drivers: Collection[str], *, config_acs: bool = False) -> Topology:
    """The same for the same arguments.

    ``drivers`` are what QEMU offers; ``config_acs`` says that the kernel knows ``pci=config_acs=``.
    """
    rng = random.Random(seed)
    buses = _Grower(rng, drivers).buses()
    bypass = rng.random() < 0.04
    uncovered = frozenset(bus.number for bus in buses if (bypass if bus.number == 0 else bus.bypass_iommu))
    # In QEMU 7.2 no port below these has ACS.
    ports = [
        f"0000:{bus.number:02x}:{function.place}"
        for bus in buses
        for function in bus.functions
        if function.card.driver in _ACS_PORTS
    ]
    share = vf_share(rng)
    parameters = kernel_parameters(rng, ports, share, config_acs=config_acs)
    texts = [f"{bus.number:02x}{' (no IOMMU)' * (bus.number in uncovered)}: {describe(bus.functions)}" for bus in buses]
    return Topology(
        seed=seed,
        machine="q35,kernel-irqchip=split" + ",default_bus_bypass_iommu=on" * bypass,
        devices=("-device", _iommu(rng), *device_arguments(buses)),
        kernel_parameters=parameters,
        uncovered_buses=uncovered,
        vf_share=share,
        description="; ".join([*texts, *parameters]),
    )


def _iommu(rng: random.Random) -> str:
    options = ["intel-iommu", "intremap=on", "caching-mode=on"]
    options += rng.choice(([], [], ["aw-bits=48"]))
    options += rng.choice(([], ["device-iotlb=on"]))
    return ",".join(options)


class _Grower:
    """Grows the tree of one machine within the numbers of bridges and functions that it can carry."""

    def __init__(self, rng: random.Random, drivers: Collection[str]) -> None:
        self._rng = rng
        self._drivers = drivers
        self._bridges = rng.randint(2, _MOST_BRIDGES)
        self._functions = rng.randint(8, _MOST_FUNCTIONS)

    def buses(self) -> tuple[RootBus, ...]:
        rng = self._rng
        extra = sorted(rng.sample(_EXTRA_BUSES, rng.choice((0, 0, 0, 1, 1, 2, 3))))
        slots = rng.sample(_FREE_SLOTS, len(extra) + rng.randint(3, 7))
        own, bridges = slots[len(extra) :], slots[: len(extra)]
        result = [RootBus(0, self._bus(own, self._root_slot))]
        for number, slot in zip(extra, bridges, strict=True):
            places = rng.sample(range(0x20), rng.randint(1, 3))
            functions = self._bus(places, self._extra_root_slot)
            result.append(RootBus(number, functions, slot, bypass_iommu=rng.random() < 0.2))
        return tuple(result)

    # --- buses: which slots are taken, each by a function that gives the cards of a slot -------------

    def _bus(self, slots: Collection[int], fill: Callable[[], dict[int, Card]]) -> tuple[Function, ...]:
        result: list[Function] = []
        for slot in sorted(slots):
            result += self._placed(slot, fill())
        return tuple(result)

    def _placed(self, slot: int, cards: dict[int, Card]) -> list[Function]:
        # Function 0 must say that there are others. A lone one may say so too, and the others need not.
        several = len(cards) > 1
        return [
            Function(card, slot, number, (several and number == 0) or self._rng.random() < (0.5 if several else 0.1))
            for number, card in sorted(cards.items())
        ]

    def _several(self, make: Callable[[], Card]) -> dict[int, Card]:
        """A slot with function 0 and up to four of the other seven."""
        others = self._rng.sample(range(1, 8), self._rng.choice((0, 0, 0, 1, 1, 2, 3, 4)))
        return {number: make() for number in (0, *others)}

    def _root_slot(self) -> dict[int, Card]:
        """A slot of a root bus, where express endpoints are integrated into the root complex."""
        choice = self._choose(ports=6, express=2, hybrid=1, conventional=2, bridge=2, mixed=1, usb=1, sriov=1)
        if choice == "ports":
            return self._several(self._root_port)
        if choice == "express":
            return self._several(self._express)
        if choice == "bridge":
            return self._several(self._conventional_bridge)
        if choice == "mixed":
            return self._several(self._root_card)
        if choice == "usb":
            return {number: self._card(driver) for number, driver in _ICH9_USB}
        if choice == "sriov":
            # Its VFs follow it in the same slot: without ARI there are seven functions more.
            return {0: self._sriov(7)}
        return self._several(self._hybrid if choice == "hybrid" else self._conventional)

    def _extra_root_slot(self) -> dict[int, Card]:
        """A slot of an extra root bus, where QEMU takes bridges alone."""
        return self._several(self._extra_root_card) if self._bridges_left() else {0: self._root_port()}

    def _root_card(self) -> Card:
        return self._rng.choice((self._root_port, self._express, self._conventional))()

    def _extra_root_card(self) -> Card:
        return self._rng.choice((self._root_port, self._root_port, self._root_port, self._conventional_bridge))()

    def _port_slot(self) -> dict[int, Card]:
        """Slot 0, the only one below a root or downstream port."""
        choice = self._choose(express=5, hybrid=2, switch=4, bridge=3, conventional=2, mixed=2, sriov=3, odd=1)
        if choice == "switch":
            return {0: self._switch()}
        if choice == "bridge":
            return {0: self._conventional_bridge()}
        if choice == "mixed":
            # A switch with a function of its own beside the port, as some graphics cards have.
            return {0: self._switch(), 1: self._express()}
        if choice == "sriov":
            return {0: self._rng.choice((self._sriov, self._sriov, self._igb))(16)}
        if choice == "odd":
            # A downstream port where an upstream one belongs: the kernel corrects its type by its position.
            return {0: self._downstream_port()}
        makers = {"express": self._express, "hybrid": self._hybrid, "conventional": self._conventional}
        return self._several(makers[choice])

    def _switch_slot(self) -> dict[int, Card]:
        choice = self._choose(ports=12, express=1, upstream=1)
        if choice == "upstream":
            return {0: self._switch()}
        return self._several(self._downstream_port if choice == "ports" else self._express)

    def _conventional_slot(self) -> dict[int, Card]:
        choice = self._choose(conventional=5, hybrid=2, bridge=1)
        if choice == "bridge":
            return {0: self._pci_bridge()}
        return self._several(self._conventional if choice == "conventional" else self._hybrid)

    def _choose(self, **weights: int) -> str:
        if not self._bridges_left():
            weights = {name: weight for name, weight in weights.items() if name not in _WITH_BRIDGES}
        return self._rng.choices(tuple(weights), tuple(weights.values()))[0]

    # --- cards -------------------------------------------------------------------------------------

    def _card(self, driver: str, *properties: str) -> Card:
        self._functions -= 1
        known = driver in self._drivers
        return Card(driver, properties) if known else Card(SUBSTITUTE)

    def _express(self) -> Card:
        driver = self._rng.choice(EXPRESS)
        return self._card(driver, *(["serial={name}"] if driver == "nvme" else []))

    def _hybrid(self) -> Card:
        return self._card(self._rng.choice(HYBRID), *self._rng.choice(([], [], ["x-disable-pcie=on"])))

    def _conventional(self) -> Card:
        return self._card(self._rng.choice(CONVENTIONAL))

    def _sriov(self, most: int) -> Card:
        vfs = self._rng.randint(1, most)
        self._functions -= 1
        properties = (
            "serial={name}",
            "subsys=subsystem-{name}",
            f"sriov_max_vfs={vfs}",
            # The least that QEMU accepts: two queues and one interrupt for each VF, besides the PF's own.
            f"sriov_vq_flexible={2 * vfs}",
            f"sriov_vi_flexible={vfs}",
            f"max_ioqpairs={2 * vfs + 2}",
            f"msix_qsize={vfs + 1}",
        )
        return Card("nvme", properties, ("-device", "nvme-subsys,id=subsystem-{name}"), vfs=vfs)

    def _igb(self, most: int) -> Card:
        """A NIC whose VFs begin 128 functions further on, where QEMU (from 8.0) has it."""
        nvme = self._sriov(most)
        return Card("igb", vfs=7) if "igb" in self._drivers else nvme

    # --- bridges: each takes from the number that is left, the last ones have nothing behind them -----

    def _root_port(self) -> Card:
        properties = self._rng.choice(([], ["disable-acs=on"]))
        return self._port(self._rng.choice(_ROOT_PORTS), *properties)

    def _downstream_port(self) -> Card:
        return self._port("xio3130-downstream")

    def _port(self, driver: str, *properties: str) -> Card:
        hotplug = self._rng.choice(([], ["hotplug=off"]))
        filled = self._take_bridge() and self._rng.random() < 0.85
        behind = self._bus((0,), self._port_slot) if filled else ()
        # To QEMU a VF that comes into being is plugged in.
        offers_vfs = any(function.card.vfs for function in behind)
        return Card(driver, (*properties, *([] if offers_vfs else hotplug)), behind=behind)

    def _switch(self) -> Card:
        slots = self._rng.sample(range(0x20), self._rng.randint(1, 3)) if self._take_bridge() else ()
        return Card("x3130-upstream", behind=self._bus(slots, self._switch_slot))

    def _conventional_bridge(self) -> Card:
        driver = self._rng.choice(("pcie-pci-bridge", "pcie-pci-bridge", "pci-bridge", "i82801b11-bridge"))
        return self._pci_bridge(driver)

    def _pci_bridge(self, driver: str = "pci-bridge") -> Card:
        slots = self._rng.sample(range(1, 0x20), self._rng.randint(1, 3)) if self._take_bridge() else ()
        # Without its hot-plug controller a bridge has slot 0 as well, and fewer memory regions.
        properties = ("shpc=off",) if driver == "pci-bridge" else ()
        return Card(driver, properties, behind=self._bus(slots, self._conventional_slot))

    def _take_bridge(self) -> bool:
        self._bridges -= 1
        return self._bridges_left()

    def _bridges_left(self) -> bool:
        return self._bridges > 0 and self._functions > 0

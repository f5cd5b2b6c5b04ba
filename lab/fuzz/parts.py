# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PCI functions as QEMU knows them, and how a tree of them becomes its arguments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# Ports whose hot-plug slot wants a chassis and slot number that no other has; pci-bridge has its own word for it.
_SLOT_PORTS = frozenset({"pcie-root-port", "ioh3420", "xio3130-downstream"})

# Functions on a PCIe bus: those with an express capability wherever it is possible, the others as conventional PCI.
EXPRESS = ("e1000e", "nvme", "qemu-xhci", "nec-usb-xhci", "vmxnet3", "pvscsi", "megasas-gen2")
HYBRID = (
    "virtio-rng-pci",
    "virtio-net-pci",
    "virtio-scsi-pci",
    "virtio-serial-pci",
    "virtio-keyboard-pci",
    "virtio-gpu-pci",
)
CONVENTIONAL = (
    "e1000",
    "rtl8139",
    "i82559c",
    "edu",
    "pvpanic-pci",
    "pci-testdev",
    "usb-ehci",
    "piix3-usb-uhci",
    "ich9-intel-hda",
    "ich9-ahci",
    "lsi53c895a",
    "am53c974",
    "bochs-display",
)
# Takes the place of a device that this QEMU does not have, so that the rest of a seed's topology stays what it is.
SUBSTITUTE = "e1000e"


@dataclass(frozen=True)
class Card:
    """One function without a place: what it is and what hangs below it.

    ``before`` are arguments that QEMU needs ahead of the device; ``name`` stands in them and in ``properties`` as
    ``{name}`` for a word that no other card has. ``vfs`` is the number of VFs it offers.
    """

    driver: str
    properties: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    behind: tuple[Function, ...] = ()
    vfs: int = 0


@dataclass(frozen=True)
class Function:
    """A card at its place on a bus."""

    card: Card
    slot: int
    function: int
    multifunction: bool

    @property
    def place(self) -> str:
        return f"{self.slot:02x}.{self.function:x}"


@dataclass(frozen=True)
class RootBus:
    """``number`` 0 is QEMU's own root bus; others are extra ones, each made by a device on bus 0."""

    number: int
    functions: tuple[Function, ...]
    host_bridge_slot: int = 0
    bypass_iommu: bool = False


class _Names:
    def __init__(self) -> None:
        self.count = 0

    def next(self) -> int:
        self.count += 1
        return self.count


def device_arguments(buses: tuple[RootBus, ...]) -> list[str]:
    """Give QEMU's arguments for all functions; bridges come before what is behind them."""
    names = _Names()
    result: list[str] = []
    for bus in buses:
        if bus.number == 0:
            continue
        bypass = ",bypass_iommu=on" if bus.bypass_iommu else ""
        place = f"bus=pcie.0,addr={bus.host_bridge_slot:02x}"
        result += ["-device", f"pxb-pcie,id=root{bus.number:02x},{place},bus_nr={bus.number}{bypass}"]
    for bus in buses:
        parent = "pcie.0" if bus.number == 0 else f"root{bus.number:02x}"
        for function in bus.functions:
            result += _arguments(function, parent, names)
    return result


def _arguments(function: Function, parent: str, names: _Names) -> Iterator[str]:
    card, number = function.card, names.next()
    name = f"d{number}"
    for word in card.before:
        yield word.format(name=name)
    options = [card.driver, f"id={name}", f"bus={parent}", f"addr={function.place}"]
    options.append(f"multifunction={'on' if function.multifunction else 'off'}")
    if card.driver in _SLOT_PORTS:
        options += [f"chassis={number}", f"slot={number}"]
    elif card.driver == "pci-bridge":
        options.append(f"chassis_nr={number}")
    # No option ROM: firmware would spend its time on each.
    options += ["romfile=", *(word.format(name=name) for word in card.properties)]
    yield "-device"
    yield ",".join(options)
    for child in card.behind:
        yield from _arguments(child, name, names)


def describe(functions: tuple[Function, ...]) -> str:
    """Give the tree in one line: slots in order, functions of a slot joined by ``+``, what is behind in brackets."""
    slots: dict[int, list[str]] = {}
    for function in functions:
        card = function.card
        text = card.driver
        if "disable-acs=on" in card.properties:
            text += "(no ACS)"
        if card.vfs:
            text += f"({card.vfs} VFs)"
        if card.behind:
            text += f"[{describe(card.behind)}]"
        slots.setdefault(function.slot, []).append(text)
    return " ".join("+".join(texts) for texts in slots.values())

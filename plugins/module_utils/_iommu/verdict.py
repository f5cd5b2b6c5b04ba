# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Whether a PCI function can be given to a guest, and what stands against it. Pure.

One table of rules serves the facts (a verdict for every function), the plan (refusals) and the writer (the same
refusals once more, right before it writes). Each finding carries the name of its rule, see ``docs/rules.md``.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.console import (
    ALLOW_LAST_DISPLAY,
    LAST_DISPLAY,
    displays_kept,
    is_display,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.membership import blocks_group
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.surroundings import Surroundings
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import (
    BASE_CLASS_STORAGE,
    CLASS_USB_CONTROLLER,
    HOLDING_DRIVERS,
    Device,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency

ALLOW_BUILTIN = "builtin_driver"
ALLOW_NO_RESET = "no_reset"
ALLOW_UNSAFE_INTERRUPTS = "unsafe_interrupts"
ALLOW_DENYLISTED = "denylisted"
ALLOW_PREDICTED = "predicted_group"

# vfio_pci_dev_in_denylist() in the kernel's drivers/vfio/pci/vfio_pci.c: functions whose hardware lets a guest break
# out of its domain. The ids are those of include/linux/pci_ids.h.
_DENYLIST = frozenset(
    ("8086", device_id)
    for device_id in (
        "0435",  # QAT DH895xCC
        "0443",
        "0b25",  # DSA of Sapphire Rapids
        "0cfe",  # IAX of Sapphire Rapids
        "19e2",  # QAT C3xxx
        "19e3",
        "37c8",  # QAT C62x
        "37c9",
    )
)

# The method that resets everything on the function's bus, as reset_method names it.
_BUS_RESET = "bus"

_GO_BY_ADDRESS = "use method=override, which goes by address"

# By a dependency's kind; storage, network and the like are one rule.
_RULES: t.Final[t.Mapping[str, str]] = {"boot_vga": "PRE-09", "last_display": "PRE-08", "in_use": "VFIO-23"}


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that stands against giving a function away.

    ``rule`` names the rule; ``device`` is the function that is the reason, which may be a member of the same IOMMU
    group; ``allow`` is the key that permits it (``None``: nothing does). One that only ``warns`` forbids nothing.
    """

    rule: str
    device: str
    reason: str
    allow: str | None = None
    warns: bool = False

    def to_json(self) -> dict[str, t.Any]:
        return {"rule": self.rule, "device": self.device, "reason": self.reason, "allow": self.allow}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What passing one function through would take.

    ``companions`` have to leave the host with it; ``keep_on_host`` are the bridges of its group, which stay. With
    ``after_reboot`` the group is a prediction, because the IOMMU is off.
    """

    companions: tuple[str, ...]
    keep_on_host: tuple[str, ...]
    blockers: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    after_reboot: bool

    def to_json(self) -> dict[str, t.Any]:
        return {
            "possible": not self.blockers,
            "companions": list(self.companions),
            "keep_on_host": list(self.keep_on_host),
            "blockers": [finding.to_json() for finding in self.blockers],
            "warnings": [finding.to_json() for finding in self.warnings],
            "after_reboot": self.after_reboot,
        }


def verdict(device: Device, around: Surroundings) -> Verdict:
    """The verdict for one function together with its whole IOMMU group."""
    mates = () if device.is_bridge else around.mates(device)
    found = list(findings(device, around))
    return Verdict(
        companions=tuple(str(mate.address) for mate in mates if not mate.is_bridge),
        keep_on_host=tuple(str(mate.address) for mate in mates if mate.is_bridge),
        blockers=tuple(finding for finding in found if not finding.warns),
        warnings=tuple(finding for finding in found if finding.warns),
        after_reboot=not around.iommu_enabled,
    )


def findings(device: Device, around: Surroundings) -> t.Iterator[Finding]:
    """Everything that stands against giving ``device`` and, with it, its group away."""
    if device.is_bridge:
        yield from _bridge(device)
        return
    yield from _needed_by_host(device, around)
    yield from _last_display(device, around)
    yield from _builtin_driver(device, around)
    yield from _no_group(device, around)
    yield from _reserved_by_firmware(device, around)
    yield from _denylisted(device, around)
    yield from _unsafe_interrupts(device, around)
    yield from _no_reset(device, around)
    for mate in around.mates(device):
        yield from _mate(device, mate, around)
    yield from twins(device, around) if around.by_ids else ()


def _bridge(device: Device) -> t.Iterator[Finding]:
    yield Finding(
        "IOMMU-17",
        str(device.address),
        f"{device.address} is a bridge (class {device.class_code}): other devices are reached through it, "
        "bridges are never given to a guest",
    )


def _needed_by_host(device: Device, around: Surroundings) -> t.Iterator[Finding]:
    for dependency in around.needs(device):
        reason = f"{device.address} {dependency.detail}"
        yield Finding(_rule_of(dependency), str(device.address), reason, dependency.allow)


def _last_display(device: Device, around: Surroundings) -> t.Iterator[Finding]:
    """Several displays that each have another one beside them may be all there are."""
    if not is_display(device) or any(dependency.kind == LAST_DISPLAY for dependency in around.needs(device)):
        # The only one there is says so by itself.
        return
    leaving = {device.address, *around.selected, *(mate.address for mate in around.mates(device))}
    if not displays_kept(around.devices, leaving):
        reason = f"{device.address} is a display, and with the others that are given away none is left to the host"
        yield Finding("PRE-08", str(device.address), reason, ALLOW_LAST_DISPLAY)


def _builtin_driver(device: Device, around: Surroundings) -> t.Iterator[Finding]:
    if device.driver is None or device.driver in HOLDING_DRIVERS or device.driver not in around.builtin_drivers:
        return
    reason = (
        f"{device.driver}, which holds {device.address}, is built into the kernel: "
        "it probes the device before any initramfs"
    )
    if device.class_code.startswith(BASE_CLASS_STORAGE):
        yield Finding("VFIO-15", str(device.address), f"{reason}, which for storage may already use its data")
    elif around.by_ids:
        reason += f" and vfio-pci takes nothing that has a driver: ids come too late, {_GO_BY_ADDRESS}"
        yield Finding("VFIO-15", str(device.address), reason)
    else:
        reason += " and vfio-pci gets it only afterwards"
        yield Finding("VFIO-15", str(device.address), reason, ALLOW_BUILTIN)


def _no_group(device: Device, around: Surroundings) -> t.Iterator[Finding]:
    if around.iommu_enabled and device.iommu_group is None:
        reason = f"{device.address} is in no IOMMU group although the IOMMU is on: it cannot be given to a guest"
        yield Finding("IOMMU-13", str(device.address), reason)


def _reserved_by_firmware(device: Device, around: Surroundings) -> t.Iterator[Finding]:
    region = around.firmware_region(device)
    if region is not None:
        yield Finding(
            "RESET-13",
            str(device.address),
            f"the firmware demands that {device.address}'s IOMMU group reaches its memory {region} unchanged: the "
            "kernel gives no guest a device of such a group. Look in the firmware's set-up for what uses it (legacy "
            "USB, remote management)",
        )


def _denylisted(device: Device, around: Surroundings) -> t.Iterator[Finding]:
    if (device.identity.vendor_id, device.identity.device_id) in _DENYLIST and not around.denylist_disabled:
        yield Finding(
            "VFIO-DENYLIST",
            str(device.address),
            f"vfio-pci refuses {device.address}: the kernel knows that this model lets a guest out of its domain",
            ALLOW_DENYLISTED,
        )


def _unsafe_interrupts(device: Device, around: Surroundings) -> t.Iterator[Finding]:
    if around.interrupt_remapping is False and not around.unsafe_interrupts_allowed:
        yield Finding(
            "VFIO-INTERRUPTS",
            str(device.address),
            f"this IOMMU does not remap interrupts: a guest with {device.address} could raise any interrupt of the "
            "host, and VFIO refuses that unless vfio_iommu_type1 is loaded with allow_unsafe_interrupts=1",
            ALLOW_UNSAFE_INTERRUPTS,
        )


def _no_reset(device: Device, around: Surroundings) -> t.Iterator[Finding]:
    reason = why_no_reset(device, around)
    if reason is None:
        return
    if around.is_part_of_display_card(device):
        # Most such cards are passed through for years; the listing that everybody learns from shows one.
        yield Finding("RESET-03", str(device.address), reason, warns=True)
        return
    rule = "RESET-02"
    if device.class_code == CLASS_USB_CONTROLLER:
        rule = "RESET-04"
        reason += ". Single USB devices can be given to a guest without their controller"
    yield Finding(rule, str(device.address), reason, ALLOW_NO_RESET)


def why_no_reset(device: Device, around: Surroundings) -> str | None:
    """``None`` where the kernel can reset the function alone.

    It makes the list of methods when it finds a function, and the bus may get its other functions after that: then
    ``bus`` is listed, and refused whenever it is tried (``pci_parent_bus_reset`` and ``pci_init_capabilities`` in
    the kernel's drivers/pci).
    """
    if not device.resettable:
        return (
            f"{device.address} cannot be reset: the next guest finds it as the last one left it, or the last one's "
            "shutdown hangs until the host is rebooted"
        )
    sharing = around.share_bus(device) if device.reset_methods == (_BUS_RESET,) else ()
    if not sharing:
        return None
    others = ", ".join(str(other.address) for other in sharing)
    return (
        f"{device.address} can be reset only with its whole bus, which it shares with {others}: VFIO does that while "
        "one guest has all of them, and else the next guest finds it as the last one left it"
    )


def _rule_of(dependency: Dependency) -> str:
    return _RULES.get(dependency.kind, "VFIO-22")


def _mate(device: Device, mate: Device, around: Surroundings) -> t.Iterator[Finding]:
    """A group goes as a whole: what one function can reach through the other, the guest can reach.

    A member of a predicted group may be allowed whatever it is: it is not touched, and should the prediction hold,
    the kernel gives none of the group to a guest.
    """
    if mate.address in around.selected:
        return
    shares = f"{mate.address} shares {around.group_name(device)} with {device.address}"
    predicted = None if around.iommu_enabled else ALLOW_PREDICTED
    for dependency in around.needs(mate):
        reason = f"{shares}, and {mate.address} {dependency.detail}"
        if not mate.is_bridge:
            yield Finding(_rule_of(dependency), str(mate.address), reason, predicted or dependency.allow)
    if blocks_group(mate):
        way_out = (
            f"It is a bridge and stays with the host: keep {mate.driver} from being loaded"
            if mate.is_bridge
            else f"Select {mate.address} too"
        )
        yield Finding(
            "IOMMU-16",
            str(mate.address),
            f"{shares} and is held by {mate.driver}: the group is not viable. {way_out}, or move one of the cards "
            "into another slot; an ACS override comes last",
            predicted,
        )


def twins(device: Device, around: Surroundings) -> t.Iterator[Finding]:
    """The functions outside the selection that vfio-pci cannot tell from ``device`` by vendor and device id."""
    ids = (device.identity.vendor_id, device.identity.device_id)
    for other in around.devices:
        same = (other.identity.vendor_id, other.identity.device_id) == ids
        if same and other.address != device.address and other.address not in around.selected:
            yield _twin(device, other)


def _twin(device: Device, twin: Device) -> Finding:
    ids = f"{device.identity.vendor_id}:{device.identity.device_id}"
    reason = f"{twin.address} has the ids of {device.address} ({ids}), so vfio-pci would take it too: {_GO_BY_ADDRESS}"
    rule = "VFIO-04" if twin.is_bridge else "VFIO-03"
    return Finding(rule, str(twin.address), reason)

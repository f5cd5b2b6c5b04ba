# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Lines of logs that are known to come with a fault of passthrough, what causes them and what helps. Pure.

A line is evidence, its absence is none. Where no remedy is known, none is made up.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

KERNEL, QEMU, LIBVIRT, XORG = "kernel", "qemu", "libvirt", "xorg"

_DEVICE = r"(?P<device>[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7])"


@dataclasses.dataclass(frozen=True)
class Signature:
    """``sources`` are the logs in which ``pattern`` means this. ``at_end`` asks for it to be among the last lines of
    a log: earlier it is harmless."""

    name: str
    sources: tuple[str, ...]
    pattern: re.Pattern[str]
    cause: str
    remedies: tuple[str, ...] = ()
    at_end: bool = False


@dataclasses.dataclass(frozen=True)
class Finding:
    """One fault: ``device`` is a PCI address where the line names one, ``source`` the log, ``message`` the line."""

    name: str
    source: str
    message: str
    cause: str
    remedies: tuple[str, ...] = ()
    device: str | None = None

    def to_json(self) -> dict[str, t.Any]:
        return {**dataclasses.asdict(self), "remedies": list(self.remedies)}


_NO_FRAMEBUFFER = (
    "Keep the firmware's framebuffer off that card: initcall_blacklist=sysfb_init, before Linux 5.15 video=efifb:off"
)

# How many lines count as the end of a log: the console may have said a little more before it went silent.
_END = 5

SIGNATURES: t.Final[tuple[Signature, ...]] = (
    Signature(
        "vga_decodes_hang",
        (KERNEL,),
        re.compile(rf"{_DEVICE}: vgaarb: (?:changed VGA decodes|VGA decodes changed)"),
        "the boot ended where the VGA arbiter took a display's legacy ranges away: another driver still used it",
        (
            "Boot with no monitor at the card that is for guests",
            _NO_FRAMEBUFFER,
        ),
        at_end=True,
    ),
    Signature(
        "bar_not_reserved",
        (KERNEL, QEMU),
        re.compile(rf"{_DEVICE}: BAR \d+(?: \[mem [^\]]*\])?: can(?:'t|not) reserve(?: \[mem [^\]]*\])?"),
        "something else on the host holds the device's memory range, often the firmware's framebuffer; a guest may "
        "report code 43",
        (
            "See what holds the range in /proc/iomem",
            _NO_FRAMEBUFFER,
        ),
    ),
    Signature(
        "header_type_127",
        (KERNEL, QEMU, LIBVIRT),
        re.compile(rf"[Uu]nknown (?:PCI )?header type '?(?:127|7f)'?(?: for device '?{_DEVICE})?"),
        "the device answers nothing any more: it did not come back from a reset (the reset bug of some AMD GPUs), or "
        "the firmware of an AMD Ryzen board (AGESA) broke its power states",
        (
            "vfio_vendor_reset, for AMD GPUs that vendor-reset knows",
            "Another version of the board's firmware",
            "Reboot the host to have the device back",
        ),
    ),
    Signature(
        "stuck_in_d3",
        (KERNEL, QEMU, LIBVIRT),
        re.compile(
            rf"(?:{_DEVICE}: )?(?:Refused to change power state|[Uu]nable to (?:power on device|change power state))"
            r".*D3"
        ),
        "the device does not wake up from a low power state",
        ("vfio_disable_idle_d3", "Reboot the host to have the device back"),
    ),
    Signature(
        "uncorrected_aer",
        (KERNEL,),
        re.compile(
            rf"{_DEVICE}: (?:AER: )?(?:Multiple )?(?:PCIe Bus Error: severity=)?Uncorrect(?:ed|able) \(Non-Fatal\)"
        ),
        "the link below this port loses transactions, seen with USB hubs behind PCI Express; no remedy is known",
    ),
    Signature(
        "platform_rmrr",
        (KERNEL,),
        re.compile(rf"{_DEVICE}: (?:DMAR: )?Device is ineligible for IOMMU domain attach due to platform RMRR"),
        "the firmware demands a fixed mapping for the device (RMRR), and VFIO refuses it for that reason",
        ("An option or another version of the board's firmware that leaves the device out", "Another slot or device"),
    ),
    Signature(
        "soft_lockup",
        (KERNEL,),
        re.compile(r"BUG: soft lockup - CPU#\d+ stuck"),
        "a CPU of the host was busy for long; after a guest was stopped, a device that uses line interrupts and not "
        "MSI is a known reason",
        ("Turn MSI on for the device inside the guest (lspci -v on the host shows 'MSI: Enable-')",),
    ),
    Signature(
        "group_not_viable",
        (QEMU, LIBVIRT),
        re.compile(rf"(?:{_DEVICE}.*)?group \d+ is not viable"),
        "another function of the IOMMU group has a driver of the host",
        ("Select the whole group in vfio_devices; the plan names its members",),
    ),
    Signature(
        "backing_size",
        (QEMU, LIBVIRT),
        re.compile(r"backing store (?:\S+ )?size 0x[0-9a-f]+ (?:does not match|is too small for) 'size' option"),
        "the file behind a shared memory device has another size than the domain asks for",
        ("Remove the file while no guest uses it: it is made anew with the right size",),
    ),
    Signature(
        "xorg_wrong_gpu",
        (XORG,),
        re.compile(r"\(EE\).*(?:no screens found|Cannot run in framebuffer mode|[Ss]pecify busIDs?)"),
        "Xorg found no GPU to use, and may have tried the one that is for guests",
        ("vfio_xorg_host_gpu names the host's GPU",),
    ),
)


def diagnose(source: str, text: str) -> list[Finding]:
    """What the log ``text`` of the kind ``source`` shows: one finding for each fault and device, by the last line
    that shows it, in the table's order."""
    lines = text.splitlines()
    found: dict[tuple[str, str | None], Finding] = {}
    for signature in SIGNATURES:
        if source not in signature.sources:
            continue
        for line in lines[-_END:] if signature.at_end else lines:
            match = signature.pattern.search(line)
            if match is None:
                continue
            device = match.groupdict().get("device")
            found[signature.name, device] = Finding(
                signature.name, source, line.strip(), signature.cause, signature.remedies, device
            )
    return list(found.values())

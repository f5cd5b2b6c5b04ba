# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""For the faults that a guest shows alike whatever causes them: which of the known causes this host has. Pure.

A cause that applies need not be the one, and none of it is a fault while the guest works.
"""

from __future__ import annotations

import dataclasses
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.virtfleet.passthrough.plugins.module_utils._diagnosis.signatures import Finding
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.surroundings import Surroundings
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.verdict import why_no_reset
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.domains import DomainState, pci_addresses
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import BASE_CLASS_DISPLAY, Device

CLEAR, APPLIES, UNKNOWN = "clear", "applies", "unknown"
CODE_43, STOP_LOOP, NO_PICTURE, ONE_CORE = "code_43", "stop_loop", "no_picture", "one_core"
NO_HDMI_AUDIO, FROZEN_CONSOLE, STUCK_SHUTDOWN = "no_hdmi_audio", "frozen_console", "stuck_shutdown"

_INTEL, _NVIDIA = "8086", "10de"
# Above this a BAR has been enlarged; it is what cards without Resizable BAR have at most.
_USUAL_BAR = 256 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Cpu:
    """As /proc/cpuinfo has it."""

    vendor: str
    family: int
    model: int

    @property
    def is_zen_2(self) -> bool:
        """By the models that the kernel counts so (bsp_init_amd() in arch/x86/kernel/cpu/amd.c)."""
        ranges = ((0x30, 0x4F), (0x60, 0x7F), (0x90, 0x91), (0xA0, 0xAF))
        is_17h = self.vendor == "AuthenticAMD" and self.family == 0x17
        return is_17h and any(first <= self.model <= last for first, last in ranges)


@dataclasses.dataclass(frozen=True)
class Facts:
    """``findings`` come from the logs; ``kernel_log`` tells whether the kernel's could be read. ``rom_is_uefi`` is by
    path, ``None`` for what is no ROM; ``largest_bars`` in bytes by address, of functions that can resize theirs;
    ``shutting_down`` is for how many seconds a domain has been told to end, by name. ``ignore_msrs`` is ``None``
    while kvm is not loaded."""

    devices: tuple[Device, ...] = ()
    domains: tuple[DomainState, ...] = ()
    findings: tuple[Finding, ...] = ()
    kernel_log: bool = True
    kernel: tuple[int, ...] = ()
    cpu: Cpu | None = None
    ignore_msrs: bool | None = None
    iommu_enabled: bool = False
    portable: bool = False
    rom_is_uefi: t.Mapping[str, bool | None] = dataclasses.field(default_factory=dict)
    largest_bars: t.Mapping[str, int] = dataclasses.field(default_factory=dict)
    shutting_down: t.Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Check:
    """One cause of one symptom. ``state`` is whether this host or domain has it."""

    symptom: str
    name: str
    state: str
    message: str
    remedies: tuple[str, ...] = ()
    domain: str | None = None
    devices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, t.Any]:
        return {**dataclasses.asdict(self), "remedies": list(self.remedies), "devices": list(self.devices)}


def check(facts: Facts, shutdown_limit: int) -> list[Check]:
    """Every cause for the host, and for each domain that has PCI functions of it. ``shutdown_limit`` in seconds."""
    found = [*_host(facts)]
    for domain in facts.domains:
        tree = domain.tree
        addresses = pci_addresses(tree)
        if addresses:
            found += _domain(facts, domain.name, tree, addresses)
            found += _stuck(facts, domain, addresses, shutdown_limit)
    return found


def _host(facts: Facts) -> t.Iterator[Check]:
    msrs = UNKNOWN if facts.ignore_msrs is None else CLEAR if facts.ignore_msrs else APPLIES
    yield Check(
        STOP_LOOP,
        "unknown_msrs",
        msrs,
        "kvm faults guests that read a register it does not know: Windows 10 since 1803 may stop or restart for ever",
        ("vfio_ignore_msrs",),
    )
    graphics = [device for device in facts.devices if _is_display(device) and device.identity.vendor_id == _INTEL]
    yield Check(
        NO_HDMI_AUDIO,
        "igpu_behind_iommu",
        APPLIES if graphics and facts.iommu_enabled else CLEAR,
        "the IOMMU is on for the graphics of an Intel CPU: some lose the sound over HDMI on the host",
        ("intel_iommu=on,igfx_off takes them out of the IOMMU's reach; only if the sound is missed",),
        devices=_named(graphics),
    )
    taken = [device for device in facts.devices if device.boot_vga and device.held_for_guests]
    yield Check(
        FROZEN_CONSOLE,
        "boot_display_taken",
        APPLIES if taken and facts.kernel >= (6, 0) else CLEAR,
        "vfio-pci takes the display that the firmware started with: since Linux 6.0 its picture stands still early in "
        "the boot while the host boots on",
        ("Wait for the host on the network, not at its screen", "Have the firmware start with another display"),
        devices=_named(taken),
    )


def _domain(facts: Facts, name: str, tree: ET.Element, addresses: t.Collection[str]) -> t.Iterator[Check]:
    own = [device for device in facts.devices if str(device.address) in addresses]
    displays = [device for device in own if _is_display(device)]
    for found in (*_code_43(facts, tree, displays), *_stibp(facts, tree), *_no_picture(tree, own, displays)):
        yield dataclasses.replace(found, domain=name)
    alone = (tree.findtext("vcpu") or "1").strip() != "1" and tree.find("cpu/topology") is None
    yield Check(
        ONE_CORE,
        "no_topology",
        APPLIES if alone else CLEAR,
        "the domain has several vCPUs and no topology: each is a socket, and some editions of Windows use one or two",
        ("topology of the domain, with sockets, cores and threads",),
        name,
    )


def _code_43(facts: Facts, tree: ET.Element, displays: t.Sequence[Device]) -> t.Iterator[Check]:
    if not displays:
        return
    nvidia = [device for device in displays if device.identity.vendor_id == _NVIDIA]
    hidden = tree.find("features/kvm/hidden[@state='on']") is not None
    renamed = tree.find("features/hyperv/vendor_id[@state='on']") is not None
    yield Check(
        CODE_43,
        "hypervisor_seen",
        APPLIES if nvidia and not (hidden or renamed) else CLEAR,
        "the guest sees that it runs under KVM: drivers of NVIDIA before 465 refuse to work then",
        ("A driver of NVIDIA from 465 on", "features/kvm/hidden state='on' in the domain's XML"),
        devices=_named(nvidia),
    )
    has_table = tree.find("os/acpi/table") is not None or "-acpitable" in {arg.get("value") for arg in _arguments(tree)}
    yield Check(
        CODE_43,
        "no_battery",
        APPLIES if nvidia and facts.portable and not has_table else CLEAR,
        "the host is a portable one, and NVIDIA's drivers for such look for a battery in the guest",
        ("An ACPI table with a battery, as os/acpi/table in the domain's XML",),
        devices=_named(nvidia),
    )
    yield _no_uefi_rom(facts, tree, displays)
    yield _logged(
        facts,
        "bar_not_reserved",
        ("bar_not_reserved",),
        displays,
        "something else on the host holds a memory range of the device",
        ("See what holds the range in /proc/iomem",),
    )
    enlarged = [device for device in displays if facts.largest_bars.get(str(device.address), 0) > _USUAL_BAR]
    yield Check(
        CODE_43,
        "resizable_bar",
        APPLIES if enlarged else CLEAR,
        "the firmware has enlarged a BAR (Resizable BAR), which some drivers in guests do not take",
        ("vfio_resizable_bars", "Turn Resizable BAR off in the firmware's set-up"),
        devices=_named(enlarged),
    )
    machine = tree.find("os/type")
    driver = tree.find("features/ioapic")
    chosen = None if driver is None else driver.get("driver")
    # QEMU's q35 was so by default in 4.0 alone.
    split = chosen == "qemu" or (chosen is None and machine is not None and machine.get("machine") == "pc-q35-4.0")
    yield Check(
        CODE_43,
        "split_irqchip",
        APPLIES if split else CLEAR,
        "the I/O APIC is in QEMU and not in the kernel, which delays or loses line interrupts of devices",
        ("features/ioapic driver='kvm' in the domain's XML", "A newer machine type"),
    )
    yield _logged(
        facts,
        "reset_bug",
        ("header_type_127", "stuck_in_d3"),
        displays,
        "the device did not come back from a reset",
        ("vfio_vendor_reset, for AMD GPUs that vendor-reset knows", "Reboot the host to have the device back"),
    )


def _arguments(tree: ET.Element) -> list[ET.Element]:
    return tree.findall("{http://libvirt.org/schemas/domain/qemu/1.0}commandline/*")


def _no_uefi_rom(facts: Facts, tree: ET.Element, displays: t.Sequence[Device]) -> Check:
    files = [rom.get("file") for rom in tree.findall("devices/hostdev/rom")]
    known = {facts.rom_is_uefi.get(path) for path in files if path is not None}
    # What the card itself has is not read here: that may disturb one that is in use.
    missing = APPLIES if False in known else UNKNOWN
    state = CLEAR if not _is_uefi(tree) or True in known else missing
    return Check(
        CODE_43,
        "no_uefi_rom",
        state,
        "a guest with UEFI can use a display only if its ROM has an image for UEFI",
        ("pci_rom_info tells what the card's ROM has", "rom_file with such an image", "firmware: bios"),
        devices=_named(displays),
    )


def _logged(
    facts: Facts,
    name: str,
    findings: t.Collection[str],
    displays: t.Sequence[Device],
    message: str,
    remedies: tuple[str, ...],
) -> Check:
    own = _named(displays)
    # A line that names no device may be about any.
    seen = [found for found in facts.findings if found.name in findings and found.device in (None, *own)]
    state = APPLIES if seen else CLEAR if facts.kernel_log else UNKNOWN
    return Check(CODE_43, name, state, message, remedies, devices=own)


def _stibp(facts: Facts, tree: ET.Element) -> t.Iterator[Check]:
    mode = tree.find("cpu[@mode='host-passthrough']")
    off = tree.find("cpu/feature[@name='amd-stibp'][@policy='disable']") is not None
    in_window = (5, 5) <= facts.kernel < (5, 8, 2)
    zen_2 = facts.cpu is not None and facts.cpu.is_zen_2
    yield Check(
        STOP_LOOP,
        "stibp_on_zen_2",
        APPLIES if mode is not None and not off and in_window and zen_2 else CLEAR,
        "Linux 5.5 to 5.8.1 hands the CPU feature amd-stibp of Zen 2 to guests wrongly: Windows stops with KERNEL "
        "SECURITY CHECK FAILURE",
        ("Linux 5.8.2 or later", "cpu/feature name='amd-stibp' policy='disable' in the domain's XML"),
    )


def _no_picture(tree: ET.Element, own: t.Sequence[Device], displays: t.Sequence[Device]) -> t.Iterator[Check]:
    yield Check(
        NO_PICTURE,
        "not_uefi",
        APPLIES if displays and not _is_uefi(tree) else CLEAR,
        "the domain starts with a BIOS, and most cards of today have a ROM for UEFI alone",
        ("firmware: efi", "See that the monitor's cable is in the guest's card"),
        devices=_named(displays),
    )
    yield Check(
        NO_PICTURE,
        "no_display_function",
        CLEAR if displays else APPLIES,
        "the domain has devices of the host and no display among them",
        ("Select the card's display function in vfio_devices; functions: all takes the whole card",),
        devices=_named(own),
    )


def _stuck(facts: Facts, domain: DomainState, addresses: t.Collection[str], limit: int) -> t.Iterator[Check]:
    around = Surroundings(facts.devices, (), {})
    without = [
        device
        for device in facts.devices
        if str(device.address) in addresses and why_no_reset(device, around) is not None
    ]
    seconds = facts.shutting_down.get(domain.name)
    if domain.state != "in shutdown":
        state, since = CLEAR, ""
    elif seconds is None:
        state, since = UNKNOWN, ", for how long its log does not tell"
    else:
        state, since = (APPLIES if seconds >= limit else CLEAR), f" for {round(seconds)} seconds"
    yield Check(
        STUCK_SHUTDOWN,
        "no_reset",
        state,
        f"the domain is {domain.state}{since}. Without a reset of each of its devices it may stay in shutdown",
        ("Reboot the host to have the devices back", "no_reset in docs/rules.md"),
        domain.name,
        _named(without),
    )


def _is_uefi(tree: ET.Element) -> bool:
    return tree.find("os[@firmware='efi']") is not None or tree.find("os/loader[@type='pflash']") is not None


def _is_display(device: Device) -> bool:
    return device.class_code.startswith(BASE_CLASS_DISPLAY)


def _named(devices: t.Iterable[Device]) -> tuple[str, ...]:
    return tuple(str(device.address) for device in devices)

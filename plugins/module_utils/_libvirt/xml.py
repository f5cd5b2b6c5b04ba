# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""A wanted domain as libvirt's XML (https://libvirt.org/formatdomain.html): what was said, and nothing else."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.cpulist import format_cpulist
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import Disk, DomainSpec, PciHostdev
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The XML of what was said; ``lists`` are the tags below ``devices`` whose further entries go;
    ``firmware`` stands beside it because libvirt has no element for "SeaBIOS"."""

    xml: ET.Element
    lists: frozenset[str] = frozenset()
    firmware: str | None = None


def _child(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = text
    return element


def _memory_backing(domain: ET.Element, spec: DomainSpec) -> None:
    if not (spec.hugepages or spec.locked or spec.nosharepages):
        return
    backing = _child(domain, "memoryBacking")
    if spec.hugepages:
        _child(_child(backing, "hugepages"), "page", size=str(spec.hugepages), unit="KiB")
    if spec.nosharepages:
        _child(backing, "nosharepages")
    if spec.locked:
        _child(backing, "locked")
    if spec.hugepages:
        # A file below a hugetlbfs mount would need one mount per page size, made before libvirtd started.
        _child(backing, "source", type="memfd")


def _cpu_tune(domain: ET.Element, spec: DomainSpec) -> None:
    if not (spec.vcpu_pins or spec.emulator_cpus):
        return
    tune = _child(domain, "cputune")
    for pin in spec.vcpu_pins:
        _child(tune, "vcpupin", vcpu=str(pin.vcpu), cpuset=format_cpulist(pin.cpus))
    if spec.emulator_cpus:
        _child(tune, "emulatorpin", cpuset=format_cpulist(spec.emulator_cpus))


def _os(domain: ET.Element, spec: DomainSpec) -> None:
    os_element = _child(domain, "os")
    if spec.firmware == "efi":
        os_element.set("firmware", "efi")
    _child(os_element, "type", "hvm", machine=spec.machine)
    for tag in ("kernel", "initrd", "cmdline"):
        text = getattr(spec, tag)
        if text is not None:
            _child(os_element, tag, text)


def _cpu(domain: ET.Element, spec: DomainSpec) -> None:
    cpu = _child(domain, "cpu", mode=spec.cpu_mode)
    if spec.cpu_model is not None:
        cpu.set("match", "exact")
        _child(cpu, "model", spec.cpu_model)
    topology = spec.topology
    _child(cpu, "topology", sockets=str(topology.sockets), cores=str(topology.cores), threads=str(topology.threads))


def _features(domain: ET.Element, spec: DomainSpec) -> None:
    wanted = [tag for tag in ("acpi", "apic") if getattr(spec, tag)]
    if wanted:
        features = _child(domain, "features")
        for tag in wanted:
            _child(features, tag)


def pci_address(address: Address) -> dict[str, str]:
    """The attributes of ``<source><address>``."""
    return {
        "domain": f"0x{address.domain:04x}",
        "bus": f"0x{address.bus:02x}",
        "slot": f"0x{address.device:02x}",
        "function": f"0x{address.function:x}",
    }


def hostdev_xml(device: PciHostdev) -> ET.Element:
    """``<hostdev>`` of one PCI function."""
    element = ET.Element("hostdev", {"mode": "subsystem", "type": "pci", "managed": "yes" if device.managed else "no"})
    _child(_child(element, "source"), "address", **pci_address(device.address))
    if device.boot_order is not None:
        _child(element, "boot", order=str(device.boot_order))
    if device.rom_bar is not None or device.rom_file is not None:
        rom = _child(element, "rom")
        if device.rom_bar is not None:
            rom.set("bar", "on" if device.rom_bar else "off")
        if device.rom_file is not None:
            rom.set("file", device.rom_file)
    return element


def _disk_xml(disk: Disk) -> ET.Element:
    kind = "block" if disk.source.startswith("/dev/") else "file"
    element = ET.Element("disk", {"type": kind, "device": "disk"})
    _child(element, "driver", name="qemu", type=disk.format)
    _child(element, "source", **{"dev" if kind == "block" else "file": disk.source})
    _child(element, "target", dev=disk.target, bus=disk.bus)
    if disk.readonly:
        _child(element, "readonly")
    if disk.boot_order is not None:
        _child(element, "boot", order=str(disk.boot_order))
    return element


def _devices(domain: ET.Element, spec: DomainSpec) -> None:
    devices = _child(domain, "devices")
    devices.extend(_disk_xml(disk) for disk in spec.disks or ())
    if any(disk.bus == "scsi" for disk in spec.disks or ()):
        # Left to itself libvirt takes an LSI controller, for which newer guests carry no driver.
        _child(devices, "controller", type="scsi", index="0", model="virtio-scsi")
    serial = _child(devices, "serial", type="pty")
    if spec.serial_log is not None:
        _child(serial, "log", file=spec.serial_log, append="on")
    _child(serial, "target", port="0")
    devices.extend(hostdev_xml(device) for device in spec.devices or ())
    # Memory that a device reaches through the IOMMU is pinned: a balloon could take nothing back.
    _child(devices, "memballoon", model="none")


def build(spec: DomainSpec) -> Wanted:
    """The XML of a spec in which nothing is ``auto`` any more (see ``resolve.py``)."""
    domain = ET.Element("domain", {"type": spec.virt_type})
    _child(domain, "name", spec.name)
    if spec.uuid is not None:
        _child(domain, "uuid", spec.uuid)
    if spec.title is not None:
        _child(domain, "title", spec.title)
    if spec.description is not None:
        _child(domain, "description", spec.description)
    _child(domain, "memory", str(spec.memory), unit="KiB")
    _child(domain, "currentMemory", str(spec.memory), unit="KiB")
    _memory_backing(domain, spec)
    _child(domain, "vcpu", str(spec.vcpus), placement="static")
    _cpu_tune(domain, spec)
    if spec.memory_node is not None:
        _child(_child(domain, "numatune"), "memory", mode="strict", nodeset=str(spec.memory_node))
    _os(domain, spec)
    _features(domain, spec)
    _cpu(domain, spec)
    for tag in ("on_poweroff", "on_reboot", "on_crash"):
        action = getattr(spec, tag)
        if action is not None:
            _child(domain, tag, action)
    _devices(domain, spec)
    lists = {tag for tag, entries in (("hostdev", spec.devices), ("disk", spec.disks)) if entries is not None}
    return Wanted(domain, frozenset(lists), spec.firmware)

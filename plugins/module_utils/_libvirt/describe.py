# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""A domain's XML as plain data for people and playbooks."""

from __future__ import annotations

import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.compare import firmware_of, pci_source
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.document import text_of
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.units import libvirt_kib


def describe_domain(tree: ET.Element) -> dict[str, t.Any]:
    """Title, sizes in KiB, pins, host devices and disks; ``None`` or empty for what the XML does not have."""
    return {
        "title": text_of(tree, "title"),
        "description": text_of(tree, "description"),
        "virt_type": tree.get("type"),
        "memory_kib": _kib(tree.find("memory")),
        "vcpus": int(text_of(tree, "vcpu") or "0"),
        "machine": _attribute(tree, "os/type", "machine"),
        "firmware": firmware_of(tree),
        "kernel": text_of(tree, "os/kernel"),
        "cpu_mode": _attribute(tree, "cpu", "mode"),
        "hugepages_kib": [_page(page) for page in tree.findall("memoryBacking/hugepages/page")],
        "memory_nodes": _attribute(tree, "numatune/memory", "nodeset"),
        "vcpu_pins": [
            {"vcpu": int(pin.get("vcpu", "0")), "cpus": pin.get("cpuset", "")}
            for pin in tree.findall("cputune/vcpupin")
        ],
        "emulator_cpus": _attribute(tree, "cputune/emulatorpin", "cpuset"),
        "hostdevs": [_hostdev(hostdev) for hostdev in tree.findall("devices/hostdev")],
        "disks": [_disk(disk) for disk in tree.findall("devices/disk")],
        "serial_log": _attribute(tree, "devices/serial/log", "file"),
    }


def _attribute(tree: ET.Element, path: str, name: str) -> str | None:
    found = tree.find(path)
    return None if found is None else found.get(name)


def _kib(element: ET.Element | None) -> int | None:
    return None if element is None else libvirt_kib(element.text or "", element.get("unit"))


def _page(page: ET.Element) -> int | None:
    return libvirt_kib(page.get("size", ""), page.get("unit"))


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _hostdev(hostdev: ET.Element) -> dict[str, t.Any]:
    """``address`` is ``None`` for what is no PCI function."""
    rom_bar = _attribute(hostdev, "rom", "bar")
    return {
        "type": hostdev.get("type"),
        "address": pci_source(hostdev),
        "managed": hostdev.get("managed") == "yes",
        "rom_bar": None if rom_bar is None else rom_bar == "on",
        "rom_file": _attribute(hostdev, "rom", "file"),
        "boot_order": _number(_attribute(hostdev, "boot", "order")),
    }


def _disk(disk: ET.Element) -> dict[str, t.Any]:
    source = disk.find("source")
    return {
        "device": disk.get("device", "disk"),
        "source": None if source is None else source.get("file") or source.get("dev"),
        "format": _attribute(disk, "driver", "type"),
        "target": _attribute(disk, "target", "dev"),
        "bus": _attribute(disk, "target", "bus"),
        "readonly": disk.find("readonly") is not None,
    }

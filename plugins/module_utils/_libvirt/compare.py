# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""Comparing a domain by meaning, and bringing an existing one to what is wanted.

libvirt expands what it is given (addresses, aliases, controllers, machine versions, units), so texts
never match. Here only what was said counts: an element is found again by what identifies it (a host
device by its address, a pin by its vCPU), and its values are compared in one unit. What nobody said stays as
it is. What the collection said last time and no longer says goes, as long as it is still as it was said.
"""

from __future__ import annotations

import copy
import dataclasses
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.cpulist import format_cpulist, parse_cpulist
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.document import to_line
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.units import format_size, libvirt_kib
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.xml import Wanted

# Elements that only hold others: they are emptied part by part, never removed as a whole.
_CONTAINERS = frozenset(
    ("domain", "devices", "os", "features", "cpu", "cputune", "numatune", "memoryBacking", "hugepages")
)
# A domain keeps these when they are no longer said.
_KEPT = frozenset(("name", "uuid"))
# What identifies one of several elements with the same tag.
_KEY_ATTRIBUTES = {
    "vcpupin": ("vcpu",),
    "iothreadpin": ("iothread",),
    "boot": ("dev",),
    "controller": ("type", "index"),
    "feature": ("name",),
}
# Attributes that make another thing of an element: with another value, libvirt's addresses no longer fit.
_KIND_ATTRIBUTES = {"memballoon": ("model",), "serial": ("type",), "disk": ("type", "device"), "controller": ("model",)}
_MACHINE_FAMILIES = {"q35": "pc-q35-", "pc": "pc-i440fx-", "virt": "virt-"}
_NUMBERS = frozenset(("domain", "bus", "slot", "function"))
_NOTHING: t.Final = ET.Element("nothing")


@dataclasses.dataclass(frozen=True)
class Difference:
    """One setting of a domain; ``None`` is "not there"."""

    setting: str
    before: str | None
    after: str | None


@dataclasses.dataclass(frozen=True)
class Reconciled:
    """An existing domain with what is wanted worked in, and what that changed."""

    xml: ET.Element
    differences: tuple[Difference, ...]


def _number(text: str | None) -> str:
    try:
        return str(int(text or "0", 0))
    except ValueError:
        return text or ""


def _cpus(text: str) -> str:
    try:
        return format_cpulist(parse_cpulist(text))
    except InputError:
        return text


def _meaning(element: ET.Element) -> dict[str, str]:
    """Attributes, and the text under ``""``, in one form for all that mean the same."""
    values = dict(element.attrib)
    text = (element.text or "").strip()
    if text:
        values[""] = text
    if element.tag in ("memory", "currentMemory", "maxMemory") and text:
        size = libvirt_kib(text, values.pop("unit", None))
        values[""] = text if size is None else format_size(size)
    elif element.tag == "page":
        size = libvirt_kib(values.get("size", ""), values.pop("unit", None))
        values["size"] = values.get("size", "") if size is None else format_size(size)
    elif element.tag == "address":
        values.update({name: _number(values[name]) for name in _NUMBERS & values.keys()})
    for name in ("cpuset", "nodeset"):
        if name in values:
            values[name] = _cpus(values[name])
    return values


def _same(name: str, wanted: str, existing: str | None) -> bool:
    if name == "machine" and existing is not None:
        return wanted == existing or existing.startswith(_MACHINE_FAMILIES.get(wanted, "\0"))
    return wanted == existing


def pci_source(hostdev: ET.Element) -> str | None:
    """The address of a PCI ``<hostdev>`` as the kernel writes it, ``None`` for other kinds."""
    address = hostdev.find("source/address")
    if hostdev.get("type") != "pci" or address is None:
        return None
    domain, bus, slot, function = (int(_number(address.get(name))) for name in ("domain", "bus", "slot", "function"))
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"


def _key(element: ET.Element) -> tuple[str, str]:
    """Tag, and what tells this element from others with the tag (empty for those that are alone)."""
    if element.tag == "hostdev":
        return element.tag, pci_source(element) or to_line(element.find("source") or _NOTHING)
    if element.tag == "disk":
        target = element.find("target")
        return element.tag, "" if target is None else target.get("dev", "")
    if element.tag == "serial":
        target = element.find("target")
        return element.tag, "0" if target is None else target.get("port", "0")
    if element.tag == "page":
        return element.tag, _meaning(element)["size"]
    return element.tag, ",".join(element.get(name, "") for name in _KEY_ATTRIBUTES.get(element.tag, ()))


def _find(parent: ET.Element, wanted: ET.Element) -> ET.Element | None:
    key = _key(wanted)
    return next((child for child in parent if child.tag == key[0] and _key(child) == key), None)


def _label(path: str, element: ET.Element) -> str:
    tag, identity = _key(element)
    label = f"{tag}[{identity}]" if identity else tag
    return f"{path}/{label}" if path else label


def _is_expressible(element: ET.Element) -> bool:
    """Whether options could have named this element, so that its absence from a list means something."""
    if element.tag == "hostdev":
        return pci_source(element) is not None
    return element.get("device", "disk") == "disk" and element.get("type") in ("file", "block")


def _is_other_kind(wanted: ET.Element, existing: ET.Element) -> bool:
    names = _KIND_ATTRIBUTES.get(wanted.tag, ())
    if any(name in wanted.attrib and wanted.get(name) != existing.get(name) for name in names):
        return True
    wanted_target, target = wanted.find("target"), existing.find("target")
    return (
        wanted.tag == "disk"
        and wanted_target is not None
        and target is not None
        and wanted_target.get("bus") != target.get("bus")
    )


def _still_as_said(said: ET.Element, existing: ET.Element) -> bool:
    present = _meaning(existing)
    return bool(_key(said)[1]) or all(_same(name, value, present.get(name)) for name, value in _meaning(said).items())


class _Merge:
    """One run over three trees: what is there (changed in place), what is wanted, what was wanted last time."""

    def __init__(self, lists: frozenset[str]) -> None:
        self._lists = lists
        self.differences: list[Difference] = []

    def note(self, setting: str, before: str | None, after: str | None) -> None:
        self.differences.append(Difference(setting, before, after))

    def element(self, path: str, existing: ET.Element, wanted: ET.Element, last: ET.Element) -> None:
        self._values(path, existing, wanted, last)
        for child in wanted:
            self._wanted_child(path, existing, child, last)
        for child in last:
            if child.tag not in _KEPT and _find(wanted, child) is None:
                self._dropped_child(path, existing, child)
        for child in list(existing):
            if child.tag in self._lists and _is_expressible(child) and _find(wanted, child) is None:
                self._remove(path, existing, child)

    def _values(self, path: str, existing: ET.Element, wanted: ET.Element, last: ET.Element) -> None:
        present, meant = _meaning(existing), _meaning(wanted)
        for name, value in meant.items():
            if not _same(name, value, present.get(name)):
                self.note(self._value_label(path, name), present.get(name), value)
                self._set(existing, wanted, name)
        for name, value in _meaning(last).items():
            if name not in meant and present.get(name) == value:
                self.note(self._value_label(path, name), value, None)
                self._set(existing, _NOTHING, name)

    @staticmethod
    def _value_label(path: str, name: str) -> str:
        return f"{path}/@{name}" if name else path

    @staticmethod
    def _set(existing: ET.Element, source: ET.Element, name: str) -> None:
        if not name:
            existing.text = source.text
            if "unit" in source.attrib:
                existing.set("unit", source.attrib["unit"])
        elif name in source.attrib:
            existing.set(name, source.attrib[name])
        else:
            existing.attrib.pop(name, None)

    def _wanted_child(self, path: str, existing: ET.Element, wanted: ET.Element, last: ET.Element) -> None:
        found, label = _find(existing, wanted), _label(path, wanted)
        if found is None:
            if wanted.tag in _CONTAINERS:
                found = ET.SubElement(existing, wanted.tag)
            else:
                existing.append(copy.deepcopy(wanted))
                self.note(label, None, _summary(wanted))
                return
        if _is_other_kind(wanted, found):
            self.note(label, _summary(found), _summary(wanted))
            existing[list(existing).index(found)] = copy.deepcopy(wanted)
            return
        said = _find(last, wanted)
        self.element(label, found, wanted, _NOTHING if said is None else said)

    def _dropped_child(self, path: str, existing: ET.Element, said: ET.Element) -> None:
        found = _find(existing, said)
        if found is None:
            return
        if said.tag in _CONTAINERS:
            self.element(_label(path, said), found, _NOTHING, said)
            if not len(found) and not found.attrib:
                existing.remove(found)
        elif _still_as_said(said, found):
            self._remove(path, existing, found)

    def _remove(self, path: str, existing: ET.Element, child: ET.Element) -> None:
        self.note(_label(path, child), _summary(child), None)
        existing.remove(child)


def _summary(element: ET.Element) -> str:
    """A leaf's text where it has only that, else its XML in one line."""
    meaning = _meaning(element)
    return meaning[""] if set(meaning) == {""} and not len(element) else to_line(element)


def firmware_of(domain: ET.Element) -> str:
    """``efi`` or ``bios``. Before libvirt 8.6 a running domain shows the loader that was chosen in place of the
    attribute."""
    os_element = domain.find("os")
    if os_element is None:
        return "bios"
    loader = os_element.find("loader")
    has_flash = loader is not None and loader.get("type") == "pflash"
    return "efi" if has_flash or os_element.get("firmware") == "efi" else "bios"


def _change_firmware(domain: ET.Element, wanted: Wanted, merge: _Merge) -> None:
    """Another firmware begins with nothing of the old one's files."""
    present, os_element = firmware_of(domain), domain.find("os")
    if wanted.firmware is None or present == wanted.firmware or os_element is None:
        return
    merge.note("os/firmware", present, wanted.firmware)
    for tag in ("loader", "nvram", "firmware"):
        for child in os_element.findall(tag):
            os_element.remove(child)
    os_element.attrib.pop("firmware", None)
    if wanted.firmware == "efi":
        os_element.set("firmware", "efi")


def _without_firmware(wanted: Wanted) -> ET.Element:
    """A domain that got its EFI loader by path has no attribute and needs none."""
    tree = copy.deepcopy(wanted.xml)
    for os_element in tree.findall("os"):
        os_element.attrib.pop("firmware", None)
    return tree


def _prune(parent: ET.Element, doomed: t.Callable[[ET.Element], bool]) -> None:
    for child in [child for child in parent if doomed(child)]:
        parent.remove(child)


def _settle(before: ET.Element, after: ET.Element) -> None:
    """Take away what libvirt had derived from values that are now others, so that it derives it anew."""
    devices = after.find("devices")
    if _attribute(before, "os/type", "machine") != _attribute(after, "os/type", "machine") and devices is not None:
        _prune(devices, lambda child: child.tag == "controller" and child.get("type") in ("pci", "usb", "sata", "ide"))
        for device in devices:
            _prune(device, lambda child: child.tag == "address" and child.get("type") == "pci")
    cpu = after.find("cpu")
    if cpu is not None and _attribute(before, "cpu", "mode") != cpu.get("mode") != "custom":
        _prune(cpu, lambda child: child.tag == "model")
        for name in ("match", "check", "migratable"):
            cpu.attrib.pop(name, None)
    topology = after.find("cpu/topology")
    if topology is not None and _product(topology) != _text(after, "vcpu"):
        for name in ("dies", "clusters"):
            topology.attrib.pop(name, None)
    if _text(before, "vcpu") != _text(after, "vcpu"):
        _prune(after, lambda child: child.tag == "vcpus")
        for vcpu in after.findall("vcpu"):
            vcpu.attrib.pop("current", None)
    if devices is not None:
        _settle_devices(before, after, devices)


def _settle_devices(before: ET.Element, after: ET.Element, devices: ET.Element) -> None:
    serials = [to_line(serial) for serial in before.findall("devices/serial")]
    if serials != [to_line(serial) for serial in devices.findall("serial")]:
        # libvirt mirrors the first serial port in a console of its own.
        _prune(devices, lambda child: child.tag == "console" and _attribute(child, "target", "type") == "serial")
    os_element = after.find("os")
    if os_element is not None and any(device.find("boot") is not None for device in devices):
        # libvirt refuses boot orders beside the older list of device kinds.
        _prune(os_element, lambda child: child.tag == "boot")


def _attribute(element: ET.Element, path: str, name: str) -> str | None:
    found = element.find(path)
    return None if found is None else found.get(name)


def _text(element: ET.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _product(topology: ET.Element) -> str:
    product = 1
    for name in ("sockets", "dies", "clusters", "cores", "threads"):
        product *= int(topology.get(name, "1"))
    return str(product)


def reconcile(existing: ET.Element, wanted: Wanted, last: ET.Element | None = None) -> Reconciled:
    """``existing`` (a domain's XML as libvirt gives it) with ``wanted`` worked in.

    ``last`` is the XML of what the collection wanted when it last wrote this domain. No difference means
    that the domain already is what is wanted; then ``xml`` means the same as ``existing``.
    """
    tree = copy.deepcopy(existing)
    for parent in tree.iter():
        parent.tail = None
    merge = _Merge(wanted.lists)
    _change_firmware(tree, wanted, merge)
    said = _NOTHING if last is None else _without_firmware(Wanted(last))
    merge.element("", tree, _without_firmware(wanted), said)
    if merge.differences:
        _settle(existing, tree)
    return Reconciled(tree, tuple(merge.differences))

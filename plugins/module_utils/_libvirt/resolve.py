# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""What the host's libvirt can do, and what ``auto`` and "not said" come to there."""

from __future__ import annotations

import dataclasses
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.compare import firmware_of
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.connection import libvirt
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.document import parse_xml, text_of
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import AUTO, DomainSpec


@dataclasses.dataclass(frozen=True)
class Capabilities:
    """``firmwares`` is ``None`` where libvirt does not tell (before 5.2, and the test driver)."""

    arch: str
    virt_types: tuple[str, ...]
    firmwares: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, t.Any]:
        return {
            "arch": self.arch,
            "virt_types": list(self.virt_types),
            "firmwares": None if self.firmwares is None else list(self.firmwares),
        }

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> Capabilities:
        firmwares = data["firmwares"]
        return cls(data["arch"], tuple(data["virt_types"]), None if firmwares is None else tuple(firmwares))


def read_capabilities(conn: t.Any) -> Capabilities:
    """From an open connection; what it does not know stays ``None``.

    One question about the best kind of guest, because the list of all kinds has libvirt look at every QEMU
    binary of the host. Machine types other than x86's are asked for by libvirt's default.
    """
    for machine in ("q35", None):
        text = _domain_capabilities(conn, machine)
        if text is not None:
            return _from_domain_capabilities(parse_xml(text))
    return _from_capabilities(parse_xml(conn.getCapabilities()))


def _domain_capabilities(conn: t.Any, machine: str | None) -> str | None:
    try:
        text: str = conn.getDomainCapabilities(None, None, machine, None)
    except libvirt.libvirtError:
        return None
    return text


def _from_domain_capabilities(tree: ET.Element) -> Capabilities:
    best = text_of(tree, "domain") or "qemu"
    enum = tree.find("os/enum[@name='firmware']")
    firmwares = None if enum is None else tuple(value.text or "" for value in enum.findall("value"))
    # Where KVM works, emulation does as well: it is the same program.
    return Capabilities(text_of(tree, "arch") or "", ("kvm", "qemu") if best == "kvm" else (best,), firmwares)


def _from_capabilities(tree: ET.Element) -> Capabilities:
    arch = text_of(tree, "host/cpu/arch") or ""
    types = [
        domain.get("type", "")
        for guest in tree.findall("guest")
        for guest_arch in guest.findall("arch")
        if guest_arch.get("name") == arch
        for domain in guest_arch.findall("domain")
    ]
    return Capabilities(arch, tuple(dict.fromkeys(types)))


@dataclasses.dataclass(frozen=True)
class Resolved:
    """A spec in which nothing is ``auto`` any more, and what to tell the operator about it."""

    spec: DomainSpec
    warnings: tuple[str, ...] = ()


def resolve(spec: DomainSpec, capabilities: Capabilities, existing: ET.Element | None) -> Resolved:
    """Decide virtualisation, CPU mode and firmware. Raises :class:`HostStateError` for what the host cannot do."""
    warnings: list[str] = []
    virt_type = spec.virt_type
    if virt_type == AUTO:
        virt_type = _best_virt_type(capabilities)
        if virt_type == "qemu":
            warnings.append(
                f"domain '{spec.name}': libvirt on this host offers no KVM (virtualisation is off in the firmware's "
                "settings, the kvm module is missing, or the host is a virtual machine itself): the guest runs in "
                "software emulation, many times slower"
            )
    elif virt_type == "kvm" and "qemu" in capabilities.virt_types and "kvm" not in capabilities.virt_types:
        raise HostStateError(
            f"domain '{spec.name}': virt_type is kvm, but libvirt on this host offers only "
            f"{', '.join(capabilities.virt_types)}: is virtualisation enabled in the firmware and kvm loaded?"
        )
    cpu_mode = spec.cpu_mode
    if cpu_mode == AUTO:
        cpu_mode = "host-passthrough" if virt_type == "kvm" else "maximum"
    firmware = spec.firmware or _default_firmware(spec, existing)
    if firmware == "efi" and capabilities.firmwares is not None and "efi" not in capabilities.firmwares:
        raise HostStateError(
            f"domain '{spec.name}': this host has no UEFI firmware for guests: install the package ovmf (Debian, "
            "Ubuntu), edk2-ovmf (Enterprise Linux, Fedora, Arch) or qemu-ovmf-x86_64 (SUSE), or set firmware: bios"
        )
    resolved = dataclasses.replace(spec, virt_type=virt_type, cpu_mode=cpu_mode, firmware=firmware)
    return Resolved(resolved, tuple(warnings))


def _best_virt_type(capabilities: Capabilities) -> str:
    for virt_type in ("kvm", "qemu"):
        if virt_type in capabilities.virt_types:
            return virt_type
    offered = ", ".join(capabilities.virt_types) or "nothing"
    raise HostStateError(
        f"libvirt on this host runs no guests for {capabilities.arch or 'its processor'}: it offers {offered}. "
        "Is QEMU installed for this processor?"
    )


def _default_firmware(spec: DomainSpec, existing: ET.Element | None) -> str:
    """A guest that is installed boots with its own firmware only, so an existing one keeps it. Graphics cards need
    UEFI more often than not; a kernel that is booted directly needs neither and starts sooner without."""
    if existing is not None:
        return firmware_of(existing)
    return "bios" if spec.kernel is not None else "efi"

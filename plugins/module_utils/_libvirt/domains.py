# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""Domains as they are, read through an open connection or from libvirt's files."""

from __future__ import annotations

import dataclasses
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.compare import pci_source
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.connection import libvirt
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.document import parse_xml, text_of
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.hostdevs import Claim

# virDomainState, in virsh's words.
_STATES = {
    0: "no state",
    1: "running",
    2: "idle",
    3: "paused",
    4: "in shutdown",
    5: "shut off",
    6: "crashed",
    7: "pmsuspended",
}
DEFINITIONS = "/etc/libvirt/qemu"


@dataclasses.dataclass(frozen=True)
class DomainState:
    """One domain. ``state`` is virsh's word, or ``unknown`` when read from files; ``active`` whether it has a
    process; the XMLs are without secrets, ``active_xml`` is ``None`` while it has none."""

    name: str
    uuid: str
    state: str
    active: bool
    persistent: bool
    autostart: bool
    xml: str
    active_xml: str | None = None

    def to_json(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> DomainState:
        return cls(**data)

    @property
    def tree(self) -> ET.Element:
        return parse_xml(self.xml)


def find(conn: t.Any, name: str) -> t.Any:
    """The ``virDomain``, or ``None``."""
    try:
        return conn.lookupByName(name)
    except libvirt.libvirtError as exc:
        if exc.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def is_active(domain: t.Any) -> bool:
    """Whether it has a process; one that nothing defines is not even there without."""
    try:
        return bool(domain.isActive())
    except libvirt.libvirtError as exc:
        if exc.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return False
        raise


def snapshot(domain: t.Any) -> DomainState:
    """What a ``virDomain`` is now."""
    active, persistent = bool(domain.isActive()), bool(domain.isPersistent())
    return DomainState(
        name=domain.name(),
        uuid=domain.UUIDString(),
        state=_STATES.get(domain.state()[0], "unknown"),
        active=active,
        persistent=persistent,
        autostart=bool(domain.autostart()) if persistent else False,
        xml=domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE),
        active_xml=domain.XMLDesc(0) if active else None,
    )


def all_snapshots(conn: t.Any) -> tuple[DomainState, ...]:
    """Every domain, ordered by name; one that vanishes meanwhile is left out."""
    found = (snapshot_if_there(domain) for domain in conn.listAllDomains())
    return tuple(sorted((state for state in found if state is not None), key=lambda state: state.name))


def snapshot_if_there(domain: t.Any) -> DomainState | None:
    """``None`` for a domain that nothing defines and that has ended."""
    try:
        return snapshot(domain)
    except libvirt.libvirtError as exc:
        if exc.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def defined_in_files(root: Root) -> tuple[DomainState, ...]:
    """Persistent definitions as libvirt stores them; for captured trees, where nothing runs."""
    found: list[DomainState] = []
    for name in root.listdir(DEFINITIONS):
        text = root.read_text(f"{DEFINITIONS}/{name}") if name.endswith(".xml") else None
        if text is None:
            continue
        try:
            tree = parse_xml(text)
        except HostStateError:
            continue
        if tree.tag == "domain":
            autostart = name in root.listdir(f"{DEFINITIONS}/autostart")
            found.append(
                DomainState(
                    name=text_of(tree, "name") or name[: -len(".xml")],
                    uuid=text_of(tree, "uuid") or "",
                    state="unknown",
                    active=False,
                    persistent=True,
                    autostart=autostart,
                    xml=text,
                )
            )
    return tuple(sorted(found, key=lambda state: state.name))


def pci_addresses(tree: ET.Element) -> tuple[str, ...]:
    """The PCI functions of the host in a domain's XML, also those behind ``<interface type='hostdev'>``."""
    found = [pci_source(hostdev) for hostdev in tree.findall("devices/hostdev")]
    for interface in tree.findall("devices/interface[@type='hostdev']"):
        address = interface.find("source/address[@type='pci']")
        if address is not None:
            shadow = ET.Element("hostdev", {"type": "pci"})
            ET.SubElement(shadow, "source").append(address)
            found.append(pci_source(shadow))
    return tuple(sorted({address for address in found if address is not None}))


def claims(states: t.Iterable[DomainState], except_for: str | None = None) -> tuple[Claim, ...]:
    """Who has which PCI function, in a running domain or in a definition."""
    found: list[Claim] = []
    for state in states:
        if state.name == except_for:
            continue
        running = () if state.active_xml is None else pci_addresses(parse_xml(state.active_xml))
        found += [
            Claim(state.name, address, address in running, state.autostart)
            for address in sorted({*running, *pci_addresses(state.tree)})
        ]
    return tuple(found)

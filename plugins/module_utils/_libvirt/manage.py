# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""Defining, starting, stopping and removing one domain."""

from __future__ import annotations

import dataclasses
import hashlib
import time
import typing as t
import uuid as uuid_module
import xml.etree.ElementTree as ET

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.compare import (
    Difference,
    firmware_of,
    reconcile,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.connection import libvirt, translated
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.document import parse_xml, to_text
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.domains import (
    DomainState,
    find,
    is_active,
    pci_addresses,
    snapshot,
    snapshot_if_there,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.hostdevs import read_function
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.judge import (
    ABSENT,
    RUNNING,
    STOPPED,
    Definition,
    Request,
    check_foreign,
    judge_definition,
    last_wanted,
    original_to_restore,
    recorded,
    removal,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.pending import pending_differences

_POLL_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was done, or would be in check mode.

    ``before`` and ``after`` are the definition's XML (empty: no domain), ``switches`` are autostart and
    power state where they differ. ``domain`` is what is there now, ``None`` if nothing; ``pending`` is what a
    running domain gets with its next start; ``xml`` is libvirt's own text, or the prediction of it.
    """

    differences: tuple[Difference, ...] = ()
    before: str = ""
    after: str = ""
    switches: tuple[Difference, ...] = ()
    domain: DomainState | None = None
    xml: str = ""
    pending: tuple[Difference, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.differences or self.switches)


def log_path(name: str) -> str:
    """Where QEMU's own words about a domain are."""
    return f"/var/log/libvirt/qemu/{name}.log"


def apply(conn: t.Any, root: Root, ledger: Ledger, request: Request, *, check_mode: bool) -> Outcome:
    """Bring one domain to what is asked for; with ``check_mode`` only say what would happen.

    Without it the caller holds the ledger's lock. Raises :class:`RefusedError` and :class:`InputError`
    before the first write, :class:`HostStateError` with libvirt's words when libvirt does not do it.
    """
    with translated(f"reading domain '{request.name}' from libvirt"):
        domain = find(conn, request.name)
        existing = None if domain is None else snapshot(domain)
        if request.state == ABSENT:
            return _remove(conn, domain, existing, ledger, request, check_mode)
        definition = judge_definition(conn, root, ledger, request, existing)
    outcome = _predict(existing, definition, request)
    if check_mode:
        return outcome
    if definition is not None:
        domain = _define(conn, ledger, existing, definition)
        _set_autostart(domain, definition.spec.autostart)
    _switch_power(domain, request)
    return _checked(root, domain, outcome, request)


def _predict(existing: DomainState | None, definition: Definition | None, request: Request) -> Outcome:
    before = "" if existing is None else to_text(existing.tree)
    after = before if definition is None or (existing and not definition.differences) else to_text(definition.xml)
    active = existing is not None and existing.active
    switches: list[Difference] = []
    autostart = None if definition is None else definition.spec.autostart
    has_autostart = existing is not None and existing.autostart
    if autostart is not None and autostart != has_autostart:
        switches.append(Difference("autostart", _yes(has_autostart), _yes(autostart)))
    if request.state == RUNNING and not active:
        switches.append(Difference("state", None if existing is None else existing.state, "running"))
    if request.state == STOPPED and existing is not None and active:
        switches.append(Difference("state", existing.state, "shut off"))
    pending: tuple[Difference, ...] = ()
    if existing is not None and existing.active_xml is not None and request.state != STOPPED:
        pending = pending_differences(parse_xml(existing.active_xml), parse_xml(after))
    return Outcome(
        differences=() if definition is None else definition.differences,
        before=before,
        after=after,
        switches=tuple(switches),
        domain=existing,
        xml=after,
        pending=pending,
        warnings=() if definition is None else definition.warnings,
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _define(conn: t.Any, ledger: Ledger, existing: DomainState | None, definition: Definition) -> t.Any:
    """Define what differs, look whether libvirt took it, and write it down."""
    name = definition.spec.name
    if existing is None:
        # Written down first: after a power cut the ledger may name a domain that is not there, never miss one.
        xml = _with_uuid(definition.xml, definition.spec.uuid or str(uuid_module.uuid4()))
        _record(ledger, name, xml.findtext("uuid") or "", definition.wanted.xml)
        domain = _define_xml(conn, name, xml)
    elif definition.differences:
        domain = _define_xml(conn, name, _with_secrets(conn, ledger, existing, definition))
        _record(ledger, name, existing.uuid, definition.wanted.xml, existing)
    else:
        if recorded(ledger, existing) is not None:
            _record(ledger, name, existing.uuid, definition.wanted.xml, existing)
        return find(conn, name)
    left = reconcile(snapshot(domain).tree, definition.wanted).differences
    if left:
        lacking = [f"{difference.setting} = {difference.after} (it has {difference.before})" for difference in left]
        raise ToolError(f"libvirt accepted the definition of domain '{name}' but did not take {'; '.join(lacking)}")
    return domain


def _define_xml(conn: t.Any, name: str, xml: ET.Element) -> t.Any:
    with translated(f"libvirt does not accept the definition of domain '{name}'"):
        return conn.defineXML(to_text(xml))


def _with_uuid(xml: ET.Element, uuid: str) -> ET.Element:
    tree = parse_xml(to_text(xml))
    if tree.find("uuid") is None:
        element = ET.Element("uuid")
        element.text = uuid
        tree.insert(1, element)
    return tree


def _with_secrets(conn: t.Any, ledger: Ledger, existing: DomainState, definition: Definition) -> ET.Element:
    """The same merge on the XML with passwords in it: defining the one without would clear them."""
    flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
    with translated(f"reading domain '{existing.name}' from libvirt"):
        text = find(conn, existing.name).XMLDesc(flags)
    return reconcile(parse_xml(text), definition.wanted, last_wanted(ledger, existing)).xml


def _record(ledger: Ledger, name: str, uuid: str, wanted: ET.Element, existing: DomainState | None = None) -> None:
    text = to_text(wanted)
    section = ledger.section("domains")
    record: dict[str, t.Any] = {"uuid": uuid, "sha256": hashlib.sha256(text.encode()).hexdigest(), "xml": text}
    previous = None if existing is None else recorded(ledger, existing)
    # A domain that was taken over keeps the definition that it had, for undo.
    original = existing.xml if existing is not None and previous is None else (previous or {}).get("original")
    if original is not None:
        record["original"] = original
        was_on = existing.autostart if existing is not None and previous is None else None
        record["original_autostart"] = (previous or {}).get("original_autostart") if was_on is None else was_on
    if section.get(name) != record:
        section[name] = record
        ledger.save()


def _set_autostart(domain: t.Any, autostart: bool | None) -> None:
    if autostart is not None and bool(domain.autostart()) != autostart:
        with translated(f"setting autostart of domain '{domain.name()}'"):
            domain.setAutostart(1 if autostart else 0)


def _switch_power(domain: t.Any, request: Request) -> None:
    name = request.name
    if request.state == RUNNING and not domain.isActive():
        with translated(f"domain '{name}' did not start", f"QEMU's own words are in {log_path(name)}"):
            domain.create()
    elif request.state == STOPPED:
        _shut_down(domain, request)


def _shut_down(domain: t.Any, request: Request) -> None:
    """Ask the guest, wait, and pull the plug only if that was asked for."""
    if not domain.isActive():
        return
    name = request.name
    with translated(f"shutting domain '{name}' down"):
        domain.shutdown()
        deadline = time.monotonic() + request.shutdown_timeout
        while is_active(domain) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        if not is_active(domain):
            return
        if not request.force:
            raise HostStateError(
                f"the guest of domain '{name}' did not shut down within {request.shutdown_timeout} seconds and still "
                "runs: it may have no ACPI handler, or wait for a person. force: true pulls its plug"
            )
        domain.destroy()


def _checked(root: Root, domain: t.Any, outcome: Outcome, request: Request) -> Outcome:
    """What is there now; a start that was reported but did not last is an error."""
    with translated(f"reading domain '{request.name}' from libvirt"):
        state = snapshot(domain) if request.state != STOPPED else snapshot_if_there(domain)
    if state is None:
        return dataclasses.replace(outcome, domain=None, pending=())
    if request.state == RUNNING:
        _verify_running(root, state)
    pending: tuple[Difference, ...] = ()
    if state.active_xml is not None:
        pending = pending_differences(parse_xml(state.active_xml), state.tree)
    return dataclasses.replace(outcome, domain=state, xml=state.xml, pending=pending)


def _verify_running(root: Root, state: DomainState) -> None:
    if not state.active or state.active_xml is None:
        raise HostStateError(
            f"domain '{state.name}' started and ended at once (it is {state.state}): see {log_path(state.name)}"
        )
    for address in pci_addresses(parse_xml(state.active_xml)):
        function = read_function(root, address)
        if function is not None and not function.is_on_vfio:
            raise HostStateError(
                f"domain '{state.name}' runs, but {address} in it is held by {function.driver or 'no driver'}, "
                "not by vfio-pci"
            )


def _remove(
    conn: t.Any,
    domain: t.Any,
    existing: DomainState | None,
    ledger: Ledger,
    request: Request,
    check_mode: bool,
) -> Outcome:
    """Shut down, undefine with the firmware's variables, forget. Disks stay where they are.

    A domain that was taken over gets its former definition back instead, and goes on running.
    """
    if existing is None:
        if not check_mode and ledger.section("domains").pop(request.name, None) is not None:
            ledger.save()
        return Outcome()
    check_foreign(ledger, request, existing)
    original = original_to_restore(ledger, request, existing)
    if original is not None:
        return _restore(conn, domain, existing, ledger, original, removal(ledger, request, existing), check_mode)
    switches = (Difference("state", existing.state, "shut off"),) if existing.active else ()
    outcome = Outcome(
        differences=removal(ledger, request, existing),
        before=to_text(existing.tree),
        switches=switches,
        domain=existing,
    )
    if check_mode:
        return outcome
    _shut_down(domain, request)
    if existing.persistent:
        flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        if firmware_of(existing.tree) == "efi":
            flags |= libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
        with translated(f"removing domain '{request.name}'"):
            domain.undefineFlags(flags)
    if ledger.section("domains").pop(request.name, None) is not None:
        ledger.save()
    return dataclasses.replace(outcome, domain=None)


def _restore(
    conn: t.Any,
    domain: t.Any,
    existing: DomainState,
    ledger: Ledger,
    original: ET.Element,
    differences: tuple[Difference, ...],
    check_mode: bool,
) -> Outcome:
    """Define the domain again as it was before it was taken over, and forget it."""
    autostart: bool | None = (recorded(ledger, existing) or {}).get("original_autostart")
    switches: tuple[Difference, ...] = ()
    if autostart not in (None, existing.autostart):
        switches = (Difference("autostart", _yes(existing.autostart), _yes(not existing.autostart)),)
    pending = () if existing.active_xml is None else pending_differences(parse_xml(existing.active_xml), original)
    outcome = Outcome(
        differences=differences,
        before=to_text(existing.tree),
        after=to_text(original),
        switches=switches,
        domain=existing,
        xml=to_text(original),
        pending=pending,
    )
    if check_mode:
        return outcome
    if differences:
        with translated(f"reading domain '{existing.name}' from libvirt"):
            text = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
        domain = _define_xml(conn, existing.name, _with_passwords(original, parse_xml(text)))
    _set_autostart(domain, autostart)
    del ledger.section("domains")[existing.name]
    ledger.save()
    with translated(f"reading domain '{existing.name}' from libvirt"):
        state = snapshot(domain)
    return dataclasses.replace(outcome, domain=state, xml=state.xml)


def _with_passwords(original: ET.Element, present: ET.Element) -> ET.Element:
    """The former definition with the passwords of today: the ledger keeps none, and without them they would be lost."""
    tree = parse_xml(to_text(original))
    secrets = {graphics.get("type"): graphics.get("passwd") for graphics in present.findall("devices/graphics")}
    for graphics in tree.findall("devices/graphics"):
        password = secrets.get(graphics.get("type"))
        if password is not None and graphics.get("passwd") is None:
            graphics.set("passwd", password)
    return tree

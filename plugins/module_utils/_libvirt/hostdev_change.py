# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""One PCI host device of a domain: in its definition, and in the running guest where that takes it."""

from __future__ import annotations

import dataclasses
import time
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, InputError, ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.compare import Difference, reconcile
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.connection import (
    explain,
    libvirt,
    translated,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.document import parse_xml, to_text
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.domains import (
    DomainState,
    find,
    pci_addresses,
    snapshot,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.judge import judge_hostdevs, judge_managed
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.pending import pending_differences
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import PciHostdev
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.xml import Wanted, hostdev_xml

LIVE_AUTO, LIVE_TRUE, LIVE_FALSE = LIVE = ("auto", "true", "false")
# A guest lets go of a device when its driver has; most do within a second, some never.
_DETACH_SECONDS = 10.0
_POLL_SECONDS = 0.25


@dataclasses.dataclass(frozen=True)
class HostdevRequest:
    """``live``: ``true`` insists on the running guest, ``auto`` tries it, ``false`` leaves it alone."""

    domain: str
    device: PciHostdev
    present: bool = True
    live: str = LIVE_AUTO
    allow: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class HostdevOutcome:
    """``before`` and ``after`` are the definition's XML, ``xml`` libvirt's own text of it (or the prediction);
    ``live_changed``: the running guest was (or would be) changed."""

    differences: tuple[Difference, ...]
    before: str
    after: str
    live_changed: bool
    xml: str
    pending: tuple[Difference, ...]
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.differences) or self.live_changed


def apply_hostdev(
    conn: t.Any, root: Root, ledger: Ledger, request: HostdevRequest, *, check_mode: bool
) -> HostdevOutcome:
    """Add, change or take away one device; nothing else of the domain is touched."""
    with translated(f"reading domain '{request.domain}' from libvirt"):
        domain = find(conn, request.domain)
        if domain is None:
            raise InputError(f"there is no domain '{request.domain}' on this host")
        existing = snapshot(domain)
        if not existing.persistent:
            raise InputError(f"domain '{request.domain}' has no definition (it is transient): nothing would last")
        wanted, last = _trees(request)
        reconciled = reconcile(existing.tree, wanted, last)
        wants_live = _wants_live(existing, request)
        _judge(conn, root, ledger, request, existing, is_changed=bool(reconciled.differences) or wants_live)
    after = to_text(reconciled.xml if reconciled.differences else existing.tree)
    outcome = HostdevOutcome(
        differences=reconciled.differences,
        before=to_text(existing.tree),
        after=after,
        live_changed=wants_live,
        xml=after,
        pending=_pending(existing, reconciled.xml, request.device if wants_live else None),
    )
    return outcome if check_mode else _write(conn, domain, request, outcome)


def _trees(request: HostdevRequest) -> tuple[Wanted, ET.Element | None]:
    """A domain that consists of this device only: as what is wanted, or as what was."""
    tree, empty = ET.Element("domain"), ET.Element("domain")
    ET.SubElement(tree, "devices").append(hostdev_xml(request.device))
    ET.SubElement(empty, "devices")
    return (Wanted(tree), None) if request.present else (Wanted(empty), tree)


def _wants_live(existing: DomainState, request: HostdevRequest) -> bool:
    if existing.active_xml is None or request.live == LIVE_FALSE:
        return False
    has_it = str(request.device.address) in pci_addresses(parse_xml(existing.active_xml))
    return has_it != request.present


def _judge(
    conn: t.Any, root: Root, ledger: Ledger, request: HostdevRequest, existing: DomainState, *, is_changed: bool
) -> None:
    if not request.present or not is_changed:
        return
    attaches = _wants_live(existing, request)
    judge_hostdevs(conn, root, request.domain, (request.device,), starts=attaches)
    if attaches:
        judge_managed(root, ledger, (request.device,), {str(request.device.address): request.allow})


def _pending(existing: DomainState, xml: ET.Element, changed_live: PciHostdev | None) -> tuple[Difference, ...]:
    """What waits for the next start, taking a change of the running guest for done."""
    if existing.active_xml is None:
        return ()
    found = pending_differences(parse_xml(existing.active_xml), xml)
    if changed_live is None:
        return found
    return tuple(entry for entry in found if entry.setting != f"devices/hostdev[{changed_live.address}]")


def _write(conn: t.Any, domain: t.Any, request: HostdevRequest, outcome: HostdevOutcome) -> HostdevOutcome:
    warnings: tuple[str, ...] = ()
    live_changed = False
    if outcome.live_changed:
        try:
            _change_live(domain, request)
            live_changed = True
        except (libvirt.libvirtError, HostStateError) as exc:
            action = "take" if request.present else "give back"
            message = (
                f"the running guest of domain '{request.domain}' did not {action} {request.device.address}: "
                f"{explain(exc)}"
            )
            if request.live == LIVE_TRUE:
                raise HostStateError(f"{message}. Its definition was not changed either") from exc
            warnings = (f"{message}. The definition has it, the guest's next start brings it",)
    if outcome.differences:
        _define(conn, domain, request)
    with translated(f"reading domain '{request.domain}' from libvirt"):
        state = snapshot(domain)
    wanted, last = _trees(request)
    left = reconcile(state.tree, wanted, last).differences
    if left:
        raise ToolError(f"libvirt accepted the change of domain '{request.domain}' but did not take {left[0].setting}")
    return dataclasses.replace(
        outcome,
        live_changed=live_changed,
        pending=_pending(state, state.tree, None),
        xml=state.xml,
        warnings=warnings,
    )


def _define(conn: t.Any, domain: t.Any, request: HostdevRequest) -> None:
    wanted, last = _trees(request)
    with translated(f"libvirt does not accept {request.device.address} in domain '{request.domain}'"):
        secure = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
        conn.defineXML(to_text(reconcile(parse_xml(secure), wanted, last).xml))


def _change_live(domain: t.Any, request: HostdevRequest) -> None:
    text = to_text(hostdev_xml(request.device))
    if request.present:
        domain.attachDeviceFlags(text, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        return
    domain.detachDeviceFlags(text, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    deadline = time.monotonic() + _DETACH_SECONDS
    while str(request.device.address) in pci_addresses(parse_xml(domain.XMLDesc(0))):
        if time.monotonic() > deadline:
            raise HostStateError(f"the guest has not released it after {_DETACH_SECONDS:.0f} seconds")
        time.sleep(_POLL_SECONDS)

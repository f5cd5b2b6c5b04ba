# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""Judging what is asked of one domain against the host, completely, before anything is written."""

from __future__ import annotations

import dataclasses
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.cpulist import format_cpulist, parse_cpulist
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    InputError,
    RefusedError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.dependencies import read_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.compare import Difference, reconcile
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.document import parse_xml, to_text
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.domains import (
    DomainState,
    all_snapshots,
    claims,
    pci_addresses,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.hostdevs import (
    judge_devices,
    judge_start,
    read_functions,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.pages import read_free_pages, shortage
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.resolve import read_capabilities, resolve
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.rom_files import judge_rom_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import DomainSpec, PciHostdev
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.units import format_size
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.xml import Wanted, build
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices

PRESENT, RUNNING, STOPPED, ABSENT = STATES = ("present", "running", "stopped", "absent")
ALLOW_FOREIGN = "foreign_domain"


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked for. ``spec`` is ``None`` where only the power state is meant; ``device_allow`` holds the
    ``allow`` keys given for each PCI address; ``shutdown_timeout`` is in seconds."""

    name: str
    state: str
    spec: DomainSpec | None = None
    allow: frozenset[str] = frozenset()
    device_allow: t.Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    force: bool = False
    shutdown_timeout: int = 120


@dataclasses.dataclass(frozen=True)
class Definition:
    """A wanted definition beside the existing one: ``xml`` is what to define, secrets left out."""

    spec: DomainSpec
    wanted: Wanted
    xml: ET.Element
    differences: tuple[Difference, ...]
    warnings: tuple[str, ...] = ()


def recorded(ledger: Ledger, state: DomainState) -> t.Mapping[str, t.Any] | None:
    """What the ledger says of exactly this domain; a namesake with another UUID is somebody else's."""
    record: t.Mapping[str, t.Any] | None = ledger.section("domains").get(state.name)
    return record if record is not None and record.get("uuid") == state.uuid else None


def last_wanted(ledger: Ledger, state: DomainState) -> ET.Element | None:
    """The XML that was wanted when the collection last wrote this domain."""
    record = recorded(ledger, state)
    return None if record is None else parse_xml(record["xml"])


def foreign_refusal(name: str) -> RefusedError:
    """Why a domain that is not in the ledger is left alone."""
    return RefusedError(
        f"domain '{name}' was not made by virtfleet.passthrough: changing it needs allow: [{ALLOW_FOREIGN}]",
        allow=ALLOW_FOREIGN,
    )


def define(spec: DomainSpec, existing: DomainState | None, last: ET.Element | None) -> Definition:
    """Work a resolved spec into what exists. Raises :class:`InputError` for another UUID than the domain has."""
    wanted = build(spec)
    if existing is None:
        return Definition(spec, wanted, wanted.xml, (Difference("domain", None, describe(spec)),))
    if spec.uuid is not None and spec.uuid != existing.uuid:
        raise InputError(
            f"domain '{spec.name}' has the UUID {existing.uuid}, which cannot be changed to {spec.uuid}: "
            "remove the domain first, or leave uuid out"
        )
    reconciled = reconcile(existing.tree, wanted, last)
    differences = list(reconciled.differences)
    if not existing.persistent:
        differences.insert(0, Difference("definition", None, "persistent"))
    return Definition(spec, wanted, reconciled.xml, tuple(differences))


def describe(spec: DomainSpec) -> str:
    """A new domain in a few words."""
    devices = ", ".join(str(device.address) for device in spec.devices or ())
    text = f"{spec.vcpus} vCPUs, {format_size(spec.memory)} memory, {spec.virt_type}, {spec.machine}"
    if spec.firmware is not None:
        text += f", {spec.firmware}"
    return f"{text}, with {devices}" if devices else text


def judge_definition(
    conn: t.Any, root: Root, ledger: Ledger, request: Request, existing: DomainState | None
) -> Definition | None:
    """The definition to make, ``None`` where none was asked for. Raises what stands against it."""
    starts = request.state == RUNNING and (existing is None or not existing.active)
    stops = request.state == STOPPED and existing is not None and existing.active
    if request.spec is None:
        if existing is None:
            raise InputError(f"there is no domain '{request.name}': memory and vcpus are needed to define it")
        if starts or stops:
            check_foreign(ledger, request, existing)
        if starts:
            _judge_start_of_existing(conn, root, existing)
        return None
    resolved = resolve(request.spec, read_capabilities(conn), None if existing is None else existing.tree)
    last = None if existing is None else last_wanted(ledger, existing)
    definition = dataclasses.replace(define(resolved.spec, existing, last), warnings=resolved.warnings)
    autostart = request.spec.autostart
    wants_autostart = existing is not None and autostart not in (None, existing.autostart)
    if existing is not None and (definition.differences or starts or stops or wants_autostart):
        check_foreign(ledger, request, existing)
    if definition.differences or starts:
        _judge_host(conn, root, request, resolved.spec, starts)
    if starts:
        judge_managed(root, ledger, resolved.spec.devices or (), request.device_allow)
    return definition


def check_foreign(ledger: Ledger, request: Request, existing: DomainState) -> None:
    """Refuse somebody else's domain, unless it is allowed."""
    if recorded(ledger, existing) is None and ALLOW_FOREIGN not in request.allow:
        raise foreign_refusal(existing.name)


def original_to_restore(ledger: Ledger, request: Request, existing: DomainState) -> ET.Element | None:
    """The definition that a domain had before it was taken over, where ``absent`` means to give it back.

    ``None`` where the domain itself is to go: it was made here, or its removal is allowed by key.
    """
    record = recorded(ledger, existing)
    if record is None or "original" not in record or ALLOW_FOREIGN in request.allow:
        return None
    return parse_xml(record["original"])


def removal(ledger: Ledger, request: Request, existing: DomainState) -> tuple[Difference, ...]:
    """What ``absent`` changes about an existing domain, in the words of the plan and of the module."""
    original = original_to_restore(ledger, request, existing)
    if original is None:
        return (Difference("domain", f"UUID {existing.uuid}", None),)
    if to_text(original) == to_text(existing.tree):
        return ()
    return (Difference("definition", "as virtfleet.passthrough wrote it", "as it was before"),)


def _judge_host(conn: t.Any, root: Root, request: Request, spec: DomainSpec, starts: bool) -> None:
    devices = spec.devices or ()
    if devices:
        judge_hostdevs(conn, root, request.name, devices, starts)
    cpus = sorted({cpu for pin in spec.vcpu_pins for cpu in pin.cpus} | set(spec.emulator_cpus or ()))
    online = root.read_word("/sys/devices/system/cpu/online")
    absent = sorted(set(cpus) - set(parse_cpulist(online or "")))
    if online is not None and absent:
        raise HostStateError(
            f"domain '{spec.name}' is pinned to CPUs {format_cpulist(absent)}, which are not online: "
            f"this host has {online}"
        )
    lacking = shortage(spec, read_free_pages(root)) if starts else None
    if lacking is not None:
        raise HostStateError(lacking)


def _judge_start_of_existing(conn: t.Any, root: Root, existing: DomainState) -> None:
    devices = [
        PciHostdev.from_options({"address": address, "managed": True}, "hostdev")
        for address in pci_addresses(existing.tree)
    ]
    judge_hostdevs(conn, root, existing.name, devices, starts=False)


def judge_hostdevs(conn: t.Any, root: Root, name: str, devices: t.Sequence[PciHostdev], starts: bool) -> None:
    """Raise the first obstacle to giving ``devices`` to the domain ``name``."""
    others = claims(all_snapshots(conn), except_for=name)
    addresses = [str(device.address) for device in devices]
    functions = read_functions(root, dict.fromkeys((*addresses, *(claim.address for claim in others))))
    refusals = (*judge_devices(devices, functions, others), *judge_rom_files(root, devices)) or (
        judge_start(devices, functions) if starts else ()
    )
    if refusals:
        raise _joined(refusals)


def _joined(refusals: t.Sequence[RefusedError]) -> RefusedError:
    """All reasons at once: one run should be enough to see what is to be done."""
    reasons = dict.fromkeys(refusal.reason for refusal in refusals)
    return RefusedError("; ".join(reasons), refusals[0].device, refusals[0].allow)


def judge_managed(
    root: Root, ledger: Ledger, devices: t.Sequence[PciHostdev], allow: t.Mapping[str, frozenset[str]]
) -> None:
    """Refuse to have libvirt take from the host what the host needs; nothing else checks this at a start."""
    managed = {str(device.address) for device in devices if device.managed}
    if not managed:
        return
    for dependency in read_dependencies(root, read_devices(root, ledger)):
        if dependency.address in managed and dependency.allow not in allow.get(dependency.address, frozenset()):
            raise RefusedError(f"{dependency.address} {dependency.detail}", dependency.address, dependency.allow)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""The plan's component ``libvirt_domains``: domains as an operator writes them, against those of the host. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.cpulist import format_cpulist
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.pinning import Pinning, plan_pinning
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.topology import Topology
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    InputError,
    RefusedError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.compare import Difference
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.document import parse_xml
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.domains import DomainState
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.hostdevs import (
    Claim,
    Function,
    judge_devices,
    judge_start,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.judge import (
    ABSENT,
    ALLOW_FOREIGN,
    PRESENT,
    RUNNING,
    STATES,
    STOPPED,
    Request,
    check_foreign,
    define,
    last_wanted,
    removal,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.pages import shortage
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.pending import pending_differences
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.resolve import Capabilities, resolve
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.rom_files import RomFile, judge_rom_file
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import (
    DomainSpec,
    PciHostdev,
    parse_name,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.allow import device_keys
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    Change,
    HostState,
    Refusal,
    Verdict,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.values import as_int, as_list

# What a domain in the list may say beside the options of the definition; "devices" are names of vfio_devices here.
_OWN_OPTIONS = ("state", "allow", "force", "shutdown_timeout", "pinning")
_PINNING_OPTIONS = ("near", "host_cores")
_DEVICE_OPTIONS = tuple(option for option in PciHostdev.OPTIONS if option not in ("type", "address"))
_PINNED_OPTIONS = ("vcpu_pins", "emulator_cpus", "topology")

Selected = t.Mapping[str, tuple[Device, ...]]


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """One entry of the list: its request, the module's options for it, and its place on the CPUs."""

    request: Request
    options: t.Mapping[str, t.Any]
    pinning: Pinning | None = None

    @property
    def name(self) -> str:
        return self.request.name


@dataclasses.dataclass
class _Findings:
    """What is collected about all domains."""

    changes: list[Change] = dataclasses.field(default_factory=list)
    refusals: list[Refusal] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    assumptions: list[str] = dataclasses.field(default_factory=list)
    domains: list[t.Mapping[str, t.Any]] = dataclasses.field(default_factory=list)
    waiting: dict[str, list[str]] = dataclasses.field(default_factory=dict)


def decide(wanted: t.Mapping[str, t.Any], host: HostState, selected: Selected) -> Verdict:
    """``wanted``: ``{"domains": [...]}``. ``apply``: ``domains`` are the options of ``libvirt_domain`` for each that
    differs, ``waiting`` the names among them that cannot be judged yet, each with the reasons.

    Raises :class:`InputError` for an entry that cannot be meant.
    """
    facts = host.facts["libvirt_domains"]
    found = _Findings()
    entries = _entries(wanted)
    try:
        pinnings = resolve_pinnings(entries, host, selected)
    except RefusedError as exc:
        return Verdict(refusals=(Refusal(exc.device, exc.reason, exc.allow),))
    domains = [_parse(entry, selected, pinnings) for entry in entries]
    _judge_together(domains, found)
    for domain in domains:
        _judge(domain, host, facts, found)
    return Verdict(
        changes=tuple(found.changes),
        refusals=tuple(found.refusals),
        warnings=tuple(dict.fromkeys(found.warnings)),
        assumptions=tuple(dict.fromkeys(found.assumptions)),
        apply={"domains": found.domains, "waiting": found.waiting},
    )


def resolve_pinnings(
    wanted_domains: t.Sequence[t.Mapping[str, t.Any]], host: HostState, selected: Selected
) -> dict[str, Pinning]:
    """The CPUs of every domain that asks for ``pinning``, each beside those before it in the list.

    Raises :class:`InputError` for what cannot be meant and :class:`RefusedError` where a domain does not fit.
    """
    pinnings: dict[str, Pinning] = {}
    taken: set[int] = set()
    for entry in wanted_domains:
        if entry.get("pinning") is None or entry.get("state") == ABSENT:
            continue
        name = parse_name(entry.get("name"))
        near, host_cores = _pinning_options(name, entry["pinning"])
        topology = Topology.from_json(host.facts["cpu_isolation"]["topology"])
        node = None if near is None else _node_of(selected[near])
        vcpus = _whole(entry.get("vcpus"), f"domain '{name}': vcpus")
        try:
            pinnings[name] = plan_pinning(topology, vcpus, node, host_cores, frozenset(taken))
        except InputError as exc:
            raise InputError(f"domain '{name}': {exc}") from exc
        except RefusedError as exc:
            raise RefusedError(f"domain '{name}': {exc.reason}", exc.device, exc.allow) from exc
        taken.update(pinnings[name].reserved)
    return pinnings


def _entries(wanted: t.Mapping[str, t.Any]) -> list[t.Mapping[str, t.Any]]:
    unknown = sorted(set(wanted) - {"domains"})
    if unknown:
        raise InputError(f"libvirt_domains has no option '{unknown[0]}': expected domains")
    entries = wanted.get("domains", [])
    if not isinstance(entries, (list, tuple)) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError("libvirt_domains_list: expected a list of domains, each with a name")
    names = [parse_name(entry.get("name")) for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"domain '{name}' is listed twice")
    return list(entries)


def _whole(value: t.Any, where: str) -> int:
    return as_int(value, where, 0)


def _pinning_options(name: str, pinning: t.Any) -> tuple[str | None, int]:
    if not isinstance(pinning, dict):
        raise InputError(f"domain '{name}': pinning is '{pinning}', expected near and host_cores")
    unknown = sorted(set(pinning) - set(_PINNING_OPTIONS))
    if unknown:
        raise InputError(
            f"domain '{name}': pinning has no option '{unknown[0]}', known are {', '.join(_PINNING_OPTIONS)}"
        )
    near = pinning.get("near")
    if near is not None and not isinstance(near, str):
        raise InputError(f"domain '{name}': pinning.near is '{near}', expected a name from vfio_devices")
    return near, _whole(pinning.get("host_cores", 1), f"domain '{name}': pinning.host_cores")


def _node_of(functions: t.Sequence[Device]) -> int | None:
    return next((function.numa_node for function in functions if function.numa_node is not None), None)


def _parse(entry: t.Mapping[str, t.Any], selected: Selected, pinnings: t.Mapping[str, Pinning]) -> _Wanted:
    name = parse_name(entry["name"])
    known = {*DomainSpec.option_names(), *_OWN_OPTIONS}
    unknown = sorted(set(entry) - known)
    if unknown:
        raise InputError(f"domain '{name}' has no option '{unknown[0]}': known are {', '.join(sorted(known))}")
    options = {option: value for option, value in entry.items() if option not in _OWN_OPTIONS and value is not None}
    state = entry.get("state", RUNNING)
    if state not in STATES:
        raise InputError(f"domain '{name}': state '{state}' is not one of {', '.join(STATES)}")
    handed = {option: entry[option] for option in ("allow", "force", "shutdown_timeout") if option in entry}
    allow = _allow(name, entry.get("allow", []))
    if state == ABSENT:
        # What a domain was made of may stay in the list while it is away.
        request = Request(name, ABSENT, allow=allow)
        return _Wanted(request, {"name": name, "state": ABSENT, **handed})
    if "devices" in options:
        options["devices"] = _devices(name, options["devices"], selected)
    pinning = pinnings.get(name)
    if pinning is not None:
        clash = [option for option in _PINNED_OPTIONS if option in options]
        if clash:
            raise InputError(f"domain '{name}': pinning works out {clash[0]}, so give only one of them")
        options.update(_pinned(pinning, options))
    where = f"domain '{name}': allow of a device"
    device_allow = {
        device["address"]: frozenset(device_keys(device.get("allow"), where)) for device in options.get("devices", ())
    }
    request = Request(name, state, DomainSpec.from_options(options), allow, device_allow)
    return _Wanted(request, {**options, "state": state, **handed}, pinning)


def _allow(name: str, allow: t.Any) -> frozenset[str]:
    keys = frozenset(str(key) for key in as_list(allow, f"domain '{name}': allow"))
    for key in sorted(keys - {ALLOW_FOREIGN}):
        raise InputError(f"domain '{name}': allow has no key '{key}', known is {ALLOW_FOREIGN}")
    return keys


def _devices(name: str, entries: t.Any, selected: Selected) -> list[dict[str, t.Any]]:
    """Names of ``vfio_devices``, or dictionaries with such a ``name`` and further options, as functions by address."""
    if not isinstance(entries, (list, tuple)):
        raise InputError(f"domain '{name}': devices is '{entries}', expected a list of names from vfio_devices")
    resolved: list[dict[str, t.Any]] = []
    for entry in entries:
        further = dict(entry) if isinstance(entry, dict) else {"name": entry}
        device_name = further.pop("name", None)
        unknown = sorted(set(further) - set(_DEVICE_OPTIONS))
        if unknown or not isinstance(device_name, str):
            raise InputError(
                f"domain '{name}': devices holds '{entry}', expected a name from vfio_devices, or a dictionary with "
                f"such a name and any of {', '.join(_DEVICE_OPTIONS)}"
            )
        functions = [function for function in selected[device_name] if not function.is_bridge]
        for number, function in enumerate(functions):
            # A ROM and a place in the boot order belong to one function: the first is the device itself.
            options = further if number == 0 else {key: further[key] for key in further if key in ("managed", "allow")}
            resolved.append({"address": str(function.address), **options})
    return resolved


def _pinned(pinning: Pinning, options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What a pinning comes to in the module's options."""
    pinned: dict[str, t.Any] = {
        "vcpu_pins": [{"vcpu": number, "cpus": format_cpulist(cpus)} for number, cpus in enumerate(pinning.vcpus)],
        "topology": {"sockets": pinning.sockets, "cores": pinning.cores, "threads": pinning.threads},
        "memory_node": options.get("memory_node", pinning.node),
    }
    if pinning.emulator:
        pinned["emulator_cpus"] = format_cpulist(pinning.emulator)
    return pinned


def _judge_together(domains: t.Sequence[_Wanted], found: _Findings) -> None:
    """What only shows when all domains of the list are looked at: shared devices, shared CPUs."""
    holders: dict[str, str] = {}
    cpus: dict[int, str] = {}
    for domain in domains:
        spec = domain.request.spec
        if spec is None or domain.request.state == STOPPED:
            continue
        for device in spec.devices or ():
            other = holders.setdefault(str(device.address), domain.name)
            if other != domain.name and (domain.request.state == RUNNING or spec.autostart):
                reason = f"domains '{other}' and '{domain.name}' shall both have {device.address}: only one can run"
                found.refusals.append(Refusal(str(device.address), reason))
        pinned = {cpu for pin in spec.vcpu_pins for cpu in pin.cpus}
        shared = sorted(cpu for cpu in pinned if cpus.setdefault(cpu, domain.name) != domain.name)
        if shared:
            found.warnings.append(
                f"domain '{domain.name}' shares CPUs {format_cpulist(shared)} with domain '{cpus[shared[0]]}': "
                "pinned guests that share CPUs slow each other down"
            )


def _judge(domain: _Wanted, host: HostState, facts: t.Mapping[str, t.Any], found: _Findings) -> None:
    request = domain.request
    states = {entry["name"]: DomainState.from_json(entry) for entry in facts["domains"]}
    existing = states.get(request.name)
    if domain.pinning is not None:
        found.warnings.extend(f"domain '{domain.name}': {warning}" for warning in domain.pinning.warnings)
    try:
        differences, warnings = _differences(request, existing, facts, host)
        if existing is not None and differences:
            check_foreign(host.ledger, request, existing)
    except RefusedError as exc:
        found.refusals.append(Refusal(exc.device, exc.reason, exc.allow))
        return
    except HostStateError as exc:
        found.refusals.append(Refusal(None, str(exc)))
        return
    found.warnings.extend(warnings)
    if not differences:
        return
    reboot_reasons = _judge_devices(request, existing, host, facts, found)
    reasons = list(reboot_reasons)
    if not facts["available"]:
        reasons.append(f"libvirt does not answer yet ({facts['reason']})")
    if reasons:
        found.waiting[domain.name] = reasons
        found.assumptions.extend(f"domain '{domain.name}' waits: {reason}" for reason in reasons)
    found.domains.append(domain.options)
    found.changes.extend(
        Change(_setting(domain.name, difference), difference.before, difference.after, bool(reboot_reasons))
        for difference in differences
    )


def _setting(name: str, difference: Difference) -> str:
    return f"domain '{name}'" if difference.setting == "domain" else f"domain '{name}': {difference.setting}"


def _differences(
    request: Request, existing: DomainState | None, facts: t.Mapping[str, t.Any], host: HostState
) -> tuple[list[Difference], list[str]]:
    """What the writer would change, and what to tell the operator. Raises what resolving raises."""
    if request.spec is None:
        return [] if existing is None else list(removal(host.ledger, request, existing)), []
    warnings: list[str] = []
    spec = request.spec
    if facts["capabilities"] is not None:
        tree = None if existing is None else existing.tree
        resolved = resolve(spec, Capabilities.from_json(facts["capabilities"]), tree)
        spec = resolved.spec
        warnings += resolved.warnings
    if existing is not None and facts["capabilities"] is None:
        # What "auto" comes to is not known without libvirt: judged when it answers.
        return [Difference("definition", "defined", "to be compared")], warnings
    last = None if existing is None else last_wanted(host.ledger, existing)
    definition = define(spec, existing, last)
    differences = list(definition.differences)
    has_autostart = existing is not None and existing.autostart
    if spec.autostart is not None and spec.autostart != has_autostart:
        differences.append(Difference("autostart", "yes" if has_autostart else "no", "yes" if spec.autostart else "no"))
    active = existing is not None and existing.active
    before = "no domain" if existing is None else existing.state
    if request.state == RUNNING and not active:
        differences.append(Difference("state", before, "running"))
    if request.state == STOPPED and active:
        differences.append(Difference("state", before, "shut off"))
    if existing is not None and existing.active_xml is not None and request.state in (PRESENT, RUNNING):
        lacking = pending_differences(parse_xml(existing.active_xml), definition.xml)
        if lacking:
            settings = ", ".join(difference.setting for difference in lacking)
            warnings.append(f"domain '{request.name}' needs a restart (shut down and start) to get: {settings}")
    return differences, warnings


def _judge_devices(
    request: Request,
    existing: DomainState | None,
    host: HostState,
    facts: t.Mapping[str, t.Any],
    found: _Findings,
) -> list[str]:
    """Refusals into ``found``; returns the reasons why the domain has to wait for a reboot."""
    spec = request.spec
    if spec is None:
        return []
    reasons: list[str] = []
    devices = spec.devices or ()
    functions = {str(device.address): Function.from_device(device) for device in host.devices}
    others = [Claim(**claim) for claim in facts["claims"] if claim["domain"] != request.name]
    found.warnings.extend(_changed_roms(request, host, devices))
    refused = (*judge_devices(devices, functions, others), *_rom_refusals(devices, host, facts["rom_files"]))
    found.refusals.extend(Refusal(exc.device, exc.reason, exc.allow) for exc in refused)
    if refused or (existing is not None and existing.active):
        return reasons
    unmanaged = [device for device in devices if not device.managed]
    reasons.extend(exc.reason for exc in judge_start(unmanaged, functions))
    if request.state == RUNNING:
        found.refusals.extend(_needed_by_host(request, host, devices))
        lacking = shortage(spec, facts["free_pages"])
        if lacking is not None:
            reasons.append(lacking)
    return reasons


def _rom_refusals(
    devices: t.Iterable[PciHostdev], host: HostState, rom_files: t.Mapping[str, t.Any]
) -> t.Iterator[RefusedError]:
    ids = {device.address: f"{device.identity.vendor_id}:{device.identity.device_id}" for device in host.devices}
    for device in devices:
        if device.rom_file is not None:
            rom = RomFile.from_json(rom_files[device.rom_file])
            refusal = judge_rom_file(device, rom, ids.get(device.address))
            if refusal is not None:
                yield refusal


def _changed_roms(request: Request, host: HostState, devices: t.Iterable[PciHostdev]) -> t.Iterator[str]:
    boot_displays = {device.address for device in host.devices if device.boot_vga}
    for device in devices:
        if device.address in boot_displays and device.rom_file is None and device.rom_bar is not False:
            yield (
                f"domain '{request.name}': {device.address} is the display that the firmware started with, and it may "
                "have changed the ROM that the guest gets. If the guest shows nothing, give it an unchanged copy as "
                "rom_file (module pci_rom), or start the host with another display"
            )


def _needed_by_host(request: Request, host: HostState, devices: t.Sequence[PciHostdev]) -> t.Iterator[Refusal]:
    """A managed device leaves the host when the domain starts, past the guards of vfio-pci's own binding."""
    managed = {str(device.address) for device in devices if device.managed}
    for dependency in host.dependencies:
        if dependency.address in managed and dependency.allow not in request.device_allow.get(
            dependency.address, frozenset()
        ):
            yield Refusal(dependency.address, f"{dependency.address} {dependency.detail}", dependency.allow)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The component ``sriov``: which PFs have how many VFs, with which settings, now and at boot. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest, obstacle
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan import selectors
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    Change,
    HostState,
    Refusal,
    Verdict,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.values import as_int, as_list, as_mapping
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.boot_files import OWNER, boot_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.judge import (
    in_use,
    judge,
    switch_loses_the_host,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.links import differing
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.record import (
    Before,
    Record,
    new_record,
    read_records,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.request import (
    SETTINGS,
    PfRequest,
    VfSettings,
    parse_mac,
)

NAME = "sriov"

_ENTRY_KEYS = frozenset({"name", "match", "numvfs", "autoprobe", "switchdev", "first_mac", "defaults", "vfs"})
_DEFAULT_SETTINGS = tuple(name for name in SETTINGS if name != "mac")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One entry of ``sriov_devices``: which PF, and what is wanted of it."""

    selector: selectors.Wanted
    request: PfRequest

    @property
    def name(self) -> str:
        return self.selector.name


def parse_entries(entries: t.Any) -> list[Entry]:
    """``sriov_devices`` as values, ``None`` as an empty list. Raises :class:`InputError` for what cannot be meant."""
    parsed = [_parse(entry) for entry in ([] if entries is None else as_list(entries, "sriov_devices"))]
    names = [entry.name for entry in parsed]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"sriov_devices: the name '{twice}' stands twice; expected every name once")
    return parsed


def _parse(data: t.Any) -> Entry:
    entry = as_mapping(data, "sriov_devices: an entry")
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise InputError(f"sriov_devices: {dict(entry)} has no name; vfio_devices uses it in vf_of")
    option = f"sriov_devices '{name}'"
    unknown = sorted(set(entry) - _ENTRY_KEYS)
    if unknown:
        raise InputError(f"{option}: unknown key {unknown[0]}; expected {', '.join(sorted(_ENTRY_KEYS))}")
    match = selectors.parse_match(entry.get("match"), option, selectors.SELECTORS)
    return Entry(selectors.Wanted(name, match), PfRequest.parse({**entry, "vfs": _vfs(entry, option)}, option))


def _vfs(entry: t.Mapping[str, t.Any], option: str) -> list[dict[str, t.Any]]:
    """Every VF with its settings: those of all, then its own."""
    defaults = as_mapping(entry.get("defaults") or {}, f"{option}.defaults")
    unknown = sorted(set(defaults) - set(_DEFAULT_SETTINGS))
    if unknown:
        raise InputError(f"{option}.defaults has '{unknown[0]}': expected {', '.join(_DEFAULT_SETTINGS)}")
    own = [as_mapping(vf, f"{option}.vfs: an entry") for vf in as_list(entry.get("vfs") or [], f"{option}.vfs")]
    number = as_int(entry.get("numvfs"), f"{option}.numvfs", 0)
    first = entry.get("first_mac")
    macs = [None] * number if first is None else _mac_range(first, number, f"{option}.first_mac")
    if not defaults and first is None:
        return [dict(vf) for vf in own]
    named = [as_int(vf.get("index"), f"{option}.vfs.index", 0) for vf in own]
    found = []
    for index, mac in enumerate(macs):
        mine = [vf for vf, wanted in zip(own, named) if wanted == index] or [{"index": index}]
        found += [{**defaults, **({} if mac is None else {"mac": mac}), **vf} for vf in mine]
    return found + [dict(vf) for vf, index in zip(own, named) if index >= number]


def _mac_range(first: t.Any, number: int, option: str) -> list[str]:
    if selectors.netaddr is None:
        raise InputError(f"{option} needs the Python package netaddr on the controller: pip install netaddr")
    netaddr = selectors.netaddr
    start = int(netaddr.EUI(parse_mac(first, option), version=48))
    last = start + max(number - 1, 0)
    # Another maker's number begins where the lower half ends.
    if start >> 24 != last >> 24:
        raise InputError(f"{option} is '{first}': {number} addresses from there on leave its first three octets")
    return [str(netaddr.EUI(start + index, version=48, dialect=netaddr.mac_unix_expanded)) for index in range(number)]


def numbers(wanted: t.Mapping[str, t.Any], devices: t.Sequence[Device]) -> dict[str, tuple[Device, int]]:
    """The names that resolve to a PF: the PF, and how many VFs it is to have."""
    found, _refusals = _resolve(parse_entries(wanted.get("devices")), devices)
    return {entry.name: (device, entry.request.numvfs) for device, entry in found.values()}


def _resolve(
    entries: t.Iterable[Entry], devices: t.Sequence[Device]
) -> tuple[dict[Address, tuple[Device, Entry]], list[Refusal]]:
    resolved: dict[Address, tuple[Device, Entry]] = {}
    refusals: list[Refusal] = []
    for entry in entries:
        found, refusal = selectors.resolve(entry.selector, devices)
        if refusal is not None:
            refusals.append(refusal)
            continue
        (device,) = found
        if device.address in resolved:
            first = resolved[device.address][1].name
            reason = f"'{first}' and '{entry.name}' of sriov_devices both select {device.address}"
            refusals.append(Refusal(str(device.address), reason))
        resolved.setdefault(device.address, (device, entry))
    return resolved, refusals


def decide(wanted: t.Mapping[str, t.Any], host: HostState, selected: t.Mapping[str, tuple[Device, ...]]) -> Verdict:
    """``wanted``: ``devices`` (``None`` for unmanaged). ``apply``: ``pfs``, the options of the module ``sriov`` for
    each, and ``released``, the addresses of those that left the list."""
    unknown = sorted(set(wanted) - {"devices"})
    if unknown:
        raise InputError(f"sriov: unknown key {unknown[0]}; expected devices")
    if wanted.get("devices") is None:
        return Verdict()
    resolved, refusals = _resolve(parse_entries(wanted["devices"]), host.devices)
    known = read_records(host.ledger)
    records: dict[Address, Record] = {}
    changes: list[Change] = []
    warnings: list[str] = []
    for address, (device, entry) in sorted(resolved.items()):
        now = _before(host, device)
        refusals += judge(device, entry.request, host.devices, host.dependencies)
        refusals += _given_away(device, selected)
        refusals += _no_switch(host, device, entry.request, now)
        refusals += switch_loses_the_host(device, now.eswitch, entry.request.eswitch, host.dependencies)
        found = _changes(host, device, entry.request, now)
        changes += found
        if now.numvfs != entry.request.numvfs and device.interfaces:
            warnings.append(f"{address}: many drivers reset the link of {device.interfaces[0]} when VFs come or go")
        records[address] = new_record(device, entry.request, now, known.get(address))
    released = sorted(set(known) - set(resolved))
    for address in released:
        found, refused = _release(host, address, known[address])
        changes += found
        refusals += refused
    file_changes, obstacles = _files(host, records)
    return Verdict(
        changes=(*changes, *file_changes),
        refusals=tuple(dict.fromkeys((*refusals, *obstacles))),
        warnings=tuple(warnings),
        apply={
            "pfs": [_for_writer(device, entry.request) for _address, (device, entry) in sorted(resolved.items())],
            "released": [str(address) for address in released],
        },
    )


def _before(host: HostState, device: Device) -> Before:
    facts = host.facts[NAME]["pfs"].get(str(device.address), {})
    return Before(device.sriov_numvfs or 0, facts.get("autoprobe", True), facts.get("eswitch"))


def _given_away(device: Device, selected: t.Mapping[str, tuple[Device, ...]]) -> t.Iterator[Refusal]:
    for name, functions in selected.items():
        if any(function.address == device.address for function in functions):
            reason = (
                f"{device.address} is to have VFs and is selected by '{name}' of vfio_devices: a PF stays with the host"
            )
            yield Refusal(str(device.address), reason)


def _no_switch(host: HostState, device: Device, request: PfRequest, now: Before) -> t.Iterator[Refusal]:
    if request.eswitch is not None and now.eswitch is None and host.facts[NAME]["live"]:
        reason = (
            f"{device.address} with the driver {device.driver} has no switch that devlink knows: leave switchdev out"
        )
        yield Refusal(str(device.address), reason)


def _changes(host: HostState, device: Device, request: PfRequest, now: Before) -> list[Change]:
    address = device.address
    found = []
    if now.numvfs != request.numvfs:
        found.append(Change(f"VFs of {address}", str(now.numvfs), str(request.numvfs)))
    if now.autoprobe != request.autoprobe:
        before, after = ("on" if switch else "off" for switch in (now.autoprobe, request.autoprobe))
        found.append(Change(f"host drivers for VFs of {address}", before, after))
    if request.eswitch not in (None, now.eswitch):
        found.append(Change(f"switch of {address}", now.eswitch, request.eswitch))
    links = host.facts[NAME]["links"].get(device.interfaces[0], {}) if device.interfaces else {}
    present = {} if now.numvfs != request.numvfs else links
    for index, settings in request.vfs.items():
        has = VfSettings(**present.get(str(index), {}))
        for name in differing(settings, has):
            before, after = getattr(has, name), getattr(settings, name)
            found.append(
                Change(f"{name} of VF {index} of {address}", None if before is None else str(before), str(after))
            )
    return found


def _release(host: HostState, address: Address, record: Record) -> tuple[list[Change], list[Refusal]]:
    device = next((device for device in host.devices if device.address == address), None)
    why = "sriov_devices does not select it any more"
    before = record.before.numvfs
    if device is None or not record.identity.matches(device.identity):
        return [Change(f"release VFs of {address}", f"{record.wanted.numvfs} at boot", None, why=why)], []
    present = device.sriov_numvfs or 0
    refusals = in_use(device, host.devices, host.dependencies) if present and present != before else []
    refusals += switch_loses_the_host(device, _before(host, device).eswitch, record.before.eswitch, host.dependencies)
    return [Change(f"release VFs of {address}", str(present), str(before), why=why)], refusals


def _files(host: HostState, records: t.Mapping[Address, Record]) -> tuple[list[Change], list[Refusal]]:
    wanted = {file.path: digest(file.content) for file in boot_files(records)}
    written = host.ledger.section("files")
    changes, refusals = [], []
    for path, present in sorted(host.facts[NAME]["files"].items()):
        ours = written.get(path, {}).get("owner") == OWNER
        if present == wanted.get(path) or (path not in wanted and not ours):
            continue
        changes.append(
            Change(f"file {path}", None if present is None else "as it is", "as generated" if path in wanted else None)
        )
        why = None if present is None or path not in wanted else obstacle(path, present, written.get(path))
        if why is not None:
            refusals.append(Refusal(None, why))
    return changes, refusals


def _for_writer(device: Device, request: PfRequest) -> dict[str, t.Any]:
    ids = f"{device.identity.vendor_id}:{device.identity.device_id}"
    return {"device": str(device.address), "vendor_device": ids, **request.to_json()}

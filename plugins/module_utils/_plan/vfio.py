# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The component ``vfio``: which devices are held for vfio-pci at the next boot, and which go back. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.detection import looked_for
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.surroundings import Surroundings
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest, obstacle
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.allow import device_keys
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.arguments import judge_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.isolation import parting_advice
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    Change,
    HostState,
    Refusal,
    Verdict,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio import guard
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.driver import MISSING
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import OWNER, boot_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.guard import VFIO_PCI
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import (
    GENERATION_PARAMETER,
    Table,
    arguments_of,
    last_generation,
    next_table,
    running_generation,
)

NAME = "vfio"

_KEYS = frozenset({"devices", "allow"})


def decide(wanted: t.Mapping[str, t.Any], host: HostState, selected: t.Mapping[str, tuple[Device, ...]]) -> Verdict:
    """``wanted``: ``devices`` (the entries that ``selected`` resolved, with their ``allow`` keys; ``None`` for
    unmanaged, which releases nothing) and ``allow`` (more keys by the entry's name). ``apply``: ``devices`` for
    ``vfio_bind`` with the keys of each, ``foreseen`` (the addresses of those of them that are VFs to come),
    ``kernel_args``, and ``allow``, which is empty because keys belong to devices."""
    allow = _allow_by_name(wanted)
    if wanted.get("devices") is None:
        return Verdict()
    chosen = {device.address: (device, allow.get(name, ())) for name, found in selected.items() for device in found}
    facts = host.facts[NAME]
    around = _surroundings(host, chosen)
    # A VF that its PF does not have yet is judged by the writer, once it is there.
    there = [found for found in chosen.values() if not _is_foreseen(host, found[0])]
    refusals = [refusal for device, keys in there for refusal in _refusals(device, host, around, keys)]
    warnings = (
        *host.iommu["gaps"],
        *(warning for device, _keys in there for warning in guard.warnings(device, around)),
        *_advice(host, chosen, refusals),
    )
    try:
        present = present_table(host)
        target = target_table(host, selected)
    except HostStateError as exc:
        return Verdict(refusals=(*refusals, Refusal(None, str(exc))), warnings=warnings)
    refusals += _host_refusals(host, target)
    arguments = judge_arguments(host, OWNER, arguments_of(target), (GENERATION_PARAMETER,))
    # The rule for devices that appear later binds them as soon as they do, in a boot that was made for this table.
    waits = running_generation(host.boot["running"]) != (None if target is None else target.generation)
    changes = [*_device_changes(host, present, chosen), *_file_changes(facts, target), *arguments.changes]
    unbound = [device for device, _keys in there if device.driver != VFIO_PCI]
    foreseen = [device for device, _keys in chosen.values() if _is_foreseen(host, device)]
    missed = () if changes else tuple(_missed(host, target, unbound))
    return Verdict(
        changes=tuple(changes),
        refusals=tuple(dict.fromkeys((*refusals, *arguments.refusals, *missed))),
        warnings=warnings,
        assumptions=(*_assumptions(around, (device for device, _keys in there)), *_foresight(foreseen)),
        pending_reboot=not changes
        and not missed
        and (bool(unbound) or (waits and bool(foreseen)) or arguments.pending_reboot),
        apply={
            "devices": [
                _for_writer(device, keys, _is_foreseen(host, device))
                for _address, (device, keys) in sorted(chosen.items())
            ],
            "foreseen": sorted(str(device.address) for device in foreseen),
            "kernel_args": arguments_of(target),
            "allow": [],
        },
    )


def _surroundings(host: HostState, selected: t.Collection[Address]) -> Surroundings:
    return Surroundings(
        devices=host.devices,
        dependencies=host.dependencies,
        builtin_drivers=host.facts[NAME]["builtin_drivers"],
        selected=selected,
        iommu=host.iommu,
    )


def _refusals(device: Device, host: HostState, around: Surroundings, allow: t.Collection[str]) -> list[Refusal]:
    refusals = guard.judge(device, around, allow)
    recorded = host.ledger.section("devices").get(str(device.address))
    if recorded is not None and guard.ALLOW_IDENTITY not in allow:
        expected = Identity.from_json(recorded["identity"])
        if not expected.matches(device.identity):
            reason = f"{device.address} is {device.identity} now, it was given away as {expected}"
            refusals.append(Refusal(str(device.address), reason, guard.ALLOW_IDENTITY))
    return refusals


def present_table(host: HostState) -> Table | None:
    """The table on the host; raises :class:`HostStateError` where it was changed into something else."""
    text = host.facts[NAME]["table"]
    return None if text is None else Table.parse(text)


def target_table(host: HostState, selected: t.Mapping[str, tuple[Device, ...]]) -> Table | None:
    """The table that the host is to have; the present one where nothing is wanted of this component."""
    present = present_table(host)
    if not host.facts[NAME]["managed"]:
        return present
    entries = {
        device.address: _expected_identity(host, present, device) for name in selected for device in selected[name]
    }
    return next_table(present, entries, last_generation(host.ledger.generation, host.boot["running"]))


def _is_foreseen(host: HostState, device: Device) -> bool:
    """Whether this is a VF that its PF does not have yet."""
    return device.physfn is not None and all(present.address != device.address for present in host.devices)


def _expected_identity(host: HostState, present: Table | None, device: Device) -> Identity:
    """Of a VF that is not there, the one that it had when it was: its subsystem cannot be foretold."""
    known = None if present is None else present.entries.get(device.address)
    same = known is not None and (known.vendor_id, known.device_id) == (
        device.identity.vendor_id,
        device.identity.device_id,
    )
    return known if known is not None and same and _is_foreseen(host, device) else device.identity


def target_files(host: HostState, target: Table | None) -> dict[str, str]:
    """SHA-256 of every file of this component as it is to be, by path."""
    if target is None:
        return {}
    return {file.path: digest(file.content) for file in boot_files(target, host.facts[NAME]["generators"])}


def _advice(host: HostState, chosen: t.Collection[Address], refusals: t.Iterable[Refusal]) -> t.Iterator[str]:
    """What would help where functions that are not selected stand in the way."""
    selected = {str(address) for address in chosen}
    if any(refusal.device is not None and refusal.device not in selected for refusal in refusals):
        advice = parting_advice(host, chosen)
        if advice is not None:
            yield advice


def _allow_by_name(wanted: t.Mapping[str, t.Any]) -> dict[str, tuple[str, ...]]:
    unknown = sorted(set(wanted) - _KEYS)
    if unknown:
        raise InputError(f"vfio: unknown key {unknown[0]}; expected {', '.join(sorted(_KEYS))}")
    names = {str(entry["name"]): entry.get("allow") for entry in wanted.get("devices") or []}
    extra = wanted.get("allow") or {}
    if not isinstance(extra, t.Mapping):
        raise InputError("vfio: allow must map names of devices to lists of keys, such as {nic: [configured_nic]}")
    unknown = sorted(str(name) for name in extra if name not in names)
    if unknown:
        raise InputError(f"vfio: allow names '{unknown[0]}', which is no entry of vfio_devices")
    return {
        name: (
            *device_keys(extra.get(name), f"vfio: allow of '{name}'"),
            *device_keys(keys, f"vfio_devices '{name}': allow"),
        )
        for name, keys in names.items()
    }


def _host_refusals(host: HostState, target: Table | None) -> list[Refusal]:
    facts = host.facts[NAME]
    refusals = []
    if target is not None and facts["vfio_pci"] == MISSING:
        refusals.append(
            Refusal(None, f"kernel {host.kernel_release} has no driver vfio-pci, neither as a module nor built in")
        )
    if target is not None and not facts["generators"]:
        reason = (
            f"no known initramfs generator is installed, without one nothing is bound early. Looked for: {looked_for()}"
        )
        refusals.append(Refusal(None, reason))
    files = host.ledger.section("files")
    for path, sha256 in target_files(host, target).items():
        present = facts["files"].get(path)
        if present in (None, sha256):
            continue
        why = obstacle(path, present, files.get(path))
        if why is not None:
            refusals.append(Refusal(None, why))
    return refusals


def _device_changes(
    host: HostState, present: Table | None, chosen: t.Mapping[Address, tuple[Device, t.Collection[str]]]
) -> t.Iterator[Change]:
    configured = dict(present.entries) if present is not None else {}
    drivers = {device.address: device.driver for device in host.devices}
    for address, (device, _keys) in sorted(chosen.items()):
        if configured.get(address) != _expected_identity(host, present, device):
            nothing = "not there yet" if _is_foreseen(host, device) else "no driver"
            before = f"{configured[address]}" if address in configured else device.driver or nothing
            after = f"{VFIO_PCI} from the start of a boot, as {device.identity}"
            why = "another model was there when it was written" if address in configured else None
            yield Change(f"device {address}", before, after, after_reboot=device.driver != VFIO_PCI, why=why)
    recorded = host.ledger.section("devices")
    for address in sorted(({*configured} | {Address.parse(text) for text in recorded}) - set(chosen)):
        native = recorded.get(str(address), {}).get("native_driver") or "its own driver"
        bound = drivers.get(address) == VFIO_PCI
        before = f"{VFIO_PCI} from the start of a boot"
        why = "vfio_devices does not select it any more"
        yield Change(f"release {address}", before, native, after_reboot=bound, why=why)


def _file_changes(facts: t.Mapping[str, t.Any], target: Table | None) -> t.Iterator[Change]:
    wanted = (
        {} if target is None else {file.path: digest(file.content) for file in boot_files(target, facts["generators"])}
    )
    for path, present in sorted(facts["files"].items()):
        if present != wanted.get(path):
            before = None if present is None else "as it is"
            yield Change(f"file {path}", before, "as generated" if path in wanted else None)


def _missed(host: HostState, target: Table | None, unbound: t.Iterable[Device]) -> t.Iterator[Refusal]:
    """A boot that was made for this table and left a device elsewhere: another one would only do the same."""
    if target is None or running_generation(host.boot["running"]) != target.generation:
        return
    for device in unbound:
        off = "" if host.iommu["enabled"] else ". The IOMMU is off, and without it vfio-pci takes no device"
        yield Refusal(
            str(device.address),
            f"{device.address} is held by {device.driver or 'no driver'} although this boot was made for it "
            f"(generation {target.generation}), and another boot would do the same. What the early script did is in "
            f"the kernel log: journalctl -k -b | grep -e virtfleet-passthrough -e {device.address}{off}",
        )


def _assumptions(around: Surroundings, chosen: t.Iterable[Device]) -> t.Iterator[str]:
    if around.iommu_enabled:
        return
    for device in chosen:
        mates = ", ".join(str(mate.address) for mate in around.mates(device) if not mate.is_bridge)
        group = f"share its IOMMU group with {mates}" if mates else "be alone in its IOMMU group"
        yield f"{device.address}: the IOMMU is off now; by prediction it will {group}, the next boot decides"


def _foresight(devices: t.Iterable[Device]) -> t.Iterator[str]:
    for device in devices:
        yield (
            f"{device.address}: {device.physfn} does not have this VF yet; by its registers it will be there as "
            f"{device.identity.vendor_id}:{device.identity.device_id}, which a card may change with the number of its "
            "VFs. It is looked at again before anything is written for it"
        )


def _for_writer(device: Device, allow: t.Iterable[str], foreseen: bool) -> dict[str, t.Any]:
    identity = {name: value for name, value in device.identity.to_json().items() if value is not None}
    if foreseen:
        identity = {name: identity[name] for name in ("vendor_id", "device_id")}
    return {"address": str(device.address), **identity, "allow": sorted(set(allow))}

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The component ``vfio``: which devices are held for vfio-pci at the next boot, and which go back. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._held_back import read_held
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.detection import looked_for
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.surroundings import Surroundings
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest, obstacle, owned_paths
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.allow import device_keys
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.arguments import judge_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.held_back import outlasting, wait_for_nothing
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.images import boots_without
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.isolation import parting_advice
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    Change,
    HostState,
    Refusal,
    Verdict,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio import guard
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.driver import MISSING
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import OWNER
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.guard import VFIO_PCI
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.method_rules import (
    method_refusals,
    method_warnings,
    others_arguments,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.methods import (
    AUTO,
    DRIVERCTL,
    IDS,
    OVERRIDE,
    resolve_method,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.modprobe import PARAMETER
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import (
    GENERATION_PARAMETER,
    Table,
    last_generation,
    running_generation,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.target import (
    Configured,
    Target,
    make_target,
    read_configured,
)

NAME = "vfio"

# How a device comes to vfio-pci, as texts go on from its name.
_HOW: t.Final[t.Mapping[str, str]] = {
    OVERRIDE: "from the start of a boot",
    IDS: "from the start of a boot, by its ids",
    DRIVERCTL: "through driverctl, after its own driver",
}

DEFAULTS: t.Final[t.Mapping[str, t.Any]] = {"method": AUTO}

_KEYS = frozenset({"devices", "allow", *DEFAULTS})


def decide(wanted: t.Mapping[str, t.Any], host: HostState, selected: t.Mapping[str, tuple[Device, ...]]) -> Verdict:
    """``wanted``: ``devices`` (the entries that ``selected`` resolved, with their ``allow`` keys; ``None`` for
    unmanaged, which releases nothing), ``method`` and ``allow`` (more keys by the entry's name). ``apply``:
    ``devices`` for ``vfio_bind`` with the keys of each, ``foreseen`` (the addresses of those of them that are VFs to
    come), ``method``, ``kernel_args``, and ``allow``, which is empty because keys belong to devices."""
    allow = _allow_by_name(wanted)
    method = resolve_method(wanted.get("method"), "vfio_method")
    if wanted.get("devices") is None:
        return Verdict()
    chosen = {device.address: (device, allow.get(name, ())) for name, found in selected.items() for device in found}
    around = _surroundings(host, chosen, method)
    # A VF that its PF does not have yet is judged by the writer, once it is there.
    there = [found for found in chosen.values() if not _is_foreseen(host, found[0])]
    foreseen = [device for device, _keys in chosen.values() if _is_foreseen(host, device)]
    refusals = [refusal for device, keys in there for refusal in _refusals(device, host, around, keys)]
    refusals += _foreseen_refusals(foreseen, method)
    warnings = (
        *host.iommu["gaps"],
        *(warning for device, _keys in there for warning in guard.warnings(device, around)),
        *_advice(host, chosen, refusals),
    )
    try:
        present = present_configuration(host)
        target = boot_target(host, selected)
    except HostStateError as exc:
        return Verdict(refusals=(*refusals, Refusal(None, str(exc))), warnings=warnings)
    refusals += _host_refusals(host, target)
    refusals += _method_refusals(host, target, {address: keys for address, (_device, keys) in chosen.items()})
    arguments = judge_arguments(host, OWNER, target.arguments, (GENERATION_PARAMETER, PARAMETER))
    # The rule for devices that appear later binds them as soon as they do, in a boot that was made for this table.
    waits = bool(foreseen) and not _boot_was_made_for(host, target.table)
    unbound = [device for device, _keys in there if not device.on_vfio]
    files = list(_file_changes(host, target, bool(unbound)))
    changes = [*_device_changes(host, present, target, chosen), *files, *arguments.changes]
    missed = () if changes or _images_came_later(host, target) else tuple(_missed(host, target, unbound))
    left_over = any(address not in chosen for address in _still_held(host))
    return Verdict(
        changes=tuple(changes),
        refusals=tuple(dict.fromkeys((*refusals, *arguments.refusals, *missed))),
        warnings=(*warnings, *(method_warnings(method) if changes and chosen else ())),
        assumptions=(*_assumptions(around, (device for device, _keys in there)), *_foresight(foreseen)),
        pending_reboot=not changes and not missed and (bool(unbound) or waits or left_over or arguments.pending_reboot),
        apply={
            "devices": [
                _for_writer(device, keys, _is_foreseen(host, device))
                for _address, (device, keys) in sorted(chosen.items())
            ],
            "foreseen": sorted(str(device.address) for device in foreseen),
            "method": method,
            "kernel_args": list(target.arguments),
            "allow": [],
        },
        outlasts=outlasting(host, OWNER, host.facts[NAME]["files"], target.files),
    )


def _surroundings(host: HostState, selected: t.Collection[Address], method: str) -> Surroundings:
    return Surroundings(
        devices=host.devices,
        dependencies=host.dependencies,
        builtin_drivers=host.facts[NAME]["builtin_drivers"],
        selected=selected,
        iommu=host.iommu,
        by_ids=method == IDS,
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


def present_configuration(host: HostState) -> Configured:
    """What is configured on the host; raises :class:`HostStateError` where its table was changed into something
    else."""
    text = host.facts[NAME]["table"]
    return read_configured(None if text is None else Table.parse(text), host.ledger.section("devices"))


def boot_target(host: HostState, selected: t.Mapping[str, tuple[Device, ...]]) -> Target:
    """What the host is to have for its next boots; what it has where nothing is wanted of this component."""
    facts = host.facts[NAME]
    present = present_configuration(host)
    if facts["managed"]:
        method = resolve_method(facts["method"], "vfio_method")
        devices = (device for name in selected for device in selected[name])
        entries = {device.address: _expected_identity(host, present, device) for device in devices}
    else:
        method, entries = present.method or OVERRIDE, dict(present.entries)
    last = last_generation(host.ledger.generation, host.boot["running"])
    written = host.ledger.section("kernel_args").get(OWNER, [])
    return make_target(method, entries, present, last, written, host.devices, facts["generators"], facts["vfio_pci"])


def _is_foreseen(host: HostState, device: Device) -> bool:
    """Whether this is a VF that its PF does not have yet."""
    return device.physfn is not None and all(present.address != device.address for present in host.devices)


def _expected_identity(host: HostState, present: Configured, device: Device) -> Identity:
    """Of a VF that is not there, the one that it had when it was: its subsystem cannot be foretold."""
    known = present.entries.get(device.address)
    same = known is not None and (known.vendor_id, known.device_id) == (
        device.identity.vendor_id,
        device.identity.device_id,
    )
    return known if known is not None and same and _is_foreseen(host, device) else device.identity


def _foreseen_refusals(foreseen: t.Iterable[Device], method: str) -> t.Iterator[Refusal]:
    for device in foreseen:
        if method != OVERRIDE:
            yield Refusal(
                str(device.address),
                f"{device.address} is a VF that is not there yet: only vfio_method: override takes it when it appears",
            )


def target_files(target: Target) -> dict[str, str]:
    """SHA-256 of every file that has to do with images, as it is to be, by path."""
    return _digests(target) if target.in_images else {}


def _digests(target: Target) -> dict[str, str]:
    return {file.path: digest(file.content) for file in target.files}


def present_files(host: HostState) -> dict[str, str]:
    """SHA-256 of every file of this component as it is, by path."""
    present = host.facts[NAME]["files"]
    return {path: present[path] for path in owned_paths(host.ledger, OWNER) if present.get(path) is not None}


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


def _host_refusals(host: HostState, target: Target) -> list[Refusal]:
    facts = host.facts[NAME]
    refusals = []
    if target.entries and facts["vfio_pci"] == MISSING:
        refusals.append(
            Refusal(None, f"kernel {host.kernel_release} has no driver vfio-pci, neither as a module nor built in")
        )
    if target.in_images and not facts["generators"]:
        reason = (
            f"no known initramfs generator is installed, without one nothing is bound early. Looked for: {looked_for()}"
        )
        refusals.append(Refusal(None, reason))
    files = host.ledger.section("files")
    for path, sha256 in _digests(target).items():
        present = facts["files"].get(path)
        if present in (None, sha256):
            continue
        why = obstacle(path, present, files.get(path))
        if why is not None:
            refusals.append(Refusal(None, why))
    return refusals


def _method_refusals(host: HostState, target: Target, allow: t.Mapping[Address, t.Collection[str]]) -> list[Refusal]:
    facts = host.facts[NAME]
    ours = {*host.ledger.section("kernel_args").get(OWNER, []), *target.arguments}
    foreign = others_arguments(host.boot, ours)
    by_address = {device.address: device for device in host.devices}
    return method_refusals(target, by_address, allow, facts["driverctl"], facts["foreign_ids"], foreign)


def _device_changes(
    host: HostState,
    present: Configured,
    target: Target,
    chosen: t.Mapping[Address, tuple[Device, t.Collection[str]]],
) -> t.Iterator[Change]:
    configured = present.entries
    there = {device.address: device for device in host.devices}
    if target.entries and present.method not in (None, target.method):
        yield Change("method", present.method, target.method)
    for address, (device, _keys) in sorted(chosen.items()):
        if configured.get(address) != _expected_identity(host, present, device):
            nothing = "not there yet" if _is_foreseen(host, device) else "no driver"
            before = f"{configured[address]}" if address in configured else device.driver or nothing
            after = f"{VFIO_PCI} {_HOW[target.method]}, as {device.identity}"
            why = "another model was there when it was written" if address in configured else None
            yield Change(f"device {address}", before, after, after_reboot=not device.on_vfio, why=why)
    recorded = host.ledger.section("devices")
    for address in sorted(({*configured} | {Address.parse(text) for text in recorded}) - set(chosen)):
        before = f"{VFIO_PCI} {_HOW[present.method or OVERRIDE]}"
        expected = configured.get(address) or Identity.from_json(recorded[str(address)]["identity"])
        sitting = there.get(address)
        if sitting is not None and expected.matches(sitting.identity):
            native = recorded.get(str(address), {}).get("native_driver")
            why = "vfio_devices does not select it any more"
        else:
            native = None
            why = f"{'no device' if sitting is None else sitting.identity} is there now, it was {expected}"
        bound = sitting is not None and sitting.on_vfio
        yield Change(f"release {address}", before, native or "its own driver", after_reboot=bound, why=why)


def _file_changes(host: HostState, target: Target, unbound: bool) -> t.Iterator[Change]:
    """``unbound`` says whether a device still has to come to vfio-pci: what waits for a boot brings it there."""
    wanted = _digests(target)
    lying = host.facts[NAME]["files"]
    waiting = read_held(host.ledger)
    for path in sorted({*owned_paths(host.ledger, OWNER), *wanted}):
        present = lying.get(path)
        if present != wanted.get(path):
            before = None if present is None else "as it is"
            after = "as generated" if path in wanted else None
            yield Change(f"file {path}", before, after, after_reboot=unbound and path in waiting)
    yield from wait_for_nothing(host, OWNER, lying, wanted)


def _missed(host: HostState, target: Target, unbound: t.Iterable[Device]) -> t.Iterator[Refusal]:
    """A boot that was made for this configuration and left a device elsewhere: another one would only do the same."""
    off = "" if host.iommu["enabled"] else ". The IOMMU is off, and without it vfio-pci takes no device"
    for device in unbound:
        held = f"{device.address} is held by {device.driver or 'no driver'} although this boot was made for it"
        if target.table is not None and _boot_was_made_for(host, target.table):
            reason = (
                f"{held} (generation {target.table.generation}), and another boot would do the same. What the early "
                "script did is in the kernel log: "
                f"journalctl -k -b | grep -e virtfleet-passthrough -e {device.address}{off}"
            )
        elif target.table is None and _booted_since(host, device):
            reason = (
                f"{held} (method {target.method}), and another boot would do the same. Use vfio_method: override, "
                f"which acts in the initramfs before any other driver is loaded{off}"
            )
        else:
            continue
        yield Refusal(str(device.address), reason)


def _images_came_later(host: HostState, target: Target) -> bool:
    """Whether this boot had an image without the target's files: then the next one, or one after a rebuild, helps."""
    return target.in_images and (host.facts[NAME]["image_since_boot"] or boots_without(host, _digests(target)))


def _still_held(host: HostState) -> t.Iterator[Address]:
    """The devices that were given back for the next boots only, as long as this one holds them."""
    noted = host.facts[NAME]["taken_back"]
    return (device.address for device in host.devices if str(device.address) in noted and device.on_vfio)


def _boot_was_made_for(host: HostState, table: Table | None) -> bool:
    return table is not None and running_generation(host.boot["running"]) == table.generation


def _booted_since(host: HostState, device: Device) -> bool:
    boot = host.ledger.section("devices").get(str(device.address), {}).get("boot")
    return boot is not None and boot["boot_id"] != host.boot_id


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

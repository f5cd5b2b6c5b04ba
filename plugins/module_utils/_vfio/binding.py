# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""From what was asked of ``vfio_bind`` to what will be done, and doing it: boot-time table, files and drivers now."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _held_back, _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.detection import (
    installed_generators,
    looked_for,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.surroundings import Surroundings
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.verdict import twins
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import (
    BASE_CLASS_DISPLAY,
    Device,
    Identity,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.modalias import running_release
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Refusal
from ansible_collections.virtfleet.passthrough.plugins.module_utils._this_boot import note_taken_back, taken_back
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio import guard
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.driver import MISSING, vfio_pci_kind
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.driverctl import driverctl_installed
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import OWNER
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.guard import VFIO_PCI
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.method_rules import method_refusals
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.methods import IDS, OVERRIDE
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.runtime import current_driver, is_vfio_driver
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.state import foreign_ids
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import (
    TABLE_PATH,
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

BOUND = "bound"
PENDING_REBOOT = "pending_reboot"
NOT_CONFIGURED = "not_configured"


@dataclasses.dataclass(frozen=True)
class DeviceRequest:
    """One device as asked for: ``expected`` holds those fields of its identity that were named."""

    address: Address
    expected: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    allow: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Request:
    """``boot`` and ``now`` say where to act; ``exclusive`` releases everything of ours that is not named. All devices
    of a host are held by one ``method``: those of earlier runs change to it too. ``trial_first`` holds back what no
    boot entry can switch off."""

    devices: tuple[DeviceRequest, ...]
    method: str = OVERRIDE
    present: bool = True
    boot: bool = True
    now: bool = False
    exclusive: bool = False
    trial_first: bool = False


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will be done. ``target`` is what the next boots have afterwards; ``bind`` and ``release`` change drivers
    now; ``held`` are those to be given back that are on vfio-pci through us; ``files`` of ours are there afterwards.
    ``taken_back`` are those that an earlier run in this boot gave back for the next ones, ``trial_first`` is
    that of the request."""

    target: Target
    files: tuple[_owned.OwnedFile, ...]
    file_changes: tuple[_owned.FileChange, ...]
    bind: tuple[Address, ...]
    release: tuple[Address, ...]
    held: frozenset[Address]
    records: t.Mapping[str, t.Mapping[str, t.Any]]
    natives: t.Mapping[Address, str | None]
    taken_back: frozenset[Address] = frozenset()
    trial_first: bool = False

    @property
    def releases_files(self) -> tuple[str, ...]:
        """Owned files that are no longer wanted."""
        wanted = {file.path for file in self.files}
        return tuple(change.path for change in self.file_changes if change.path not in wanted)


def make_plan(root: Root, ledger: Ledger, request: Request, around: Surroundings, foreign: t.Sequence[str]) -> Plan:
    """Decide everything and refuse what must be refused; writes nothing. ``foreign`` are arguments of the
    next boot that are not ours.

    Raises :class:`RefusedError` or :class:`HostStateError`, naming device, reason and key.
    """
    present = read_configured(read_table(root, ledger), ledger.section("devices"))
    by_address = {device.address: device for device in around.devices}
    recorded = {Address.parse(text): record for text, record in ledger.section("devices").items()}
    named = {wanted.address: wanted for wanted in request.devices}
    earlier = {Address.parse(text): record for text, record in taken_back(root, OWNER).items()}
    ours = {*present.entries, *recorded, *earlier}
    gone = _leaving(request, named, ours)
    entries = {
        address: identity for address, identity in present.entries.items() if not (request.boot and address in gone)
    }
    method = request.method if request.present and request.boot else present.method or OVERRIDE
    around = dataclasses.replace(around, selected={*named, *entries} - gone, by_ids=method == IDS and request.boot)
    if request.present:
        known = {
            **{address: Identity.from_json(record["identity"]) for address, record in recorded.items()},
            **present.entries,
        }
        found = {wanted.address: _check(wanted, by_address, known, around, request) for wanted in request.devices}
        if request.boot:
            entries.update({address: device.identity for address, device in found.items()})
        _check_kernel(root, bool(found))
    target = _target(root, ledger, method, entries, present, around)
    if request.boot:
        # What speaks against a method must not keep anybody from giving devices back.
        allow = {address: wanted.allow for address, wanted in named.items()} if request.present else None
        _check_method(root, target, around, foreign, allow)
    files = target.files if request.boot else _as_they_are(root, ledger)
    # What waits goes on waiting where the next boots are none of this run's business.
    trial_first = request.trial_first or not request.boot
    bind = [address for address in named if request.present and request.now and not _on_vfio(root, address)]
    held = {address for address in gone if _holds_ours(root, address, ours, present.table)}
    return Plan(
        target=target,
        files=files,
        file_changes=_held_back.preview(root, ledger, OWNER, files, trial_first),
        bind=tuple(sorted(bind)),
        release=tuple(sorted(held)) if request.now else (),
        held=frozenset(held),
        records=_records(root, recorded, by_address, named if request.present else {}, target, gone),
        natives={address: record.get("native_driver") for address, record in {**earlier, **recorded}.items()},
        taken_back=frozenset(earlier),
        trial_first=trial_first,
    )


def _target(
    root: Root,
    ledger: Ledger,
    method: str,
    entries: t.Mapping[Address, Identity],
    present: Configured,
    around: Surroundings,
) -> Target:
    last = last_generation(ledger.generation, _running(root))
    written = ledger.section("kernel_args").get(OWNER, [])
    kind = vfio_pci_kind(root)
    return make_target(method, entries, present, last, written, around.devices, installed_generators(root), kind)


def _check_method(
    root: Root,
    target: Target,
    around: Surroundings,
    foreign: t.Sequence[str],
    allow: t.Mapping[Address, t.Collection[str]] | None,
) -> None:
    """``allow`` holds the keys of the devices that are asked for now, ``None`` where some are only given back."""
    if target.in_images and not installed_generators(root):
        raise HostStateError(f"Nothing can be bound early without an initramfs generator. Looked for: {looked_for()}")
    by_address = {device.address: device for device in around.devices}
    refusals = []
    if allow is not None:
        refusals = method_refusals(target, by_address, allow, driverctl_installed(root), foreign_ids(root), foreign)
    if around.by_ids:
        # Those of earlier runs count as well, and where one of two twins is given back nothing else is looked at.
        held = [by_address[address] for address in sorted(target.entries) if address in by_address]
        found = [finding for device in held for finding in twins(device, around)]
        refusals += [Refusal(finding.device, finding.reason, finding.allow) for finding in found]
    if refusals:
        raise _combined(refusals)


def with_networks(plan: Plan, kept: t.Mapping[Address, t.Sequence[t.Mapping[str, t.Any]]]) -> Plan:
    """The plan with what the interfaces of its devices have now in their records, for their return."""
    if not kept:
        return plan
    records = dict(plan.records)
    for address, settings in kept.items():
        records[str(address)] = {**records[str(address)], "network": list(settings)}
    return dataclasses.replace(plan, records=records)


def read_table(root: Root, ledger: Ledger) -> Table | None:
    """The table that this collection wrote, or ``None``."""
    if TABLE_PATH not in ledger.section("files"):
        return None
    text = root.read_text(TABLE_PATH)
    return None if text is None else Table.parse(text)


def install_files(root: Root, ledger: Ledger, plan: Plan) -> list[str]:
    """Write the plan's boot files and records; gives notes for people. The generation is durable before the table."""
    if plan.target.table is not None:
        ledger.generation = max(ledger.generation, plan.target.table.generation)
    # First, because the ledger's records go and nothing else tells of these.
    note_taken_back(root, OWNER, _kept_by_this_boot(root, plan))
    devices = ledger.section("devices")
    if devices != plan.records:
        devices.clear()
        devices.update(plan.records)
        ledger.save()
    return _held_back.write(root, ledger, OWNER, plan.files, plan.trial_first)


def _kept_by_this_boot(root: Root, plan: Plan) -> dict[str, dict[str, str | None]]:
    """The devices that stay on vfio-pci until the next boot although nothing configures them, with their drivers."""
    leaving = sorted((plan.held | plan.taken_back) - set(plan.target.entries))
    return {
        str(address): {"native_driver": plan.natives.get(address)}
        for address in leaving
        if str(address) not in plan.records and _on_vfio(root, address)
    }


def settled(plan: Plan) -> Plan:
    """The plan after it was carried out: drivers are read from the host again instead of being foretold."""
    return dataclasses.replace(plan, bind=(), release=())


def drivers_after(root: Root, plan: Plan, addresses: t.Iterable[Address]) -> dict[Address, str | None]:
    """The drivers of ``addresses`` once the plan is carried out; of a released one the recorded native driver."""
    drivers = {address: current_driver(root, address) for address in addresses}
    drivers.update({address: plan.natives.get(address) for address in plan.release if address in drivers})
    drivers.update({address: VFIO_PCI for address in plan.bind if address in drivers})
    return drivers


def device_status(on_vfio: bool, configured: bool, wanted: bool, ours: bool) -> str:
    """``bound``, ``pending_reboot`` or ``not_configured``, for a device that is ``wanted`` or not.

    One that is not, and is on vfio-pci by somebody else's doing (not ``ours``), waits for nothing.
    """
    held = on_vfio and (wanted or ours)
    if wanted and held:
        return BOUND
    return PENDING_REBOOT if configured != held else NOT_CONFIGURED


def reboot_required(root: Root, plan: Plan, request: Request) -> bool:
    """Whether the running system differs from what the next boot will bring."""
    running = running_generation(_running(root))
    table, entries = plan.target.table, plan.target.entries
    if running != (None if table is None else table.generation):
        return True
    named = [wanted.address for wanted in request.devices]
    leaving = (plan.held | plan.taken_back) - {*entries, *(named if request.present else ())}
    drivers = drivers_after(root, plan, {*entries, *named, *leaving})
    on_vfio = {address: is_vfio_driver(root, driver) for address, driver in drivers.items()}
    return (
        any(on_vfio[address] for address in leaving)
        or not all(on_vfio[address] for address in entries)
        or any(
            device_status(on_vfio[address], address in entries, request.present, address in plan.held) == PENDING_REBOOT
            for address in named
        )
    )


def _running(root: Root) -> list[str]:
    return (root.read_text("/proc/cmdline") or "").split()


def _leaving(request: Request, named: t.Collection[Address], ours: t.Collection[Address]) -> set[Address]:
    if not request.present:
        return set(named)
    return set(ours) - set(named) if request.exclusive else set()


def _on_vfio(root: Root, address: Address) -> bool:
    return is_vfio_driver(root, current_driver(root, address))


def _holds_ours(root: Root, address: Address, ours: t.Collection[Address], present: Table | None) -> bool:
    """Whether the device is on vfio-pci through us: recorded, or through an override that a boot of ours has set.

    A boot made with the present table, which does not name the device, has not set it.
    """
    if not _on_vfio(root, address):
        return False
    override = root.read_word(f"/sys/bus/pci/devices/{address}/driver_override")
    running = running_generation(_running(root))
    other_table = running is not None and (present is None or present.generation != running)
    return address in ours or (override == VFIO_PCI and other_table)


def _check(
    wanted: DeviceRequest,
    by_address: t.Mapping[Address, Device],
    known: t.Mapping[Address, Identity],
    around: Surroundings,
    request: Request,
) -> Device:
    address = wanted.address
    device = by_address.get(address)
    if device is None:
        raise RefusedError(f"there is no device at {address}", device=str(address))
    identity = device.identity.to_json()
    differing = [name for name, value in wanted.expected.items() if identity[name] != value]
    if differing:
        expected = ", ".join(f"{name} {wanted.expected[name]}" for name in differing)
        raise RefusedError(f"{address} is {device.identity} now, expected {expected}", device=str(address))
    before = known.get(address)
    # Whoever names the identity has seen the new card.
    unnoticed = before is not None and not wanted.expected and not before.matches(device.identity)
    if unnoticed and guard.ALLOW_IDENTITY not in wanted.allow:
        reason = f"{address} is {device.identity} now, it was given away as {before}"
        raise RefusedError(reason, device=str(address), allow=guard.ALLOW_IDENTITY)
    refusals = guard.judge(device, around, wanted.allow)
    if request.now:
        refusals += _not_now(device, wanted.allow)
    if refusals:
        raise _combined(refusals)
    return device


def _not_now(device: Device, allow: t.Collection[str]) -> list[Refusal]:
    address = str(device.address)
    if device.on_vfio:
        return []
    found = []
    if device.iommu_group is None:
        found.append(Refusal(address, f"{address} is in no IOMMU group: vfio-pci cannot take it in this boot"))
    if device.class_code.startswith(BASE_CLASS_DISPLAY) and guard.ALLOW_RUNTIME_GPU not in allow:
        reason = f"{address} is a display (class {device.class_code}): drivers often fail when one is taken from them"
        found.append(Refusal(address, f"{reason}, use timing=boot", guard.ALLOW_RUNTIME_GPU))
    return found


def _combined(refusals: t.Sequence[Refusal]) -> RefusedError:
    reasons = [f"{refusal.reason}" + (f" (allow: {refusal.allow})" if refusal.allow else "") for refusal in refusals]
    return RefusedError("; ".join(reasons), device=refusals[0].device, allow=refusals[0].allow)


def _check_kernel(root: Root, needed: bool) -> None:
    if needed and vfio_pci_kind(root) == MISSING:
        raise RefusedError(
            f"kernel {running_release(root)} has no driver vfio-pci, neither as a module nor built in: "
            "install its modules"
        )


def _as_they_are(root: Root, ledger: Ledger) -> tuple[_owned.OwnedFile, ...]:
    contents = {path: root.read_bytes(path) for path in _owned.owned_paths(ledger, OWNER)}
    lying = {path: _owned.OwnedFile(path, content) for path, content in contents.items() if content is not None}
    waiting = {path: held.file for path, held in _held_back.read_held(ledger).items() if held.owner == OWNER}
    return tuple({**lying, **waiting}.values())


def _records(
    root: Root,
    recorded: t.Mapping[Address, t.Mapping[str, t.Any]],
    by_address: t.Mapping[Address, Device],
    bound: t.Iterable[Address],
    target: Target,
    gone: t.Collection[Address],
) -> dict[str, t.Mapping[str, t.Any]]:
    """The ledger's ``devices`` afterwards: what each device is without us, for as long as we hold it."""
    records = {
        address: record for address, record in recorded.items() if address not in gone or address in target.entries
    }
    for address in bound:
        device = by_address[address]
        known = records.get(address)
        if known is None or not Identity.from_json(known["identity"]).matches(device.identity):
            records[address] = _record(device)
    return {str(address): _with_boot(root, address, record, target) for address, record in sorted(records.items())}


def _with_boot(root: Root, address: Address, record: t.Mapping[str, t.Any], target: Target) -> t.Mapping[str, t.Any]:
    """The record with the method and the boot in which it was configured; the table of ``override`` tells itself."""
    plain = {name: value for name, value in record.items() if name != "boot"}
    if address not in target.entries or target.method == OVERRIDE:
        return plain
    known = record.get("boot") or {}
    if known.get("method") == target.method:
        return record
    boot_id = root.read_word("/proc/sys/kernel/random/boot_id") or ""
    return {**plain, "boot": {"method": target.method, "boot_id": boot_id}}


def _record(device: Device) -> dict[str, t.Any]:
    return {
        "identity": device.identity.to_json(),
        "native_driver": device.native_driver,
        "mac": device.mac,
        "interfaces": list(device.interfaces),
    }

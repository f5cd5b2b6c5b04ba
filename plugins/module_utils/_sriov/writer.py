# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Bringing the VFs of one PF to what is wanted, now and for every boot, and giving them back."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    PassthroughError,
    RefusedError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency, Refusal
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.addresses import vf_addresses
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.boot_files import (
    ESWITCH_BEFORE_VFS,
    OWNER,
    boot_files,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.judge import (
    in_use,
    judge,
    switch_loses_the_host,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.links import (
    differing,
    read_links,
    set_eswitch,
    set_vf,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.record import (
    SECTION,
    Before,
    Record,
    new_record,
    read_records,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.request import PfRequest, VfSettings
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.state import DEVICES, read_before
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.runtime import DRIVERS_PROBE, AttributeWriter


@dataclasses.dataclass(frozen=True)
class Outcome:
    """``vfs`` are the VFs afterwards, by number: address (``None`` where only the kernel can tell), driver and
    settings. ``wanted`` is what the PF has then."""

    changed: bool
    wanted: PfRequest
    vfs: tuple[t.Mapping[str, t.Any], ...]
    diff: tuple[t.Mapping[str, t.Any], ...]
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Steps:
    """``settings``: number of a VF to the names of the settings to make."""

    number: bool
    autoprobe: bool
    eswitch: bool
    settings: t.Mapping[int, t.Sequence[str]]

    @property
    def any(self) -> bool:
        return self.number or self.autoprobe or self.eswitch or any(self.settings.values())


class Pf:
    """One PF of a running host, with what is needed to change it."""

    def __init__(self, root: Root, run: Runner, write: AttributeWriter, device: Device) -> None:
        self._root = root
        self._run = run
        self._write = write
        self._device = device
        self._address = str(device.address)
        # Before there are VFs: with a switch they bring interfaces, and the card's own is the first now.
        self._interface = device.interfaces[0] if device.interfaces else None

    def now(self, wanted: PfRequest) -> Before:
        return read_before(self._root, self._run, self._address, wanted.eswitch is not None)

    def settings(self) -> dict[int, VfSettings]:
        """Settings of the VFs that are there, none for a card without an interface."""
        if self._interface is None or not self._number():
            return {}
        return read_links(self._run, self._interface).get(self._interface, {})

    def steps(self, wanted: PfRequest, now: Before) -> _Steps:
        number = now.numvfs != wanted.numvfs
        # Whoever asks for no setting needs no iproute2.
        present = {} if number or not wanted.vfs else self.settings()
        return _Steps(
            number=number,
            autoprobe=now.autoprobe != wanted.autoprobe,
            eswitch=wanted.eswitch is not None and now.eswitch != wanted.eswitch,
            settings={
                index: differing(settings, present.get(index, VfSettings())) for index, settings in wanted.vfs.items()
            },
        )

    def change(self, steps: _Steps, wanted: PfRequest, now: Before) -> None:
        """Carry out ``steps``; on any failure the former number of VFs is back, with their former settings.

        Raises :class:`HostStateError` that tells what failed and how it stands now.
        """
        former = self.settings() if now.numvfs and (steps.number or steps.settings) and self._interface else {}
        try:
            self._apply(steps, wanted, now)
        except (OSError, PassthroughError) as exc:
            raise HostStateError(f"{exc}. {self._unwind(now, former)}") from exc

    def vfs(self, numvfs: int) -> tuple[Address, ...]:
        """The first ``numvfs`` VFs as the kernel has them."""
        names = (self._root.link_name(f"{DEVICES}/{self._address}/virtfn{index}") for index in range(numvfs))
        return tuple(Address.parse(name) for name in names if name is not None)

    def _apply(self, steps: _Steps, wanted: PfRequest, now: Before) -> None:
        early = self._device.driver in ESWITCH_BEFORE_VFS
        if steps.number:
            # No driver of the host may see a VF before it has its settings.
            self._put("sriov_drivers_autoprobe", "0")
            if now.numvfs:
                self._resize(0)
            if steps.eswitch and early:
                set_eswitch(self._run, self._address, wanted.eswitch or "")
            self._resize(wanted.numvfs)
        for index, names in steps.settings.items():
            for name in names:
                set_vf(self._run, self._interface or "", index, wanted.vfs[index], name)
        self._expect_settings(steps, wanted)
        if steps.eswitch and not (steps.number and early):
            set_eswitch(self._run, self._address, wanted.eswitch or "")
        if steps.autoprobe or (steps.number and wanted.autoprobe):
            self._put("sriov_drivers_autoprobe", str(int(wanted.autoprobe)))
        if wanted.autoprobe and (steps.autoprobe or steps.number):
            self._find_drivers(wanted.numvfs)

    def _find_drivers(self, numvfs: int) -> None:
        for address in self.vfs(numvfs):
            self._write(DRIVERS_PROBE, str(address))

    def _expect_settings(self, steps: _Steps, wanted: PfRequest) -> None:
        """A driver may take a setting and leave it at that."""
        if not any(steps.settings.values()):
            return
        present = self.settings()
        for index, settings in wanted.vfs.items():
            left = differing(settings, present.get(index, VfSettings()))
            if left:
                raise HostStateError(
                    f"the driver {self._device.driver} took {left[0]} of VF {index} of {self._address} without an "
                    "error, and it is not set: the driver has no such setting, leave it out"
                )

    def _resize(self, number: int) -> None:
        self._put("sriov_numvfs", str(number))
        found = self._number()
        if found != number:
            raise HostStateError(f"{self._address} got {found} VFs instead of {number}: the kernel log says why")

    def _number(self) -> int:
        return int(self._root.read_word(f"{DEVICES}/{self._address}/sriov_numvfs") or 0)

    def _put(self, name: str, value: str) -> None:
        try:
            self._write(f"{DEVICES}/{self._address}/{name}", value)
        except OSError as exc:
            raise HostStateError(
                f"{self._address} with the driver {self._device.driver} refused {value} as its {name}: "
                f"{exc.strerror or exc}"
            ) from exc

    def _unwind(self, now: Before, former: t.Mapping[int, VfSettings]) -> str:
        """Bring back what was and tell how that went; goes on past what fails."""
        troubles: list[str] = []

        def attempt(step: t.Callable[[], None]) -> None:
            try:
                step()
            except (OSError, PassthroughError) as exc:
                troubles.append(str(exc))

        if self._number() != now.numvfs:
            if self._number():
                attempt(lambda: self._resize(0))
            if now.numvfs:
                attempt(lambda: self._put("sriov_drivers_autoprobe", "0"))
                attempt(lambda: self._resize(now.numvfs))
        if self._number() == now.numvfs:
            attempt(lambda: self._restore(former))
        attempt(lambda: self._put("sriov_drivers_autoprobe", str(int(now.autoprobe))))
        if now.autoprobe:
            attempt(lambda: self._find_drivers(self._number()))
        if not troubles:
            return f"{self._address} has {now.numvfs} VFs again, as before"
        return f"Not everything of {self._address} could be brought back: " + "; ".join(troubles)

    def _restore(self, former: t.Mapping[int, VfSettings]) -> None:
        present = self.settings() if former else {}
        for index, settings in former.items():
            for name in differing(settings, present.get(index, VfSettings())):
                set_vf(self._run, self._interface or "", index, settings, name)


def apply(
    root: Root,
    run: Runner,
    write: AttributeWriter,
    ledger: Ledger,
    device: Device,
    wanted: PfRequest,
    devices: t.Sequence[Device],
    dependencies: t.Sequence[Dependency],
    check_mode: bool,
) -> Outcome:
    """Write what differs. ``ledger`` must be the locked one. Raises :class:`RefusedError` before the first write."""
    _refuse(judge(device, wanted, devices, dependencies))
    pf = Pf(root, run, write, device)
    now = pf.now(wanted)
    if wanted.eswitch is not None and now.eswitch is None:
        raise RefusedError(
            f"{device.address} with the driver {device.driver} has no switch that devlink knows: leave switchdev out",
            device=str(device.address),
        )
    _refuse(switch_loses_the_host(device, now.eswitch, wanted.eswitch, dependencies))
    records = read_records(ledger)
    known = records.get(device.address)
    record = new_record(device, wanted, now, known)
    records[device.address] = record
    files = boot_files(records)
    previews = _previews(root, ledger, files)
    steps = pf.steps(wanted, now)
    changed = steps.any or record != known or any(change.changed for change in previews)
    notes: list[str] = []
    if changed and not check_mode:
        # First of all: after a power cut the ledger may name VFs that are not there, never miss some that are.
        _note(ledger, device.address, record)
        try:
            pf.change(steps, wanted, now)
        except HostStateError:
            _note(ledger, device.address, known)
            raise
        notes = _write_files(root, ledger, files, previews)
    foretold = vf_addresses(device, wanted.numvfs) if check_mode and steps.number else None
    vfs = _report(root, pf.vfs(wanted.numvfs) if foretold is None else foretold, wanted)
    diff = (*_diff(device.address, wanted, now, steps), *_file_diffs(previews))
    return Outcome(changed, wanted, vfs, diff, tuple(notes))


def release(
    root: Root,
    run: Runner,
    write: AttributeWriter,
    ledger: Ledger,
    address: Address,
    devices: t.Sequence[Device],
    dependencies: t.Sequence[Dependency],
    check_mode: bool,
) -> Outcome:
    """Bring back what the PF had before us. Another card at its address, or none, is left alone."""
    records = read_records(ledger)
    record = records.pop(address, None)
    if record is None:
        return Outcome(False, PfRequest(0), (), ())
    device = next((device for device in devices if device.address == address), None)
    ours = device is not None and record.identity.matches(device.identity)
    files = boot_files(records)
    previews = _previews(root, ledger, files)
    wanted = PfRequest(record.before.numvfs, record.before.autoprobe, record.before.eswitch)
    diff: list[t.Mapping[str, t.Any]] = []
    notes: list[str] = []
    vfs: tuple[t.Mapping[str, t.Any], ...] = ()
    if ours and device is not None and device.sriov_totalvfs is not None:
        pf = Pf(root, run, write, device)
        now = pf.now(wanted)
        if now.numvfs != wanted.numvfs and now.numvfs:
            _refuse(in_use(device, devices, dependencies))
        _refuse(switch_loses_the_host(device, now.eswitch, wanted.eswitch, dependencies))
        steps = pf.steps(wanted, now)
        diff += _diff(address, wanted, now, steps)
        if steps.any and not check_mode:
            pf.change(steps, wanted, now)
        vfs = _report(root, pf.vfs(wanted.numvfs), wanted)
    elif device is not None:
        notes.append(f"{address} is {device.identity} now, the VFs were those of {record.identity}: it is left alone")
    if not check_mode:
        # The files first: a run that is cut off in between may leave a promise, never VFs at a boot that nobody wants.
        notes += _write_files(root, ledger, files, previews)
        _note(ledger, address, None)
    return Outcome(True, wanted, vfs, (*diff, *_file_diffs(previews)), tuple(notes))


def _refuse(refusals: t.Sequence[Refusal]) -> None:
    if refusals:
        reasons = "; ".join(refusal.reason for refusal in refusals)
        raise RefusedError(reasons, device=refusals[0].device, allow=refusals[0].allow)


def _note(ledger: Ledger, address: Address, record: Record | None) -> None:
    section = ledger.section(SECTION)
    section.pop(str(address), None)
    if record is not None:
        section[str(address)] = record.to_json()
    ledger.save()


def _previews(root: Root, ledger: Ledger, files: t.Sequence[_owned.OwnedFile]) -> tuple[_owned.FileChange, ...]:
    wanted = {file.path for file in files}
    leaving = [path for path in _owned.owned_paths(ledger, OWNER) if path not in wanted]
    changes = [_owned.preview(root, ledger, file) for file in files]
    return (*changes, *(_owned.preview_release(root, ledger, path) for path in leaving))


def _write_files(
    root: Root,
    ledger: Ledger,
    files: t.Sequence[_owned.OwnedFile],
    previews: t.Iterable[_owned.FileChange],
) -> list[str]:
    for file in files:
        _owned.install(root, ledger, OWNER, file)
    wanted = {file.path for file in files}
    released = [_owned.release(root, ledger, change.path) for change in previews if change.path not in wanted]
    return [change.note for change in released if change.note is not None]


def _file_diffs(previews: t.Iterable[_owned.FileChange]) -> list[t.Mapping[str, t.Any]]:
    return [_owned.diff_entry(change) for change in previews if change.changed]


def _diff(address: Address, wanted: PfRequest, now: Before, steps: _Steps) -> list[t.Mapping[str, t.Any]]:
    before, after = [], []
    if steps.number:
        before.append(f"VFs: {now.numvfs}")
        after.append(f"VFs: {wanted.numvfs}")
    if steps.autoprobe:
        before.append(f"autoprobe: {'on' if now.autoprobe else 'off'}")
        after.append(f"autoprobe: {'on' if wanted.autoprobe else 'off'}")
    if steps.eswitch:
        before.append(f"switch: {now.eswitch}")
        after.append(f"switch: {wanted.eswitch}")
    for index, names in steps.settings.items():
        after += [f"VF {index}: {name} {getattr(wanted.vfs[index], name)}" for name in names]
    if not after:
        return []
    return [_owned.text_diff(f"PF {address}", *("".join(f"{line}\n" for line in lines) for lines in (before, after)))]


def _report(root: Root, present: t.Sequence[Address], wanted: PfRequest) -> tuple[t.Mapping[str, t.Any], ...]:
    report = []
    for index in range(wanted.numvfs):
        address = present[index] if index < len(present) else None
        settings = wanted.vfs.get(index, VfSettings())
        report.append(
            {
                "index": index,
                "address": None if address is None else str(address),
                "driver": None if address is None else root.link_name(f"{DEVICES}/{address}/driver"),
                **vars(settings),
            }
        )
    return tuple(report)

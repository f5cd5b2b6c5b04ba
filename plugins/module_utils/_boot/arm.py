# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Arming a trial: decide and refuse, then write in an order in which a power cut leaves the default entry bootable.

The record comes first, so that the next run knows what may lie there; the choice for one boot comes last.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _held_back, _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import (
    bmc_watchdog,
    deadline,
    early_files,
    watchdog,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import record as records
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.end import take_away
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.images import (
    NAME,
    check_space,
    copy_image,
    file_digest,
    require_image,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.interface import Base, TrialLoader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.options import MIN_DEADLINE
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.parameters import (
    PANIC,
    PANIC_OWNER,
    trial_arguments,
    with_trial,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.record import Record, TriedImage, write_record
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.status import (
    Status,
    identify,
    read_status,
    require_loader,
    require_possible,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.limits import too_long
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import Token
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.writer import ArgumentsChange, set_owners
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    InputError,
    RefusedError,
    ToolError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.detection import installed_generators
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import read_image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

DEFAULT_DEADLINE: t.Final = 900
DEFAULT_PANIC: t.Final = 15


@dataclasses.dataclass(frozen=True)
class Request:
    """``owners`` as :func:`set_owners` takes them, ``images`` kernel release to the path of the image to try; times in
    seconds; ``watchdog`` is ``auto``, ``off`` or the module of one."""

    owners: t.Mapping[str, t.Sequence[str]]
    images: t.Mapping[str, str]
    deadline: int = DEFAULT_DEADLINE
    panic: int = DEFAULT_PANIC
    watchdog: str = watchdog.AUTO


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will be written: ``source`` is the image to copy, ``None`` where it is tried where it lies."""

    record: Record
    entry: _owned.OwnedFile
    units: tuple[_owned.OwnedFile, ...]
    source: str | None
    panic: ArgumentsChange | None

    def diff(self, root: Root, ledger: Ledger) -> tuple[dict[str, t.Any], ...]:
        """Refuses where a file is somebody else's."""
        changes = [_owned.preview(root, ledger, file) for file in (*self.units, self.entry)]
        lines = [dict(entry) for entry in self.panic.diff] if self.panic is not None else []
        return (*lines, *(_owned.diff_entry(change) for change in changes if change.changed))


@dataclasses.dataclass(frozen=True)
class Armed:
    """What is armed now, whether anything had to be done for that, and the diff."""

    record: Record
    changed: bool
    diff: tuple[t.Mapping[str, t.Any], ...] = ()


def arm(root: Root, run: Runner, ledger: Ledger, request: Request, check_mode: bool) -> Armed:
    """Arm ``request``.

    Raises :class:`InputError`, :class:`RefusedError` or :class:`HostStateError` before the first write;
    :class:`ToolError` afterwards, when everything is taken away again.
    """
    status = read_status(root, ledger)
    if status.state == records.TRYING:
        raise RefusedError("this boot is on trial: commit it or roll it back before the next one is armed")
    plan = make_plan(root, run, ledger, request, status)
    recorded = status.record
    armed = recorded if status.state == records.ARMED and not status.stale else None
    if armed is not None and armed.identifier == plan.record.identifier:
        return Armed(armed, False)
    diff = plan.diff(root, ledger)
    loader = require_loader(status)
    if not check_mode:
        if recorded is not None:
            take_away(root, run, ledger, loader, recorded)
        try:
            _write(root, run, ledger, loader, plan)
        except BaseException:
            take_away(root, run, ledger, loader, plan.record)
            raise
    return Armed(plan.record, True, diff)


def make_plan(root: Root, run: Runner, ledger: Ledger, request: Request, status: Status) -> Plan:
    """Decide everything and refuse what must be refused; writes nothing."""
    _check(request)
    loader, base = require_possible(run, status)
    owners, panic = _with_panic(root, run, ledger, request, status, base)
    wanted = set_owners(root, run, ledger, owners, True)
    images = {kernel: _image(root, loader, base, kernel, path) for kernel, path in request.images.items()}
    tried = images.get(base.entry.kernel)
    place, source = _place(root, tried, base, status.record)
    bmc = bmc_watchdog.seconds_for(root, request.deadline) if request.watchdog == watchdog.AUTO else None
    guard, not_covered = _watchdog(root, run, request, loader, tried.path if tried else base.initrd, bmc)
    line = _line_of(wanted.state["entries"], base)
    held = _held_back.digests(ledger)
    identifier = _identifier(status.boot_id, request, line, images, guard, held)
    generators = installed_generators(root)
    settings = _settings(ledger, line)
    run_of_trial = trial_arguments(identifier, request.panic, request.deadline, generators, guard, settings)
    full = with_trial(line, run_of_trial)
    _refuse_long(base, full)
    entry = loader.render(full, place, f"virtfleet.passthrough: boot on trial {identifier}")
    default = base.entry
    if panic is not None:
        default = dataclasses.replace(default, args=tuple(_line_of(panic.state["entries"], base)))
    record = Record(
        identifier=identifier,
        step=records.PREPARING,
        boot_id=status.boot_id,
        loader=loader.name,
        entry=loader.entry_name,
        kernel=base.entry.kernel,
        base=identify(default),
        line=full,
        owners={owner: list(args) for owner, args in owners.items()},
        images=images,
        watched=_watched(root, base, images, place, entry),
        copied=place if source is not None else None,
        deadline=request.deadline,
        panic=request.panic,
        watchdog=guard,
        panic_added=panic is not None,
        not_covered=not_covered,
        armed_at=time.time(),
        bmc=bmc,
        held_back=held,
    )
    units = deadline.unit_files(identifier, request.deadline)
    if bmc is not None:
        units = (*units, *bmc_watchdog.bmc_files(identifier, status.boot_id, bmc))
    return Plan(record, entry, units, source, panic)


def _settings(ledger: Ledger, line: t.Sequence[str]) -> list[str]:
    """What the trial's line says in place of files that wait, and does not say anyway."""
    files = (held.file for held in _held_back.read_held(ledger).values())
    return [argument for argument in _held_back.arguments(files) if argument not in line]


def _check(request: Request) -> None:
    if request.deadline < MIN_DEADLINE:
        raise InputError(f"deadline is {request.deadline}: expected at least {MIN_DEADLINE} seconds")
    if request.panic < 1:
        raise InputError(f"panic is {request.panic}: expected at least 1 second, as 0 waits for ever")


def _with_panic(
    root: Root, run: Runner, ledger: Ledger, request: Request, status: Status, base: Base
) -> tuple[dict[str, t.Sequence[str]], ArgumentsChange | None]:
    """All owners to write at commit, and what gives the default entry ``panic=`` now; ``None`` where one is there
    already, or is asked for."""
    recorded = status.record
    ours = f"{PANIC}={recorded.panic}" if recorded is not None and recorded.panic_added else None
    asked = [argument for args in request.owners.values() for argument in args]
    others = [argument for argument in base.entry.args if argument != ours]
    if PANIC_OWNER in request.owners or any(Token(argument).name == PANIC for argument in (*others, *asked)):
        return dict(request.owners), None
    present = [argument for argument in ledger.section("kernel_args").get(PANIC_OWNER, []) if argument != ours]
    addition = {PANIC_OWNER: [*present, f"{PANIC}={request.panic}"]}
    return {**request.owners, **addition}, set_owners(root, run, ledger, addition, True)


def _image(root: Root, loader: TrialLoader, base: Base, kernel: str, path: str) -> TriedImage:
    targets = loader.images_of(kernel)
    if not targets:
        raise InputError(f"images names the kernel {kernel}, for which there is no boot entry with an initramfs")
    if not path.startswith("/"):
        raise InputError(f"images has '{path}' for {kernel}: expected an absolute path")
    # Of the one that the trial boots beside, a change makes the whole trial stale.
    replaces = {target: file_digest(root, target) for target in targets if target != base.initrd}
    return TriedImage(path, require_image(root, path), targets, replaces)


def _place(root: Root, tried: TriedImage | None, base: Base, earlier: Record | None) -> tuple[str | None, str | None]:
    """Where the loader finds the image on trial, and what has to be copied there; ``None`` for the present image and
    for one that lies in place. The copy of an ``earlier`` trial goes before the new one comes."""
    if tried is None or tried.path == base.initrd:
        return None, None
    if os.path.dirname(tried.path) == base.directory:
        return tried.path, None
    place = f"{base.directory}/{NAME}"
    present = file_digest(root, place)
    if present != tried.digest:
        goes = earlier is not None and earlier.copied == place and earlier.images[earlier.kernel].digest == present
        check_space(root, tried.path, base.directory, os.path.getsize(root.path(place)) if goes else 0)
    return place, tried.path


def _watchdog(
    root: Root, run: Runner, request: Request, loader: TrialLoader, image: str | None, bmc: int | None
) -> tuple[str | None, tuple[str, ...]]:
    """What the early script is told, and what is not covered; ``bmc`` are the seconds of a timer that runs before."""
    choice = watchdog.choose(root, request.watchdog, request.deadline)
    argument, reason = choice.argument, choice.reason
    if argument is not None:
        reason = "there is no initramfs to start a watchdog in"
        if image is not None:
            reason = _missing_in(root, run, image, argument)
        if reason is not None:
            if request.watchdog != watchdog.AUTO:
                raise HostStateError(f"watchdog={request.watchdog}: {reason}")
            argument = None
    early = () if reason is None or bmc is not None else (f"an early hang is not covered: {reason}",)
    return argument, (*early, *loader.not_covered)


def _missing_in(root: Root, run: Runner, image: str, argument: str) -> str | None:
    try:
        listing = read_image(root, run, image, (early_files.SCRIPT_PATH.lstrip("/"),))
    except ToolError as exc:
        return f"it is unknown whether the image on trial starts a watchdog: {exc}"
    return early_files.missing_in_image(listing.names, listing.contents, argument)


def _line_of(entries: t.Sequence[t.Mapping[str, t.Any]], base: Base) -> list[str]:
    same = (base.entry.title, base.entry.kernel)
    return next(list(entry["args"]) for entry in entries if (entry["title"], entry["kernel"]) == same)


def _identifier(
    boot_id: str,
    request: Request,
    line: t.Sequence[str],
    images: t.Mapping[str, TriedImage],
    guard: str | None,
    held: t.Mapping[str, str],
) -> str:
    """The same for the same trial armed in the same boot, so that check mode shows what will be written."""
    digests = sorted((kernel, image.path, image.digest) for kernel, image in images.items())
    what = [boot_id, sorted(request.owners.items()), digests, request.deadline, request.panic, guard, list(line)]
    what += sorted(held.items())
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:12]


def _refuse_long(base: Base, line: t.Sequence[str]) -> None:
    reason = too_long("the boot on trial", base.entry.kernel, base.entry.args, line)
    if reason is not None:
        raise RefusedError(reason)


def _watched(
    root: Root, base: Base, images: t.Mapping[str, TriedImage], place: str | None, entry: _owned.OwnedFile
) -> dict[str, str]:
    found = {path: file_digest(root, path) for path in (base.kernel, base.initrd) if path is not None}
    found[entry.path] = _owned.digest(entry.content)
    tried = images.get(base.entry.kernel)
    for image in images.values():
        found[image.path] = image.digest
    if tried is not None and place is not None:
        # The copy counts, whatever becomes of the file that it was made from.
        found.pop(tried.path, None)
        found[place] = tried.digest
    return {path: digest for path, digest in found.items() if digest is not None}


def _write(root: Root, run: Runner, ledger: Ledger, loader: TrialLoader, plan: Plan) -> None:
    record = plan.record
    write_record(ledger, record)
    if record.panic_added:
        set_owners(root, run, ledger, {PANIC_OWNER: record.owners[PANIC_OWNER]}, False)
    if plan.source is not None and record.copied is not None:
        digest = record.images[record.kernel].digest
        copy_image(root, plan.source, os.path.dirname(record.copied), digest)
    for file in (*plan.units, plan.entry):
        _owned.install(root, ledger, deadline.OWNER, file)
    loader.sync()
    loader.check(run, plan.entry)
    write_record(ledger, dataclasses.replace(record, step=records.READY))
    loader.set_one_shot(run)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The two ends of a trial: what was tried becomes the default, or everything of it goes away."""

from __future__ import annotations

import dataclasses
import os

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _held_back, _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import bmc_watchdog, deadline, watchdog
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import record as records
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.images import discard, file_digest, promote
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.interface import TrialLoader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.parameters import PANIC, PANIC_OWNER
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.record import (
    Record,
    forget_record,
    write_record,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.status import (
    Status,
    read_status,
    require_loader,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.writer import ArgumentsChange, set_owners
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs import staged
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

_NOT_TRYING = {
    records.NONE: "no boot is on trial",
    records.INTERRUPTED: "the trial that is recorded was never started: arm it again",
    records.ARMED: "the trial is armed and has not been booted: reboot first",
    records.ROLLED_BACK: "the trial failed, and this boot is the one that the machine fell back to",
}


@dataclasses.dataclass(frozen=True)
class Committed:
    """``arguments`` is ``None`` where there was nothing left to commit; ``files`` were held back until now."""

    arguments: ArgumentsChange | None
    warnings: tuple[str, ...] = ()
    files: tuple[_owned.FileChange, ...] = ()


def commit(root: Root, run: Runner, ledger: Ledger, check_mode: bool) -> Committed:
    """Make the running trial the default of every kernel.

    Raises :class:`RefusedError` where no trial runs or where kernel, image or entry were changed since it was armed.
    A run that is cut off is finished by the next one while the trial still runs; after a reboot the machine is on
    the old entry or the new one, and the trial has to be armed again.
    """
    status = read_status(root, ledger)
    record = status.record
    if status.state == records.COMMITTED:
        return Committed(None)
    if status.state != records.TRYING or record is None:
        raise RefusedError(f"nothing to commit: {_NOT_TRYING[status.state]}")
    if status.stale:
        raise RefusedError(
            f"the trial cannot be committed: {'; '.join(status.stale)}. What runs is not what would boot: arm it again"
        )
    loader = require_loader(status)
    _refuse_lost_images(root, record)
    files = _held_back.preview_kept(root, ledger, record.held_back)
    change = set_owners(root, run, ledger, record.owners, True)
    if check_mode:
        return Committed(change, files=files)
    write_record(ledger, dataclasses.replace(record, step=records.COMMITTING))
    deadline.stop(root, run)
    warnings = _stop_watchdogs(root, run, record)
    loader.clear_one_shot(run)
    _release_entry(root, ledger)
    # Before the first image: cut off here, the old entry has what a whole trial has proven harmless, and the next run
    # goes on from there. A new entry without them would be something that nobody has tried.
    _held_back.keep(root, ledger, record.held_back)
    for kernel in sorted(record.images, key=lambda kernel: kernel != record.kernel):
        left = promote(root, _where_it_lies(root, record, kernel))
        warnings += [f"{path} stays as it is, because it was changed since the trial was armed" for path in left]
        image = record.images[kernel]
        staged.hand_over(root, ledger, image.path, kernel, [path for path in image.targets if path not in left])
    loader.sync()
    change = set_owners(root, run, ledger, record.owners, False)
    staged.discard(root, ledger)
    _finish(root, run, ledger, record)
    return Committed(change, (*change.warnings, *warnings), files)


def _stop_watchdogs(root: Root, run: Runner, record: Record) -> list[str]:
    """Gives a warning for each that cannot be stopped."""
    early = watchdog.stop_all(root) if record.watchdog else []
    return early + (bmc_watchdog.stop(root, run) if record.bmc is not None else [])


def _where_it_lies(root: Root, record: Record, kernel: str) -> records.TriedImage:
    """The image of a kernel with the place of the copy that was tried, if there is one."""
    image = record.images[kernel]
    if kernel == record.kernel and record.copied is not None and file_digest(root, record.copied) == image.digest:
        return dataclasses.replace(image, path=record.copied)
    return image


def _refuse_lost_images(root: Root, record: Record) -> None:
    for kernel in record.images:
        image = _where_it_lies(root, record, kernel)
        if image.digest not in {file_digest(root, path) for path in (image.path, *image.targets)}:
            raise RefusedError(f"{image.path} is no longer the image that was tried: arm the trial again")


def roll_back(root: Root, run: Runner, ledger: Ledger, check_mode: bool) -> tuple[Status, list[dict[str, str]]]:
    """Take everything of a trial away; gives what was there before, and the diff. A running trial goes on until the
    next reboot, without its deadline."""
    status = read_status(root, ledger)
    record = status.record
    if record is None:
        return status, []
    loader = require_loader(status)
    owned = _owned.owned_paths(ledger, deadline.OWNER)
    changes = [_owned.preview_release(root, ledger, path) for path in owned]
    if not check_mode:
        if status.state == records.TRYING:
            deadline.stop(root, run)
            _stop_watchdogs(root, run, record)
        staged.discard(root, ledger)
        take_away(root, run, ledger, loader, record)
    return status, [_owned.diff_entry(change) for change in changes if change.changed]


def take_away(root: Root, run: Runner, ledger: Ledger, loader: TrialLoader, record: Record) -> None:
    """Undo an arming, however far it came; first what makes it boot."""
    loader.clear_one_shot(run)
    _release_entry(root, ledger)
    present = ledger.section("kernel_args").get(PANIC_OWNER, [])
    if record.panic_added and present == record.owners[PANIC_OWNER] and not _has_its_line(ledger, record):
        left = [argument for argument in present if argument != f"{PANIC}={record.panic}"]
        set_owners(root, run, ledger, {PANIC_OWNER: left}, False)
    loader.sync()
    _finish(root, run, ledger, record)


def _has_its_line(ledger: Ledger, record: Record) -> bool:
    """Whether a commit was cut off after it had written the line: then that stays, all of it."""
    written = ledger.section("kernel_args")
    others = {owner: list(args) for owner, args in record.owners.items() if owner != PANIC_OWNER}
    return record.step == records.COMMITTING and all(written.get(owner) == args for owner, args in others.items())


def _release_entry(root: Root, ledger: Ledger) -> None:
    units = {deadline.SERVICE_PATH, deadline.TIMER_PATH, deadline.DROP_IN_PATH}
    for path in _owned.owned_paths(ledger, deadline.OWNER):
        if path not in units:
            _owned.release(root, ledger, path)


def _finish(root: Root, run: Runner, ledger: Ledger, record: Record) -> None:
    # A commit makes copies beside every target, besides the one that was made for the trial.
    copies = [target for image in record.images.values() for target in image.targets]
    copies += [record.copied] if record.copied is not None else []
    for directory in dict.fromkeys(map(os.path.dirname, copies)):
        discard(root, directory, frozenset(image.digest for image in record.images.values()))
    # The drop-in first: the others do nothing without it.
    owned = _owned.owned_paths(ledger, deadline.OWNER)
    for path in sorted(owned, key=lambda path: path != deadline.DROP_IN_PATH):
        _owned.release(root, ledger, path)
    if owned:
        deadline.forget(root, run)
    forget_record(ledger)

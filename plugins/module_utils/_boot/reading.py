# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The part of the one read that is about boots on trial: what the host is at, and whether a trial is possible."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import early_files, watchdog
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import record as records
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.last_words import last_words
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.status import Status, read_status
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult, Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import PassthroughError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.detection import installed_generators
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.record import image_stamp, recall
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest


def read_trial(root: Root, run: Runner, ledger: Ledger, deadline: int | None) -> dict[str, t.Any]:
    """``state``, ``stale`` and ``last_words`` as ``boot_trial`` returns them; where a trial is to be made, with
    ``deadline`` seconds, also ``obstacle`` (why none is possible, ``None`` if it is), ``not_covered`` and
    ``early_watchdog``: which image starts the hardware watchdog, one of the words in ``early_files.py``.

    A host without a trial that is not about to have one is not looked at: it costs nothing.
    """
    if deadline is None and records.read_record(ledger) is None:
        return {"state": records.NONE, "stale": [], "last_words": []}
    status = read_status(root, ledger)
    failed = status.record is not None and status.state == records.ROLLED_BACK
    return {
        "state": status.state,
        "stale": list(status.stale),
        "last_words": last_words(root, run, status.record) if failed and status.record is not None else [],
        **(
            {}
            if deadline is None
            else _possibility(root, run if root.is_live else _nobody_answers, ledger, status, deadline)
        ),
    }


def _nobody_answers(argv: t.Sequence[str], cwd: str | None = None) -> CommandResult:
    """In place of programs, which would tell about another machine than the captured one."""
    del cwd
    return CommandResult(tuple(argv), 0, "", "")


def _possibility(root: Root, run: Runner, ledger: Ledger, status: Status, deadline: int) -> dict[str, t.Any]:
    try:
        reason = _obstacle(run, status)
        choice = watchdog.choose(root, watchdog.AUTO, deadline)
    except PassthroughError as exc:
        return {"obstacle": str(exc), "not_covered": [], "early_watchdog": early_files.NO_IMAGE}
    covered = choice.argument is not None
    return {
        "obstacle": None if reason is None else f"no boot on trial is possible on this machine: {reason}",
        "not_covered": [
            *([] if covered else [f"an early hang is not covered: {choice.reason}"]),
            *(status.loader.not_covered if status.loader is not None else ()),
        ],
        "early_watchdog": _who_starts_it(root, ledger, status) if covered else early_files.ANY_IMAGE,
    }


def _who_starts_it(root: Root, ledger: Ledger, status: Status) -> str:
    path = status.base.initrd if status.base is not None else None
    found = None if path is None else recall(ledger, path, image_stamp(root, path))
    if found is not None and found.files.get(early_files.SCRIPT_PATH.lstrip("/")) == digest(
        early_files.SCRIPT.encode()
    ):
        return early_files.ANY_IMAGE
    return (
        early_files.NEW_IMAGE if early_files.SERVED.intersection(installed_generators(root)) else early_files.NO_IMAGE
    )


def _obstacle(run: Runner, status: Status) -> str | None:
    if status.obstacle is not None:
        raise status.obstacle
    reason = status.loader.obstacle(run) if status.loader is not None else "its boot loader is unknown"
    chosen = status.loader.one_shot() if status.loader is not None else None
    if reason is None and status.loader is not None and chosen not in (None, status.loader.entry_name):
        return f"'{chosen}' is already chosen for the next boot, by somebody else: boot it, or take it back"
    return reason

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The part of the one read that is about boots on trial: what the host is at, and whether a trial is possible."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import bmc_watchdog, early_files, watchdog
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import record as records
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.interface import Base
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.status import (
    Status,
    last_words_of,
    read_status,
    require_possible,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult, Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import PassthroughError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.detection import installed_generators
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.interface import installed_kernels
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.record import image_stamp, recall
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest


def read_trial(root: Root, run: Runner, ledger: Ledger, deadline: int | None) -> dict[str, t.Any]:
    """``state``, ``stale`` and ``last_words`` as ``boot_trial`` returns them; where a trial is to be made, with
    ``deadline`` seconds, also ``obstacle`` (why none is possible, ``None`` if it is), ``not_covered``,
    ``early_watchdog`` (which image starts the hardware watchdog, one of the words in ``early_files.py``) and, where
    one is possible, ``base``: ``kernel``, ``initrd`` and ``directory`` of what it is made from, and the kernels
    ``without_entry``, whose images would never boot.

    A host without a trial that is not about to have one is not looked at: it costs nothing.
    """
    if deadline is None and records.read_record(ledger) is None:
        return {"state": records.NONE, "stale": [], "last_words": []}
    status = read_status(root, ledger)
    return {
        "state": status.state,
        "stale": list(status.stale),
        "last_words": last_words_of(root, run, status),
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
        loader, base = require_possible(run, status)
        choice = watchdog.choose(root, watchdog.AUTO, deadline)
        without_entry = [kernel for kernel in installed_kernels(root) if not loader.images_of(kernel)]
    except PassthroughError as exc:
        return {"obstacle": str(exc), "not_covered": [], "early_watchdog": early_files.NO_IMAGE}
    by_bmc = bmc_watchdog.seconds_for(root, deadline) is not None
    early = [] if by_bmc or choice.argument is not None else [f"an early hang is not covered: {choice.reason}"]
    # One that the controller of the board counts needs no image.
    started_by = early_files.ANY_IMAGE if by_bmc or choice.argument is None else _who_starts_it(root, ledger, base)
    return {
        "obstacle": None,
        "not_covered": [*early, *loader.not_covered],
        "early_watchdog": started_by,
        "base": {
            "kernel": base.entry.kernel,
            "initrd": base.initrd,
            "directory": base.directory,
            "without_entry": without_entry,
        },
    }


def _who_starts_it(root: Root, ledger: Ledger, base: Base) -> str:
    found = None if base.initrd is None else recall(ledger, base.initrd, image_stamp(root, base.initrd))
    script = digest(early_files.SCRIPT.encode())
    if found is not None and found.files.get(early_files.SCRIPT_PATH.lstrip("/")) == script:
        return early_files.ANY_IMAGE
    served = early_files.SERVED.intersection(installed_generators(root))
    return early_files.NEW_IMAGE if served else early_files.NO_IMAGE

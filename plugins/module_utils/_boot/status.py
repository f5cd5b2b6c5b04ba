# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What a host is at: told by the ledger, the running command line and the boot loader, never by memory."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import record as records
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.detection import find_trial_loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.images import file_digest
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.interface import Base, TrialLoader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.last_words import last_words
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.parameters import running_trial
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.record import Record, read_record, state_of
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import (
    differs_from_running,
    running_arguments,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    PassthroughError,
    RefusedError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._held_back import changed_since
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


@dataclasses.dataclass(frozen=True)
class Status:
    """``loader`` and ``base`` are ``None`` where ``obstacle`` says why no trial can be made. ``stale`` are reasons why
    what is armed is no longer what would be tried, or become the default."""

    state: str
    boot_id: str
    record: Record | None
    loader: TrialLoader | None
    base: Base | None
    obstacle: PassthroughError | None
    stale: tuple[str, ...]
    reboot_required: bool


def read_status(root: Root, ledger: Ledger) -> Status:
    """Reads files only."""
    record = read_record(ledger)
    running = running_arguments(root)
    boot_id = root.read_word(_BOOT_ID) or ""
    loader, base, obstacle = _look_at_loader(root)
    one_shot = None if loader is None else loader.one_shot()
    state = state_of(record, running_trial(running), boot_id, one_shot)
    differs = base is not None and differs_from_running(base.entry.args, running)
    if state == records.COMMITTED and (base is None or differs):
        # A trial that was rolled back within its own boot: what boots next is something else.
        state = records.NONE
    stale = tuple(_stale(root, ledger, record, base)) if record is not None else ()
    reboot = state == records.ARMED or differs
    return Status(state, boot_id, record, loader, base, obstacle, stale, reboot)


def _look_at_loader(root: Root) -> tuple[TrialLoader | None, Base | None, PassthroughError | None]:
    loader = None
    try:
        loader = find_trial_loader(root)
        return loader, loader.base(), None
    except PassthroughError as exc:
        return loader, None, exc


def require_loader(status: Status) -> TrialLoader:
    """The boot loader; raises what kept it from being known."""
    if status.loader is None:
        raise status.obstacle or HostStateError("the boot loader of this machine is unknown")
    return status.loader


def require_possible(run: Runner, status: Status) -> tuple[TrialLoader, Base]:
    """What a trial would be made with; raises the reason where none can be made here now."""
    loader = require_loader(status)
    if status.base is None:
        raise status.obstacle or HostStateError("what boots next is unknown")
    reason = loader.obstacle(run)
    if reason is not None:
        raise RefusedError(f"no boot on trial is possible on this machine: {reason}")
    chosen = loader.one_shot()
    if chosen not in (None, loader.entry_name):
        raise RefusedError(
            f"'{chosen}' is already chosen for the next boot, by somebody else: boot it, or take it back"
        )
    return loader, status.base


def last_words_of(root: Root, run: Runner, status: Status) -> list[str]:
    """Of a trial that failed; empty in every other state."""
    failed = status.record is not None and status.state == records.ROLLED_BACK
    return last_words(root, run, status.record) if failed and status.record is not None else []


def identify(entry: Entry) -> dict[str, t.Any]:
    """By what the ledger tells whether the entry that a trial was made from is still the same."""
    return {"title": entry.title, "kernel": entry.kernel, "args": list(entry.args), "initrd": entry.initrd}


def _stale(root: Root, ledger: Ledger, record: Record, base: Base | None) -> t.Iterator[str]:
    if record.step != records.READY:
        return
    for path, known in sorted(record.watched.items()):
        present = file_digest(root, path)
        if present != known:
            yield f"{path} {'is gone' if present is None else 'was changed'} since the trial was armed"
    for path in changed_since(root, ledger, record.held_back):
        yield f"{path}, which waits for the commit, was changed since the trial was armed"
    if base is None:
        yield "the entry that the trial was made from is gone"
    elif identify(base.entry) != dict(record.base):
        yield (
            f"what boots by default is now '{base.entry.title}' with '{' '.join(base.entry.args)}'; the trial was made "
            f"from '{record.base['title']}' with '{' '.join(record.base['args'])}'"
        )

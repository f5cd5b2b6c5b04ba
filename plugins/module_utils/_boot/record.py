# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the ledger keeps of a trial, and what state of a host follows from it. Pure.

The section ``trial`` holds one record at most, under its identifier.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import LedgerError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

SECTION: t.Final = "trial"

# No trial, and none running.
NONE: t.Final = "none"
# A run was cut off while it wrote: the trial cannot boot, or its commit was not finished.
INTERRUPTED: t.Final = "interrupted"
ARMED: t.Final = "armed"
TRYING: t.Final = "trying"
COMMITTED: t.Final = "committed"
ROLLED_BACK: t.Final = "rolled_back"

# How far a writer came.
PREPARING: t.Final = "preparing"
READY: t.Final = "ready"
COMMITTING: t.Final = "committing"


@dataclasses.dataclass(frozen=True)
class TriedImage:
    """An initramfs that gets the names ``targets`` at commit: the file at ``path`` with this SHA-256. ``replaces`` are
    the SHA-256 that targets had when it was armed, ``None`` for one that was not there. All paths are as the host sees
    them."""

    path: str
    digest: str
    targets: t.Sequence[str]
    # Not in the ledgers of earlier versions.
    replaces: t.Mapping[str, str | None] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Record:
    """One trial. ``boot_id`` is of the boot that armed it, ``line`` the whole command line of its entry, ``base``
    names title, kernel and arguments of the entry that it was made from. ``watched`` are files with the SHA-256 that
    they had; ``copied`` is the image that was made for the trial alone. ``panic_added`` says whether the default
    entry was given ``panic=`` with the trial, ``not_covered`` from what it would not come back by itself. Times are
    seconds, ``armed_at`` since the epoch."""

    identifier: str
    step: str
    boot_id: str
    loader: str
    entry: str
    kernel: str
    base: t.Mapping[str, t.Any]
    line: t.Sequence[str]
    owners: t.Mapping[str, t.Sequence[str]]
    images: t.Mapping[str, TriedImage]
    watched: t.Mapping[str, str]
    copied: str | None
    deadline: int
    panic: int
    watchdog: str | None
    panic_added: bool
    not_covered: t.Sequence[str]
    armed_at: float
    # Not in the ledgers of earlier versions. Seconds of a BMC's timer, and the files that were tried without being in
    # their places, with their SHA-256.
    bmc: int | None = None
    held_back: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> Record:
        try:
            images = {kernel: TriedImage(**image) for kernel, image in data["images"].items()}
            return cls(**{**data, "images": images})
        except (KeyError, TypeError, AttributeError) as exc:
            raise LedgerError(
                f"the ledger's section '{SECTION}' holds no trial as this version writes it: {exc}. If another version "
                "has armed it, let that one commit it or roll it back"
            ) from exc


def read_record(ledger: Ledger) -> Record | None:
    """The trial that is recorded, whatever became of it."""
    return next((Record.from_json(data) for data in ledger.section(SECTION).values()), None)


def write_record(ledger: Ledger, record: Record) -> None:
    """Save the record durably, in place of any other."""
    section = ledger.section(SECTION)
    section.clear()
    section[record.identifier] = record.to_json()
    ledger.save()


def forget_record(ledger: Ledger) -> None:
    ledger.section(SECTION).clear()
    ledger.save()


def state_of(record: Record | None, running: str | None, boot_id: str, one_shot: str | None) -> str:
    """The state that follows from the record, the trial that the running command line names, the running boot and
    the entry that the boot loader is told to start once.

    Without a record a boot that carries a marker is what a commit, or a roll-back within a trial, leaves running:
    the caller tells them apart by the entries.
    """
    if record is None:
        return NONE if running is None else COMMITTED
    if record.identifier == running:
        return TRYING
    if record.step != READY:
        return INTERRUPTED
    if one_shot == record.entry:
        return ARMED
    return INTERRUPTED if record.boot_id == boot_id else ROLLED_BACK

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What a boot that did not come to its end has left behind: the journal's last lines, and what was kept of a panic."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.parameters import TRIAL_PARAMETER
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.record import Record
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, first_existing, modified

_JOURNALCTL = ("/usr/bin/journalctl", "/bin/journalctl")
# systemd-pstore moves the records of the first away, into the second (systemd-pstore.service(8)).
_KEPT: t.Final[tuple[str, ...]] = ("/sys/fs/pstore", "/var/lib/systemd/pstore")
_LINES = 20


def last_words(root: Root, run: Runner, record: Record) -> list[str]:
    """Up to twenty lines of the last boot of ``record``, empty where nothing was kept; what a panic left comes before
    the journal, which a panic does not reach."""
    return _panic(root, record) or _journal(root, run, record)


def _panic(root: Root, record: Record) -> list[str]:
    files = [
        os.path.join(where, name)
        for top in _KEPT
        for where, _directories, names in os.walk(root.path(top))
        for name in names
        if name.startswith("dmesg")
    ]
    since = record.armed_at * 1e9
    recent = sorted(path for path in files if (modified(path) or 0) >= since)
    lines: list[str] = []
    for path in recent:
        lines += [line for line in (Root().read_text(path) or "").splitlines() if line.strip()]
    return lines[-_LINES:]


def _journal(root: Root, run: Runner, record: Record) -> list[str]:
    """Of the boot before this one, if it was the trial's: its kernel has logged its command line."""
    if first_existing(root, _JOURNALCTL) is None:
        return []
    marker = f"{TRIAL_PARAMETER}={record.identifier}"
    begin = run(["journalctl", "--boot=-1", "--dmesg", "--no-pager", "--output=cat"])
    if begin.rc != 0 or marker not in begin.stdout:
        return []
    end = run(["journalctl", "--boot=-1", "--no-pager", "--output=short", f"--lines={_LINES}"])
    return end.stdout.splitlines()[-_LINES:] if end.rc == 0 else []

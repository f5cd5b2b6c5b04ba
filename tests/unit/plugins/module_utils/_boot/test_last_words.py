# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.last_words import last_words
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from tests.unit.plugins.module_utils._boot.trial_host import TrialHost


@pytest.fixture
def lost(host: TrialHost) -> TrialHost:
    (host.base / "usr/bin/journalctl").write_text("")
    host.arm()
    host.boot(lost=True)
    return host


def _words(host: TrialHost, kernel: str, rest: str = "a\nb\n", rc: int = 0) -> list[str]:
    record = host.status().record
    assert record is not None

    def run(argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        assert (argv[0], argv[1]) == ("journalctl", "--boot=-1")
        return CommandResult(tuple(argv), rc, kernel.format(record.identifier) if "--dmesg" in argv else rest, "")

    return last_words(host.root, run, record)


TRIAL = "Linux version 6.12\nCommand line: ro virtfleet_passthrough.trial={}\n"


def test_the_journal_of_the_trials_own_boot_is_told(lost: TrialHost) -> None:
    assert _words(lost, TRIAL) == ["a", "b"]
    assert len(_words(lost, TRIAL, "line\n" * 50)) == 20


@pytest.mark.parametrize(("kernel", "rc"), [("Linux version 6.12\nCommand line: ro\n", 0), (TRIAL, 1)])
def test_the_journal_of_another_boot_and_none_are_not(lost: TrialHost, kernel: str, rc: int) -> None:
    assert _words(lost, kernel, rc=rc) == []


def test_a_panic_since_the_arming_comes_first_and_an_older_one_is_not_the_trials(lost: TrialHost) -> None:
    old, new = (lost.base / f"var/lib/systemd/pstore/{name}/dmesg.txt" for name in ("1", "2"))
    for path, text in ((old, "old\n"), (new, "Kernel panic - not syncing\n\nlast\n")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    os.utime(old, (1, 1))
    later = Path(lost.base / "boot/grub/grub.cfg").stat().st_mtime + 60
    os.utime(new, (later, later))
    assert _words(lost, TRIAL) == ["Kernel panic - not syncing", "last"]

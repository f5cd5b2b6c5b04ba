# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The countdown of a boot on trial, which ends once and for all."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import bmc_watchdog, deadline, end
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from tests.unit.plugins.module_utils._boot.trial_host import TrialHost


class Systemd:
    """On the host that it runs on: which programs it was asked for, and whether the countdown could begin anew then."""

    def __init__(self, host: TrialHost) -> None:
        self.host = host
        self.asked: list[tuple[str, bool]] = []
        (host.base / "run/systemd/system").mkdir(parents=True)

    def __call__(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        if argv[0] != "systemctl":
            return self.host.run(argv, cwd)
        self.asked.append((argv[1], self.begins("timer") or self.begins("service")))
        loaded = (self.host.base / deadline.TIMER_PATH.lstrip("/")).exists()
        if argv[1] == "stop" and not loaded:
            return CommandResult(tuple(argv), 5, "", "Unit virtfleet-passthrough-trial.timer not loaded.")
        return CommandResult(tuple(argv), 0, "", "")

    def begins(self, kind: str) -> bool:
        """Whether the conditions of the unit hold, for whoever starts it."""
        path = {"timer": deadline.TIMER_PATH, "service": deadline.SERVICE_PATH}[kind]
        unit = self.host.base / path.lstrip("/")
        if not unit.exists():
            return False
        absent = re.findall(r"(?m)^ConditionPathExists=!(.+)$", unit.read_text())
        return not any((self.host.base / path.lstrip("/")).exists() for path in absent)


def test_what_starts_other_units_does_not_start_an_ended_countdown_again(host: TrialHost) -> None:
    """Every unit pulls in sysinit.target, and with it what that wants and does not run."""
    systemd = Systemd(host)
    host.arm()
    host.boot()
    assert systemd.begins("timer")
    assert systemd.begins("service")
    deadline.stop(host.root, systemd)
    assert systemd.asked == [("stop", False)]
    assert not systemd.begins("timer")
    # It may just have elapsed.
    assert not systemd.begins("service")


@pytest.mark.parametrize("end", ["commit", "roll_back"])
def test_neither_end_leaves_a_trace_of_it(host: TrialHost, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    systemd = Systemd(host)
    monkeypatch.setattr(host, "run", _unless_systemctl(host, systemd))
    host.arm()
    host.boot()
    getattr(host, end)()
    assert systemd.asked == [("stop", False), ("daemon-reload", False)]
    assert [path.name for path in (host.base / "run").iterdir() if path.name.endswith(".ended")] == []


def _unless_systemctl(host: TrialHost, systemd: Systemd) -> object:
    others = host.run

    def run(argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        return systemd(argv, cwd) if argv[0] == "systemctl" else others(argv, cwd)

    return run


def test_a_commit_that_was_cut_off_when_its_units_were_gone_is_finished(
    host: TrialHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd = Systemd(host)
    monkeypatch.setattr(host, "run", _unless_systemctl(host, systemd))
    host.arm()
    host.boot()

    def full(_ledger: Ledger) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as cut:
        cut.setattr(end, "forget_record", full)
        with pytest.raises(OSError, match="No space left"):
            host.commit()
    assert host.state == "trying"
    host.commit()
    assert host.state == "committed"


def test_a_commit_that_is_refused_lets_the_countdown_run(host: TrialHost, monkeypatch: pytest.MonkeyPatch) -> None:
    systemd = Systemd(host)
    monkeypatch.setattr(host, "run", _unless_systemctl(host, systemd))
    host.arm()
    host.boot()
    (host.base / "boot/vmlinuz-6.12").write_bytes(b"updated")
    with pytest.raises(RefusedError):
        host.commit()
    assert systemd.begins("timer")


def test_what_stops_the_timer_of_a_controller_acts_once_in_a_boot() -> None:
    files = {file.path: file.content.decode() for file in bmc_watchdog.bmc_files("abc", "boot-1", 1200)}
    assert "RemainAfterExit=yes\n" in files[bmc_watchdog.SERVICE_PATH]

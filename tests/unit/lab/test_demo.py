# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demonstration's checks on a host that answers from a table: each must fail when its promise is broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.demo import __main__ as demo
from lab.demo import steps
from lab.demo.steps import Report
from lab.steps import StepFailedError, differences

GUEST = "GUEST-PCI 0000:02:00.0 8086:10d3 driver=e1000e mac=52:54:00:aa:00:10\nGUEST-READY\n"


class AnsweringHost:
    """Answers ssh commands by what they contain."""

    name = "demo"
    console_log = Path("console.log")

    def __init__(self, given: str = "vfio-pci", twin: str = "e1000e", guest: str = GUEST) -> None:
        self.answers = {
            demo.GIVEN: given,
            demo.TWIN: twin,
            "dmesg": "virtfleet-passthrough: 0000:01:00.0 8086:10d3 held for vfio-pci",
            steps.CONSOLE_LOG: guest,
            "boot_id": "one",
        }

    def ssh(self, command: str, limit: float = 120) -> str:
        return next(answer for words, answer in self.answers.items() if words in command)


class Playbooks:
    """Reports what it was made with."""

    def __init__(self, report: Report, reboots: bool = False) -> None:
        self.host = AnsweringHost()
        self.report = report
        self.reboots = reboots

    def run(self, playbook: str, **variables: object) -> Report:
        if self.reboots:
            self.host.answers["boot_id"] = "two"
        return self.report


def evidence(host: Any) -> None:
    demo.show_evidence(host)


def test_evidence_passes_when_everything_is_as_promised() -> None:
    evidence(AnsweringHost())


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (AnsweringHost(twin="vfio-pci"), "the twin 0000:02:00.0 is held by vfio-pci"),
        (AnsweringHost(given="e1000e"), "0000:01:00.0 is held by e1000e, expected vfio-pci"),
        (AnsweringHost(guest="GUEST-READY\n"), "the guest does not report 8086:10d3"),
        (AnsweringHost(guest=GUEST.replace("aa:00:10", "aa:00:11")), "the guest does not report 8086:10d3"),
    ],
)
def test_evidence_fails_where_a_promise_is_broken(host: AnsweringHost, words: str) -> None:
    with pytest.raises(StepFailedError, match=words):
        evidence(host)


def test_a_guest_that_never_gets_ready_fails_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.demo.steps.time.sleep", lambda _seconds: None)
    host: Any = AnsweringHost(guest="booting")
    with pytest.raises(StepFailedError, match="was not ready within 0 s; its console shows last: booting"):
        steps.guest_devices(host, deadline=0)


IN_SYNC = Report(0, [], ["host_plan", "host_plan"])


def second_run(playbooks: Any) -> None:
    steps.check_idempotence(playbooks)


def test_a_second_run_that_does_nothing_passes() -> None:
    second_run(Playbooks(IN_SYNC))


@pytest.mark.parametrize(
    ("playbooks", "words"),
    [
        (Playbooks(Report(1, ["Put the kernel arguments"], [])), "changed something: Put the kernel arguments"),
        (Playbooks(IN_SYNC, reboots=True), "rebooted the host"),
        (Playbooks(Report(0, [], ["host_plan"] * 4)), "made 4 module runs, expected at most 3"),
    ],
)
def test_a_second_run_that_does_something_fails(playbooks: Playbooks, words: str) -> None:
    with pytest.raises(StepFailedError, match=words):
        second_run(playbooks)


def test_differences_name_what_came_went_and_changed() -> None:
    before = {"/etc/a": "1", "/etc/b": "1", "/etc/c": "1"}
    after = {"/etc/a": "1", "/etc/b": "2", "/etc/d": "1"}
    assert differences(before, after) == ["changed: /etc/b", "gone: /etc/c", "new: /etc/d"]


@pytest.mark.parametrize(("driver", "words"), [("vfio-pci", "expected e1000e"), ("e1000e", "")])
def test_a_revert_that_leaves_something_fails(monkeypatch: pytest.MonkeyPatch, driver: str, words: str) -> None:
    monkeypatch.setattr(demo, "manifest", lambda _host: {"/etc/a": "1"})
    host: Any = AnsweringHost(given=driver)
    if words:
        with pytest.raises(StepFailedError, match=words):
            demo.check_reverted(host, {"/etc/a": "1"})
    else:
        demo.check_reverted(host, {"/etc/a": "1"})
    with pytest.raises(StepFailedError, match="1 differences are left: gone: /etc/b"):
        demo.check_reverted(host, {"/etc/a": "1", "/etc/b": "1"})

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which events count for a host. The whole callback runs for real in tests/integration/test_plan_report.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible import context
from ansible.executor.stats import AggregateStats
from ansible.utils.context_objects import CLIArgs

from ansible_collections.virtfleet.passthrough.plugins.callback.plan_report import ACTION, COLOURS, CallbackModule
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan import fleet
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Change, Refusal, Verdict
from tests.unit.plugins.planned_host import plan_with

DRIFT = plan_with({"vfio": Verdict(changes=(Change("device", None, "held"),))}).to_json()
REFUSED = plan_with({"vfio": Verdict(refusals=(Refusal(None, "no"),))}).to_json()
IN_SYNC = plan_with({"vfio": Verdict()}).to_json()


def task(action: str = "ansible.builtin.command", role: str | None = None, **attributes: Any) -> SimpleNamespace:
    named = None if role is None else SimpleNamespace(get_name=lambda: role)
    return SimpleNamespace(action=action, _role=named, **{"check_mode": False, "delegate_to": None, **attributes})


PLANNING = task(ACTION)
STOPPING = task("ansible.builtin.fail", "virtfleet.passthrough.plan")


class Reported:
    """A callback that gets the events of one host, and the statistics that Ansible would have by then."""

    def __init__(self) -> None:
        self.callback = CallbackModule()
        self.stats = AggregateStats()
        self.callback.v2_playbook_on_start(None)

    def ok(self, on: SimpleNamespace, **data: Any) -> Reported:
        self.callback.v2_playbook_on_task_start(on, False)
        self.callback.v2_runner_on_ok(self._result(on, data))
        return self

    def failed(self, on: SimpleNamespace, counted: bool = True) -> Reported:
        self.callback.v2_playbook_on_task_start(on, False)
        self.callback.v2_runner_on_failed(self._result(on, {"msg": "it broke"}), ignore_errors=not counted)
        if counted:
            self.stats.increment("failures", "node")
        return self

    def unreachable(self, on: SimpleNamespace) -> Reported:
        self.callback.v2_playbook_on_task_start(on, False)
        self.callback.v2_runner_on_unreachable(self._result(on, {"msg": "no route"}))
        self.stats.increment("dark", "node")
        return self

    def exit_code(self) -> int:
        try:
            self.callback.v2_playbook_on_stats(self.stats)
        except SystemExit as exc:
            assert isinstance(exc.code, int)
            return exc.code
        return 0

    def _result(self, on: SimpleNamespace, data: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(_host=SimpleNamespace(get_name=lambda: "node"), _task=on, _result=data)


@pytest.fixture(autouse=True)
def command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "CLIARGS", CLIArgs({"args": ("plan.yml",)}))


@pytest.mark.parametrize(("plan", "code"), [(IN_SYNC, 0), (DRIFT, 10), (REFUSED, 11)])
def test_a_plan_decides_for_its_host(plan: dict[str, Any], code: int) -> None:
    assert Reported().ok(PLANNING, **plan).exit_code() == code


def test_the_last_plan_counts() -> None:
    assert Reported().ok(PLANNING, **DRIFT).ok(PLANNING, **IN_SYNC).exit_code() == 0


@pytest.mark.parametrize("name", ["host_plan", ACTION])
def test_the_action_is_known_by_what_its_name_stands_for(name: str) -> None:
    assert Reported().ok(task(name, resolved_action=ACTION), **DRIFT).exit_code() == 10


def test_another_modules_result_is_no_plan() -> None:
    assert Reported().ok(task("somebody.elses.host_plan"), **DRIFT).exit_code() == 0


@pytest.mark.parametrize(
    ("changing", "code"),
    [
        (task(), 0),
        (task(check_mode=True), 10),
        (task(delegate_to="localhost"), 10),
    ],
)
def test_a_change_of_the_host_itself_outdates_its_plan(changing: SimpleNamespace, code: int) -> None:
    assert Reported().ok(PLANNING, **DRIFT).ok(changing, changed=True).exit_code() == code
    # And a plan after it is a new one.
    assert Reported().ok(changing, changed=True).ok(PLANNING, **DRIFT).exit_code() == 10


@pytest.mark.parametrize(("plan", "code"), [(DRIFT, 10), (REFUSED, 11)])
def test_the_role_that_stops_a_host_says_no_more_than_the_plan(plan: dict[str, Any], code: int) -> None:
    assert Reported().ok(PLANNING, **plan).failed(STOPPING).exit_code() == code


@pytest.mark.parametrize(
    "failing",
    [
        task(),
        task("ansible.builtin.fail"),
        task("ansible.builtin.fail", "virtfleet.passthrough.vfio"),
        task("ansible.builtin.assert", "virtfleet.passthrough.plan"),
    ],
)
def test_any_other_failure_is_one(failing: SimpleNamespace) -> None:
    assert Reported().ok(PLANNING, **REFUSED).failed(failing).exit_code() == 2


def test_a_host_that_is_stopped_without_a_plan_failed() -> None:
    assert Reported().failed(PLANNING, counted=False).failed(STOPPING).exit_code() == 2


def test_a_failure_that_was_ignored_is_none() -> None:
    assert Reported().ok(PLANNING, **IN_SYNC).failed(task(), counted=False).exit_code() == 0


def test_a_host_that_was_lost_after_its_plan_is_unreachable() -> None:
    assert Reported().ok(PLANNING, **REFUSED).unreachable(task()).exit_code() == 4


def test_a_run_without_a_plan_keeps_ansibles_code() -> None:
    # 0 stands for "no SystemExit".
    assert Reported().unreachable(task()).exit_code() == 0
    assert Reported().unreachable(PLANNING).exit_code() == 4


def test_the_exit_waits_for_the_last_playbook_unless_one_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "CLIARGS", CLIArgs({"args": ("plan.yml", "other.yml")}))
    run = Reported().ok(PLANNING, **DRIFT)
    assert run.exit_code() == 0
    run.callback.v2_playbook_on_start(None)
    assert run.exit_code() == 10
    assert Reported().ok(PLANNING, **REFUSED).failed(STOPPING).exit_code() == 11


def test_every_status_has_a_colour() -> None:
    assert set(fleet.EXIT_CODES) <= set(COLOURS)

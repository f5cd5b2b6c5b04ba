# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet's plan as a table, and as the exit code of ansible-playbook."""

from __future__ import annotations

DOCUMENTATION = r"""
name: plan_report
type: aggregate
short_description: The plan of a fleet as a table and as an exit code
version_added: 0.2.0
author: virtfleet.passthrough contributors (@virtfleet)
description:
  - Shows the plan of each host that is not in sync as a table when M(virtfleet.passthrough.host_plan) has made it, and
    one table with all hosts at the end of the run. In colour where Ansible uses colour.
  - Ends C(ansible-playbook) with an exit code for scripts. 0 means in sync, 10 drift or a reboot that is still needed,
    11 refused, 2 failed in another way, 4 unreachable. The worst host decides, in the order 4, 2, 11, 10, 0.
  - A run that changes a host after its plan has other things to say than the plan. Such a host counts as 0 here, and as
    what Ansible says if it fails. A host whose turn did not come, because an earlier one stopped the run, counts as 0.
  - Does nothing in a run without M(virtfleet.passthrough.host_plan).
  - Name it last in C(callbacks_enabled). Where the exit code is not 0, it ends the run in its last event, which
    callbacks after it would miss.
requirements:
  - Enable it with C(ANSIBLE_CALLBACKS_ENABLED=virtfleet.passthrough.plan_report), or in C(ansible.cfg).
"""

import shutil
import typing as t

from ansible import constants, context
from ansible.plugins.callback import CallbackBase

from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan import fleet, report
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.columns import Line
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    DRIFT,
    IN_SYNC,
    PENDING_REBOOT,
    REFUSED,
)

NAME = "virtfleet.passthrough.plan_report"
ACTION = "virtfleet.passthrough.host_plan"
ROLE = "virtfleet.passthrough.plan"

# Ansible's settings that hold the colours.
COLOURS: t.Final[t.Mapping[str, str]] = {
    IN_SYNC: "COLOR_OK",
    fleet.NOT_BEGUN: "COLOR_SKIP",
    fleet.CHANGED: "COLOR_CHANGED",
    PENDING_REBOOT: "COLOR_CHANGED",
    DRIFT: "COLOR_CHANGED",
    REFUSED: "COLOR_ERROR",
    fleet.FAILED: "COLOR_ERROR",
    fleet.UNREACHABLE: "COLOR_UNREACHABLE",
    report.ADDED: "COLOR_DIFF_ADD",
    report.REMOVED: "COLOR_DIFF_REMOVE",
    report.CHANGED: "COLOR_CHANGED",
    report.ASSUMED: "COLOR_SKIP",
    report.WARNING: "COLOR_WARN",
}


def _setting(name: str) -> t.Any:
    return constants.config.get_config_value(name)


def _is_plan(task: t.Any) -> bool:
    return ACTION in (getattr(task, "resolved_action", None), task.action)


def _stops_by_plan(task: t.Any) -> bool:
    """Whether a failure of this task is the role's way to say what the plan said."""
    role = getattr(task, "_role", None)
    return role is not None and role.get_name() == ROLE and task.action == "ansible.builtin.fail"


class CallbackModule(CallbackBase):
    """Collects results of ``host_plan`` and says at the end what they come to."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = NAME
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._playbooks = 0
        self._asked = False
        self._play: t.Any = None
        self._expected: set[str] = set()
        self._results: dict[str, t.Mapping[str, t.Any]] = {}
        self._changed: set[str] = set()
        self._failures: dict[str, str] = {}
        self._stopped_by_plan: set[str] = set()

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        self._playbooks += 1
        if self._playbooks > 1:
            return
        enabled = [str(name) for name in _setting("CALLBACKS_ENABLED")]
        later = enabled[enabled.index(NAME) + 1 :] if NAME in enabled else []
        if later:
            self._display.warning(
                f"{NAME} is not the last in callbacks_enabled: it may end the run before "
                f"{', '.join(later)} can report. Name it last."
            )

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        self._play = play

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        if _is_plan(task):
            self._asked = True
            self._expected.update(self._hosts_of_the_play())

    def _hosts_of_the_play(self) -> t.Iterable[str]:
        """All of them, also those of later batches."""
        if self._play is None:
            return ()
        known: t.Iterable[str] = self._play.get_variable_manager().get_vars(play=self._play)["ansible_play_hosts_all"]
        return map(str, known)

    def v2_runner_on_ok(self, result: t.Any) -> None:
        host, task, data = result._host.get_name(), result._task, result._result
        if _is_plan(task) and "components" in data:
            self._results[host] = data
            self._changed.discard(host)
            self._show_plan(host, data)
        elif data.get("changed") and not task.check_mode and not task.delegate_to:
            self._changed.add(host)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        host = result._host.get_name()
        self._stopped_by_plan.discard(host)
        if _stops_by_plan(result._task) and host in self._results:
            self._stopped_by_plan.add(host)
        self._failures[host] = str(result._result.get("msg", ""))

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._failures[result._host.get_name()] = str(result._result.get("msg", ""))

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        broken = any(stats.failures.values()) or any(stats.dark.values())
        # Ansible goes on to the next playbook of its command line only where the last one went well.
        if not self._asked or (self._playbooks < len(context.CLIARGS.get("args") or ()) and not broken):
            return
        outcomes = [self._outcome(host, stats) for host in self._hosts(stats)]
        self._display.banner("PLAN REPORT")
        self._show(fleet.fleet_table(outcomes, self._width()))
        code = fleet.exit_code(outcomes)
        if code:
            # Ansible has no way for a callback to choose the exit code. It turns every Exception of a callback into a
            # warning, and lets SystemExit through (TaskQueueManager.send_callback, the same from 2.18 to 2.21). This
            # is the last event of a run: all hosts are done, PlaybookExecutor.run cleans up in its "finally", and
            # nothing that it returns is lost but the code that we replace. The callback for stdout, which is also the
            # one that AWX collects its events with, always comes before all others. Callbacks that are enabled after
            # this one miss the event, about which v2_playbook_on_start warns.
            raise SystemExit(code)

    def _hosts(self, stats: t.Any) -> list[str]:
        """Those with a plan, those that are the reason why there is none, and those whose turn did not come."""
        lost = [host for counts in (stats.dark, stats.failures) for host, number in counts.items() if number]
        return sorted({*self._results, *lost, *self._expected})

    def _outcome(self, host: str, stats: t.Any) -> fleet.Outcome:
        plan = self._results.get(host)
        if stats.dark.get(host):
            return fleet.Outcome(host, fleet.UNREACHABLE, message=self._failures.get(host, ""))
        if stats.failures.get(host) and host not in self._stopped_by_plan:
            return fleet.Outcome(host, fleet.FAILED, message=self._failures.get(host, ""))
        if host in self._changed:
            return fleet.Outcome(host, fleet.CHANGED, plan)
        if plan is None:
            return fleet.Outcome(host, fleet.NOT_BEGUN, message="the run ended before its turn came")
        return fleet.outcome_of(host, plan)

    def _show_plan(self, host: str, plan: t.Mapping[str, t.Any]) -> None:
        judged = (*plan["components"].values(), plan["reboot"])
        if plan["status"] == IN_SYNC and not any(part["warnings"] for part in judged):
            return
        self._show([Line(""), Line(f"{host}:", plan["status"])])
        self._show(report.host_table(plan, self._width()))

    def _show(self, lines: t.Iterable[Line]) -> None:
        for line in lines:
            colour = COLOURS.get(line.kind)
            self._display.display(line.text, color=None if colour is None else _setting(colour))

    def _width(self) -> int:
        return shutil.get_terminal_size((report.WIDTH, 24)).columns

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes what a playbook run did as JSON: per host the recap's numbers, and every module run on a host.

The file is named by LAB_RUN_REPORT. Module runs are counted where Ansible starts them, because a task may
run several modules on a host, or none.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: run_report
type: aggregate
short_description: Counts changes and module runs of a playbook run
description: Used by the demonstration and the tests of this repository.
requirements:
  - The environment variable E(LAB_RUN_REPORT) names the file to write.
"""


def _count_module_runs(journal: Path) -> None:
    start_module = ActionBase._execute_module

    def counted(self: Any, module_name: str | None = None, *args: Any, **kwargs: Any) -> Any:
        # Tasks run in processes of their own: lines that are appended do not get lost between them.
        with journal.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps([host_of(kwargs), module_name or self._task.action]) + "\n")
        return start_module(self, module_name, *args, **kwargs)

    def host_of(arguments: dict[str, Any]) -> str:
        return str((arguments.get("task_vars") or {}).get("inventory_hostname", "?"))

    # For the whole life of this process; Ansible has no hook here.
    mock.patch.object(ActionBase, "_execute_module", counted).start()


class CallbackModule(CallbackBase):
    """One report at the end of the run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "run_report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._report = Path(os.environ["LAB_RUN_REPORT"])
        self._journal = self._report.with_suffix(".journal")
        self._journal.unlink(missing_ok=True)
        self._changed: list[str] = []
        _count_module_runs(self._journal)

    def v2_runner_on_ok(self, result: Any) -> None:
        if result.is_changed():
            self._changed.append(result._task.get_name())

    def v2_playbook_on_stats(self, stats: Any) -> None:
        lines = self._journal.read_text(encoding="utf-8").splitlines() if self._journal.exists() else []
        runs = [json.loads(line) for line in lines]
        hosts = {
            host: {
                **stats.summarize(host),
                "module_runs": [name for where, name in runs if where == host],
            }
            for host in sorted(stats.processed)
        }
        text = json.dumps({"hosts": hosts, "changed_tasks": self._changed}, indent=1)
        self._report.write_text(text + "\n", encoding="utf-8")
        self._journal.unlink(missing_ok=True)

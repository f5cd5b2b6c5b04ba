# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes how long a host's log of writes was when each task began: one JSON list of size and name for each line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: log_marks
type: aggregate
short_description: Tells which task wrote what of a log of writes
description: Used by the power cuts of this repository.
requirements:
  - The environment variable E(LAB_WRITE_LOG) names the log, and E(LAB_LOG_MARKS) the file to write.
"""


class CallbackModule(CallbackBase):
    """One line for each task."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "log_marks"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._log = Path(os.environ["LAB_WRITE_LOG"])
        self._marks = Path(os.environ["LAB_LOG_MARKS"])
        self._marks.write_bytes(b"")

    def _mark(self, name: str) -> None:
        with self._marks.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps([self._log.stat().st_size, name]) + "\n")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._mark(task.get_name())

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._mark(task.get_name())

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._mark("after the converge")

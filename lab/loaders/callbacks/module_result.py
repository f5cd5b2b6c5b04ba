# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the result of an ad hoc command's one module run as JSON, its diff included, into a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: module_result
type: aggregate
short_description: Writes a module's result to a file
description: Used by the tests of this repository.
requirements:
  - The environment variable E(LAB_MODULE_RESULT) names the file to write.
"""


class CallbackModule(CallbackBase):
    """Of several results the last stays."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "module_result"
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_ok(self, result: Any) -> None:
        self._write(result, failed=False)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        del ignore_errors
        self._write(result, failed=True)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._write(result, failed=True)

    def _write(self, result: Any, failed: bool) -> None:
        # What a callback is given does not say whether it failed.
        text = json.dumps({**result._result, "failed": failed})
        Path(os.environ["LAB_MODULE_RESULT"]).write_text(text, encoding="utf-8")

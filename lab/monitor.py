# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One question to QEMU's monitor (QMP)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from lab.sockets import connected

NAME = "qmp.sock"


def ask(directory: Path, command: str, limit: float = 10) -> object:
    """Execute one command; OSError when nobody answers in time."""
    with connected(directory, NAME, limit) as connection, connection.makefile("rw", encoding="utf-8") as stream:
        stream.readline()
        answer: object = None
        for word in ("qmp_capabilities", command):
            stream.write(json.dumps({"execute": word}) + "\n")
            stream.flush()
            answer = _answer(stream.readline)
        return answer


def _answer(readline: Callable[[], str]) -> object:
    while True:
        line = readline()
        if not line:
            raise ConnectionError("the monitor hung up")
        message = json.loads(line)
        if "error" in message:
            raise OSError(str(message["error"].get("desc", message["error"])))
        if "return" in message:
            return message["return"]
        # Anything else is an event.

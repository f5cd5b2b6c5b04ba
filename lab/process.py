# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes that are known by pid and start time, so that no other one is ever ended."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    pid: int
    start_time: int

    @classmethod
    def of(cls, pid: int) -> Process:
        found = _stat(pid)
        if found is None:
            raise ProcessLookupError(pid)
        return cls(pid, found[1])

    @property
    def alive(self) -> bool:
        found = _stat(self.pid)
        # A zombie has ended: nobody has asked for its status yet, that is all.
        return found is not None and found[0] not in "ZX" and found[1] == self.start_time

    def send(self, number: signal.Signals) -> None:
        # The descriptor is taken before the check: from then on it cannot mean another process.
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            try:
                if self.alive:
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)

    def wait(self, limit: float) -> bool:
        """Wait for the end; whether it came in time."""
        begun = time.monotonic()
        while self.alive:
            if time.monotonic() - begun > limit:
                return False
            time.sleep(0.1)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return True


def _stat(pid: int) -> tuple[str, int] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The program's name is in brackets and may itself hold brackets and blanks.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])

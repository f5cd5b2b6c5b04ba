# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Boots in which nothing happens any more, and the one reset that they get.

A loaded machine was seen to lose an emulated host's timer interrupts in its first seconds. Such a boot is over, and
says nothing of what runs on the host.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import monitor
from lab.follow import ConsoleTail, repeatedly
from lab.progress import say

# Above the longest silence of a boot that came up: with "quiet" nothing is said from the kernel to the login.
PATIENCE = 150.0
_INTERVAL = 2.0
_BEGIN = re.compile(rb"Loading (?:initial ramdisk|Linux )|BdsDxe: starting")
_END = b" login: "
_STALL = re.compile(rb"rcu: INFO: rcu_\w+ (?:self-)?detected (?:expedited )?stalls?|soft lockup")
_KERNEL = re.compile(rb"\[ *\d+\.\d+\]")


class Watch:
    """Looks at a console log, and resets the host through its monitor where a boot makes no progress."""

    def __init__(self, directory: Path, patience: float = PATIENCE) -> None:
        self.resets = 0
        self._directory = directory
        self._patience = patience
        self._console = ConsoleTail(directory)
        self._booting = False
        self._stalled = False
        self._has_been_reset = False
        self._progress = 0.0

    def look(self, now: float) -> None:
        """Take in what the console says since the last look, and act on its silence."""
        text = self._console.unread()
        self._console.take(len(text))
        for line in text.splitlines():
            self._take(line, now)
        if self._booting and not self._has_been_reset and now - self._progress > self._patience:
            self._reset()

    def _take(self, line: bytes, now: float) -> None:
        if _BEGIN.search(line):
            self._booting, self._stalled = True, False
        elif _END in line:
            self._booting = self._has_been_reset = False
        elif _STALL.search(line):
            self._stalled = True
        # What the kernel reports of a stall goes on for ever, and is no progress.
        if line.strip() and not (self._stalled and _KERNEL.match(line)):
            self._progress = now

    def _reset(self) -> None:
        self._has_been_reset = True
        name = self._directory.name
        try:
            monitor.ask(self._directory, "system_reset")
        except OSError as error:
            say(f"{name}: no progress on its console for {self._patience:.0f} s in a boot, and no reset: {error}")
        else:
            self.resets += 1
            say(f"{name}: no progress on its console for {self._patience:.0f} s in a boot: reset, once")


@contextmanager
def resetting_once(directory: Path) -> Iterator[Watch]:
    """Watch over the boots of the host with this directory for the length of a block."""
    watch = Watch(directory)
    with repeatedly(lambda: watch.look(time.monotonic()), _INTERVAL):
        yield watch

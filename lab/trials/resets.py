# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a host was reset and by what, as QEMU tells it, and when it let somebody in again."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from lab import machine, monitor
from lab.errors import LabError
from lab.machine import Host


@dataclass(frozen=True)
class Reset:
    """``at`` in seconds since the epoch; ``watchdog`` says that the hardware watchdog did it."""

    at: float
    watchdog: bool


@dataclass
class Story:
    """The resets that a host has seen, in order."""

    resets: list[Reset] = field(default_factory=list)
    _barked: bool = False

    def take(self, line: str) -> None:
        """One line of the monitor, which says itself when it happened."""
        message = json.loads(line)
        if message.get("event") == "WATCHDOG":
            self._barked = True
        elif message.get("event") == "RESET":
            stamp = message["timestamp"]
            self.resets.append(Reset(stamp["seconds"] + stamp["microseconds"] / 1e6, self._barked))
            self._barked = False


class Watch:
    """Listens to the monitor of a host for the length of a block; nobody else can ask it meanwhile."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="resets", daemon=True)
        self.story = Story()
        # Set once the host has let somebody in since its last reset.
        self.back: float | None = None
        self.failed: str | None = None

    def __enter__(self) -> Self:
        self._connection = _connect(self._host.directory)
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(60)
        self._connection.close()

    def _listen(self) -> None:
        received = b""
        while not self._end.is_set():
            try:
                data = self._connection.recv(65536)
            except TimeoutError:
                self._look()
                continue
            except OSError as error:
                self.failed = str(error)
                return
            if not data:
                self.failed = "the monitor hung up"
                return
            *lines, received = (received + data).split(b"\n")
            before = len(self.story.resets)
            for line in filter(None, lines):
                self.story.take(line.decode())
            if len(self.story.resets) > before:
                self.back = None

    def _look(self) -> None:
        if self.story.resets and self.back is None and machine.reachable(self._host):
            self.back = time.time()

    def wait_until_back(self, limit: float) -> float:
        """The moment at which the host let somebody in after its last reset."""
        begun = time.monotonic()
        while self.back is None:
            if self.failed is not None or time.monotonic() - begun > limit:
                raise LabError(
                    f"{self._host.name}: not back {limit:.0f} s after {len(self.story.resets)} resets:"
                    f" {self.failed or 'no login'}",
                    log=self._host.console_log,
                )
            time.sleep(0.5)
        return self.back


def _connect(directory: Path) -> socket.socket:
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(10)
        # A socket's path is limited to 107 bytes; a checkout may lie deeper than that.
        connection.connect(f"/proc/self/fd/{descriptor}/{monitor.NAME}")
        connection.recv(4096)
        connection.sendall(b'{"execute": "qmp_capabilities"}\n')
    finally:
        os.close(descriptor)
    # How long it takes to see that the host has come back.
    connection.settimeout(2)
    return connection

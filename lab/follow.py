# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Following what a host says on its console while something else goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class ConsoleTail:
    """The end of a host's console log that nobody has taken yet."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "console.log"
        self._taken = 0

    def unread(self) -> bytes:
        try:
            with self._log.open("rb") as log:
                if log.seek(0, 2) < self._taken:
                    # Another host by the same name.
                    self._taken = 0
                log.seek(self._taken)
                return log.read()
        except FileNotFoundError:
            return b""

    def take(self, count: int) -> None:
        """Leave out the first ``count`` bytes of what was unread from now on."""
        self._taken += count


@contextmanager
def repeatedly(look: Callable[[], None], interval: float) -> Iterator[None]:
    """Call ``look`` every ``interval`` seconds for the length of a block."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(interval):
            look()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)

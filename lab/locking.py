# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks between processes that give up after a time."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.errors import LabError
from lab.progress import say


@contextmanager
def locked(path: Path, purpose: str, *, limit: float) -> Iterator[None]:
    begun = time.monotonic()
    told = False
    with path.open("a", encoding="utf-8") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                pass
            if not told:
                say(f"{purpose}: another process is at it, waiting up to {limit:.0f} s")
                told = True
            if time.monotonic() - begun > limit:
                raise LabError(
                    f"{purpose}: {path} is still locked after {limit:.0f} s",
                    cause="another run of the lab hangs",
                )
            time.sleep(0.5)
        yield

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A raw image that goes through a log of writes, and stands still where the power went."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.power.draw import Point
from lab.power.write_log import WriteLog


class Disk:
    """The image at ``path`` as the log found it, and forward from there."""

    def __init__(self, path: Path, log: WriteLog) -> None:
        self.path = path
        self._log = log
        self._done = 0

    @contextmanager
    def at(self, point: Point) -> Iterator[Path]:
        """Give the image as the disk was at a point; not before the one that was asked for last."""
        if point.settled < self._done:
            raise ValueError(f"entry {point.settled} comes before {self._done}: points go forward")
        descriptor = os.open(self.path, os.O_RDWR)
        try:
            for entry in self._log.entries[self._done : point.settled]:
                _write(descriptor, entry.offset, self._log.bytes_of(entry))
            self._done = point.settled
            undone: list[tuple[int, bytes]] = []
            for piece in point.kept:
                entry = self._log.entries[piece.entry]
                place = entry.offset + piece.begin
                undone.append((place, os.pread(descriptor, piece.end - piece.begin, place)))
                _write(descriptor, place, self._log.bytes_of(entry, piece.begin, piece.end))
            try:
                yield self.path
            finally:
                for place, content in reversed(undone):
                    _write(descriptor, place, content)
        finally:
            os.close(descriptor)


def _write(descriptor: int, place: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        written = os.pwrite(descriptor, left, place)
        place += written
        left = left[written:]

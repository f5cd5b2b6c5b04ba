# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the power goes, and what the disk had of it by then. Pure: the seed decides everything.

A disk may keep what was written in its cache until it is told to flush. When the power goes, everything before the
last flush is on the disk; of what came after it, any part, in any order. Two writes of one place in another order are
the same as the earlier one alone, so a subset in the order of the log is all that can be.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.power.write_log import Entry

# What a disk writes whole or not at all: the physical sector of any disk of the last ten years.
BLOCK = 4096


@dataclass(frozen=True)
class Phase:
    """What the converge was at, from the entry ``first`` on."""

    name: str
    first: int


@dataclass(frozen=True)
class Piece:
    """The bytes from ``begin`` to ``end`` of what an entry writes."""

    entry: int
    begin: int
    end: int


@dataclass(frozen=True)
class Point:
    """The power goes after the entry ``index``: the disk has what comes before ``settled``, and ``kept``.

    ``pending`` is the number of writes that the disk may have lost.
    """

    index: int
    settled: int
    kept: tuple[Piece, ...]
    pending: int

    @property
    def told(self) -> str:
        return f"{len({piece.entry for piece in self.kept})} of {self.pending} pending writes"


def phases(marks: Sequence[tuple[int, str]], entries: Sequence[Entry]) -> list[Phase]:
    """Phases that have written something, from the size that the log had when each began."""
    ends = [entry.end for entry in entries]
    begun = [Phase(name, bisect.bisect_right(ends, size)) for size, name in marks]
    following = [phase.first for phase in begun[1:]] + [len(entries)]
    return [phase for phase, after in zip(begun, following, strict=True) if phase.first < after]


def phase_of(index: int, found: Sequence[Phase]) -> Phase:
    return found[max(0, bisect.bisect_right([phase.first for phase in found], index) - 1)]


def draw(entries: Sequence[Entry], found: Sequence[Phase], count: int, seed: int) -> list[Point]:
    """Give ``count`` points in the order of the log, no two of them with the same disk.

    Fewer where the log does not have so many.
    """
    chance = random.Random(seed)
    points: dict[object, Point] = {}
    for _attempt in range(count * 20):
        if len(points) == count:
            break
        point = cut(entries, _index(entries, found, chance), chance)
        points.setdefault(_disk(entries, point), point)
    return sorted(points.values(), key=lambda point: (point.settled, point.index))


def _index(entries: Sequence[Entry], found: Sequence[Phase], chance: random.Random) -> int:
    first, last = found[0].first, len(entries) - 1
    way = chance.randrange(3)
    if way == 0:
        # A phase that writes little may be the one that matters.
        place = chance.randrange(len(found))
        end = found[place + 1].first - 1 if place + 1 < len(found) else last
        return chance.randint(found[place].first, end)
    flushes = [index for index in range(first, last + 1) if entries[index].flush]
    if way == 1 and flushes:
        # Just before a flush the most can be lost.
        return max(first, chance.choice(flushes) - chance.randrange(2))
    return chance.randint(first, last)


def cut(entries: Sequence[Entry], index: int, chance: random.Random) -> Point:
    """Draw what of the writes since the last flush has reached the disk when the power goes after ``index``."""
    settled = next((place + 1 for place in range(index, -1, -1) if _settles(entries[place])), 0)
    if settled and entries[settled - 1].length:
        # A flush that comes with data lets the cache out before it writes them.
        settled -= 1
    pending = [place for place in range(settled, index + 1) if entries[place].length]
    # How likely a write is to be there: none and all of them are what happens most often.
    likely = chance.choice((0.0, 1.0, 0.1, 0.5, 0.9))
    kept: list[Piece] = []
    for place in pending:
        entry = entries[place]
        if entry.durable or chance.random() < likely:
            kept.append(Piece(place, 0, entry.length))
        elif 0 < likely < 1 and chance.random() < 0.5:
            kept.extend(_torn(place, entry, chance))
    return Point(index, settled, tuple(kept), len(pending))


def _settles(entry: Entry) -> bool:
    return entry.flush


def _torn(place: int, entry: Entry, chance: random.Random) -> Iterator[Piece]:
    begin = 0
    while begin < entry.length:
        end = min(entry.length, begin + BLOCK - (entry.offset + begin) % BLOCK)
        if chance.random() < 0.5:
            yield Piece(place, begin, end)
        begin = end


def _disk(entries: Sequence[Entry], point: Point) -> object:
    """The same for points after which the disk is the same."""
    settled = point.settled
    kept = list(point.kept)
    while settled <= point.index:
        entry = entries[settled]
        if entry.length:
            if not kept or kept[0] != Piece(settled, 0, entry.length):
                break
            del kept[0]
        settled += 1
    # Flushes change nothing.
    while settled and not entries[settled - 1].length:
        settled -= 1
    return settled, tuple(kept)

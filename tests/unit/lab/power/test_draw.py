# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the power goes: always the same for a seed, and never a disk that could not be."""

from __future__ import annotations

import random

from lab.power.draw import BLOCK, Phase, Piece, cut, draw, phase_of, phases
from lab.power.write_log import Entry, parse
from tests.unit.lab.power.log import FLUSH, FUA, SECTOR, flush, superblock, write

# Two writes, a flush, three writes, a flush, one write.
LOG = (write(0, 1), write(8, 2), flush(), write(0, 3), write(16, *range(20)), write(64, 5), flush(), write(8, 6))


def _entries(*parts: bytes) -> tuple[Entry, ...]:
    return parse(superblock() + b"".join(parts))


def test_phases_that_wrote_nothing_are_left_out() -> None:
    entries = _entries(*LOG)
    marks = [(0, "boot"), (entries[1].end, "idle"), (entries[1].end, "vfio"), (entries[7].end, "after")]
    found = phases(marks, entries)
    assert found == [Phase("boot", 0), Phase("vfio", 2)]
    assert [phase_of(index, found).name for index in (0, 1, 2, 7)] == ["boot", "boot", "vfio", "vfio"]


def test_what_comes_before_a_flush_is_settled() -> None:
    entries = _entries(*LOG)
    for seed in range(200):
        for index, settled in ((1, 0), (2, 3), (5, 3), (6, 7), (7, 7)):
            point = cut(entries, index, random.Random(seed))
            assert (point.index, point.settled) == (index, settled)
            assert all(settled <= piece.entry <= index for piece in point.kept)
            assert list(point.kept) == sorted(point.kept, key=lambda piece: (piece.entry, piece.begin))
    assert cut(entries, 5, random.Random(0)).pending == 3
    assert cut(entries, 6, random.Random(0)).pending == 0


def test_writes_after_a_flush_are_there_in_every_mixture() -> None:
    entries = _entries(*LOG)
    seen = {frozenset(piece.entry for piece in cut(entries, 5, random.Random(seed)).kept) for seed in range(400)}
    assert {
        frozenset(),
        frozenset({3}),
        frozenset({4}),
        frozenset({5}),
        frozenset({3, 5}),
        frozenset({3, 4, 5}),
    } <= seen


def test_a_write_is_torn_between_blocks_of_the_disk_only() -> None:
    entries = _entries(*LOG)
    torn = [piece for seed in range(400) for piece in cut(entries, 5, random.Random(seed)).kept if piece.entry == 4]
    length = 20 * SECTOR
    assert {piece for piece in torn if (piece.begin, piece.end) != (0, length)} == {
        Piece(4, 0, BLOCK),
        Piece(4, BLOCK, 2 * BLOCK),
        Piece(4, 2 * BLOCK, length),
    }


def test_a_write_that_the_disk_has_acknowledged_for_good_is_there() -> None:
    entries = _entries(write(0, 1, flags=FUA), write(8, 2))
    for seed in range(50):
        assert Piece(0, 0, SECTOR) in cut(entries, 1, random.Random(seed)).kept


def test_a_flush_with_data_lets_out_what_came_before_it() -> None:
    entries = _entries(write(0, 1), write(8, 2, flags=FLUSH))
    points = [cut(entries, 1, random.Random(seed)) for seed in range(50)]
    assert {point.settled for point in points} == {1}
    assert {len(point.kept) for point in points} == {0, 1}


def test_a_seed_gives_the_same_points_again_in_the_order_of_the_log() -> None:
    entries = _entries(*LOG * 30)
    found = [Phase("one", 20), Phase("two", 200)]
    points = draw(entries, found, 25, 7)
    assert points == draw(entries, found, 25, 7) != draw(entries, found, 25, 8)
    assert len(points) == 25
    assert [point.settled for point in points] == sorted(point.settled for point in points)
    assert all(20 <= point.index < len(entries) for point in points)
    assert {phase_of(point.index, found).name for point in points} == {"one", "two"}


def test_no_disk_twice() -> None:
    entries = _entries(write(0, 1), flush(), flush(), write(8, 2), flush())
    # Nothing, the first write, and both: flushes change nothing.
    assert len(draw(entries, [Phase("all", 0)], 50, 1)) == 3

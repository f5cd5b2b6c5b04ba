# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A disk that goes through a log: against the disk that QEMU itself has written."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lab.power import write_log
from lab.power.disk import Disk
from lab.power.draw import Piece, Point, cut
from lab.power.write_log import WriteLog, parse
from tests.unit.lab.power.log import SECTOR, flush, recorded, superblock, write

SIZE = 1 << 20


def test_the_whole_log_gives_the_disk_that_qemu_has_written(tmp_path: Path) -> None:
    chance = random.Random(5)
    commands = []
    for fill in range(1, 60):
        place, length = chance.randrange(0, SIZE // 2, 512), chance.randrange(512, 9 * 4096, 512)
        commands.append(f"write -P {fill} {place} {length}" if fill % 7 else f"write -z {place} {length}")
        commands += ["flush"] if fill % 5 == 0 else []
    real, path = recorded(tmp_path, SIZE, *commands)
    image = tmp_path / "image.raw"
    image.write_bytes(bytes(SIZE))
    with write_log.opened(path) as log:
        disk, last = Disk(image, log), len(log.entries) - 1
        for index in range(0, last, 9):
            with disk.at(cut(log.entries, index, chance)):
                pass
        with disk.at(Point(last, len(log.entries), (), 0)) as found:
            assert found.read_bytes() == real.read_bytes()


def test_what_was_pending_is_undone_afterwards(tmp_path: Path) -> None:
    content = superblock() + write(0, 1) + flush() + write(0, 2, 3) + write(1, 4) + flush()
    image = tmp_path / "image.raw"
    image.write_bytes(bytes(2 * SECTOR))
    disk = Disk(image, WriteLog(parse(content), content))

    def sectors(point: Point) -> tuple[int, int]:
        with disk.at(point) as found:
            return found.read_bytes()[0], found.read_bytes()[SECTOR]

    assert sectors(Point(3, 2, (Piece(2, 0, 2 * SECTOR), Piece(3, 0, SECTOR)), 2)) == (2, 4)
    assert image.read_bytes()[0] == 1
    assert sectors(Point(3, 2, (Piece(2, SECTOR, 2 * SECTOR),), 2)) == (1, 3)
    assert sectors(Point(3, 2, (), 2)) == (1, 0)
    assert sectors(Point(4, 5, (), 0)) == (2, 4)
    with pytest.raises(ValueError, match="forward"):
        sectors(Point(1, 2, (), 0))

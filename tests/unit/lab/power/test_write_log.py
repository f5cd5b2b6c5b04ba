# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log of writes, as QEMU makes it and as it may be cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.power import write_log
from lab.power.write_log import WriteLog, parse
from tests.unit.lab.power.log import DISCARD, FUA, MARK, SECTOR, flush, header, recorded, superblock, write


def test_what_qemu_records(tmp_path: Path) -> None:
    commands = ("write -P 1 0 8k", "flush", "write -z 64k 4k", "discard 128k 64k", "write -P 3 12k 512")
    _disk, path = recorded(tmp_path, 1 << 20, *commands)
    with write_log.opened(path) as log:
        told = [(entry.offset, entry.length, entry.flush) for entry in log.entries]
        assert told[:2] == [(0, 8192, False), (0, 0, True)]
        assert [entry for entry in told[2:] if not entry[2]] == [
            (64 << 10, 4096, False),
            (128 << 10, 64 << 10, False),
            (12 << 10, 512, False),
        ]
        first, zeros, discard, last = (entry for entry in log.entries if entry.length)
        assert log.bytes_of(first) == b"\1" * 8192
        assert log.bytes_of(first, 8190, 8192) == b"\1\1"
        assert log.bytes_of(zeros) == bytes(4096)
        assert discard.data is None
        assert log.bytes_of(discard, 0, 10) == bytes(10)
        assert log.bytes_of(last) == b"\3" * 512
        assert log.entries[-1].end == path.stat().st_size


def test_flags() -> None:
    content = superblock() + write(8, 7, flags=FUA) + flush() + header(16, 9, DISCARD)
    durable, settled, gone = parse(content)
    assert (durable.offset, durable.durable, durable.flush) == (8 * SECTOR, True, False)
    assert (settled.length, settled.flush) == (0, True)
    assert (gone.offset, gone.length, gone.data) == (16 * SECTOR, 9 * SECTOR, None)


def test_mark_is_skipped_with_its_text() -> None:
    content = superblock() + header(0, 0, MARK, 600) + bytes(2 * SECTOR) + write(3, 5)
    (entry,) = parse(content)
    assert WriteLog((entry,), content).bytes_of(entry) == b"\5" * SECTOR


def test_entry_that_is_cut_off_does_not_count() -> None:
    content = superblock() + write(0, 1) + write(8, 2, 3)
    assert [entry.offset for entry in parse(content[:-1])] == [0]
    assert [entry.offset for entry in parse(content[: -2 * SECTOR - 1])] == [0]
    assert len(parse(content)) == 2


@pytest.mark.parametrize("content", [b"", superblock(magic=1), superblock(version=2), superblock() + header(0, 0, 64)])
def test_something_else_is_refused(content: bytes) -> None:
    with pytest.raises(LabError):
        parse(content)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "writes.log").write_bytes(b"")
    with pytest.raises(LabError, match="is empty"), write_log.opened(tmp_path / "writes.log"):
        pass

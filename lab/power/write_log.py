# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What QEMU's ``blklogwrites`` has recorded of a disk: every write and every flush, in the order of the guest's.

The format is that of Linux' dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst): a superblock of
one sector, then for each entry a header of one sector and, unless it is a discard, the data. Numbers are little-endian.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

_MAGIC = 0x6A736677736872
_VERSION = 1
_SUPERBLOCK = struct.Struct("<QQQI")
_HEADER = struct.Struct("<QQQQ")
_FLUSH, _FUA, _DISCARD, _MARK = 1, 2, 4, 8
_KNOWN = _FLUSH | _FUA | _DISCARD | _MARK


@dataclass(frozen=True)
class Entry:
    """One request: ``length`` bytes at ``offset`` of the disk, whose data begin at ``data`` of the log.

    ``data`` is ``None`` where the bytes become zero (a discard), and ``length`` is 0 where there is none (a flush).
    ``end`` is where the log went on after it.
    """

    offset: int
    length: int
    data: int | None
    flush: bool
    durable: bool
    end: int


@dataclass(frozen=True)
class WriteLog:
    """All entries, in their order, and the bytes that they point into."""

    entries: tuple[Entry, ...]
    content: mmap.mmap | bytes

    def bytes_of(self, entry: Entry, begin: int = 0, end: int | None = None) -> bytes:
        """What an entry has written, or a part of it."""
        end = entry.length if end is None else end
        if entry.data is None:
            return bytes(end - begin)
        return self.content[entry.data + begin : entry.data + end]


@contextmanager
def opened(path: Path) -> Iterator[WriteLog]:
    with path.open("rb") as stream:
        try:
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise LabError(f"{path} is empty", cause="QEMU has not recorded anything") from None
        with content:
            yield WriteLog(parse(content), content)


def parse(content: mmap.mmap | bytes) -> tuple[Entry, ...]:
    """Give every whole entry; the last one may be cut off, since QEMU may have been ended while it wrote."""
    if len(content) < _SUPERBLOCK.size:
        raise LabError("the log of writes has no superblock")
    magic, version, _count, sector = _SUPERBLOCK.unpack(content[: _SUPERBLOCK.size])
    # The count is renewed at flushes only; the entries say themselves where they end.
    if magic != _MAGIC or version != _VERSION or sector < _HEADER.size:
        raise LabError(f"not a log of writes: magic {magic:#x}, version {version}, sectors of {sector}")
    entries: list[Entry] = []
    place = sector
    while place + sector <= len(content):
        first, sectors, flags, extra = _HEADER.unpack(content[place : place + _HEADER.size])
        if flags & ~_KNOWN:
            raise LabError(f"entry {len(entries)} of the log of writes has unknown flags {flags:#x}")
        data = place + sector
        # A mark carries text of its own; everything else has as many sectors as it has written.
        held = -(-extra // sector) if flags & _MARK else 0 if flags & _DISCARD else sectors
        end = data + held * sector
        if end > len(content):
            break
        if not flags & _MARK:
            entries.append(
                Entry(
                    offset=first * sector,
                    length=sectors * sector,
                    data=None if flags & _DISCARD else data,
                    flush=bool(flags & _FLUSH),
                    durable=bool(flags & _FUA),
                    end=end,
                )
            )
        place = end
    return tuple(entries)

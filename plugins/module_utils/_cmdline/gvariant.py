# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Reading the two kinds of serialised GVariant values that ostree leaves in files: ``a{sv}`` and ``as``. Pure.

GVariant Specification 1.0, 2.3 "Encoding": containers put the ends of their variable-sized members behind them as
little-endian offsets, whose size follows from the size of the whole container; ``v`` ends in its type string.
"""

from __future__ import annotations

import dataclasses
import typing as t

_ALIGNMENT_OF_VARIANT = 8


@dataclasses.dataclass(frozen=True)
class Variant:
    """A value still serialised, with its type string (``as``)."""

    kind: str
    data: bytes

    def strings(self) -> list[str]:
        """The members of an ``as``; raises :class:`ValueError` for another type or broken data."""
        if self.kind != "as":
            raise ValueError(f"expected a GVariant of type as, found {self.kind}")
        starts_and_ends = _members(self.data, alignment=1)
        return [_string(self.data[start:end]) for start, end in starts_and_ends]

    def string(self) -> str:
        """An ``s``; raises :class:`ValueError` for another type."""
        if self.kind != "s":
            raise ValueError(f"expected a GVariant of type s, found {self.kind}")
        return _string(self.data)

    def dictionary(self) -> dict[str, Variant]:
        """The members of an ``a{sv}``; raises :class:`ValueError` for another type or broken data."""
        if self.kind != "a{sv}":
            raise ValueError(f"expected a GVariant of type a{{sv}}, found {self.kind}")
        return dict(_entry(self.data[start:end]) for start, end in _members(self.data, _ALIGNMENT_OF_VARIANT))


def _offset_size(container: int) -> int:
    return next(size for size in (1, 2, 4, 8) if container < 1 << (8 * size))


def _offset(data: bytes, position: int, size: int, limit: int) -> int:
    offset = int.from_bytes(data[position : position + size], "little")
    if offset > limit:
        raise ValueError(f"the GVariant is cut off: an offset of {offset} in {limit} bytes")
    return offset


def _members(data: bytes, alignment: int) -> t.Iterator[tuple[int, int]]:
    """Start and end of each member of an array whose members have no fixed size."""
    if not data:
        return
    size = _offset_size(len(data))
    table = _offset(data, len(data) - size, size, len(data) - size)
    if (len(data) - table) % size:
        raise ValueError("the GVariant's table of offsets is cut off")
    start = 0
    for position in range(table, len(data), size):
        start += -start % alignment
        end = _offset(data, position, size, table)
        if end < start:
            raise ValueError("the GVariant's offsets are not in order")
        yield start, end
        start = end


def _entry(data: bytes) -> tuple[str, Variant]:
    size = _offset_size(len(data))
    end = _offset(data, len(data) - size, size, len(data) - size)
    value = data[end + -end % _ALIGNMENT_OF_VARIANT : len(data) - size]
    content, separator, kind = value.rpartition(b"\0")
    if not separator:
        raise ValueError("the GVariant's value has no type")
    return _string(data[:end]), Variant(kind.decode("ascii", "replace"), content)


def _string(data: bytes) -> str:
    if data[-1:] != b"\0":
        raise ValueError("the GVariant's string has no end")
    return data[:-1].decode("utf-8", "replace")

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Columns of text for terminals of any width. Pure."""

from __future__ import annotations

import dataclasses
import textwrap
import typing as t

_GAP = "  "
# A narrower last column is unreadable: it goes below the others instead.
_NARROWEST = 32
_BELOW = "    "


@dataclasses.dataclass(frozen=True)
class Line:
    """One line, and what kind of thing it says: whoever prints it chooses the colour."""

    text: str
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """Short cells that are never cut, and the last column's lines, which are wrapped."""

    cells: tuple[str, ...]
    lines: tuple[Line, ...] = ()
    kind: str = ""


def printable(text: str) -> str:
    """The text on one line, with nothing in it that a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)


def table(header: t.Sequence[str], rows: t.Sequence[Row], width: int) -> list[Line]:
    """``header`` names every column, the wrapped one last. Lines are at most ``width`` wide unless a cell is wider."""
    titles = Row(tuple(header[:-1]), (Line(header[-1]),))
    everything = [titles, *(_printable(row) for row in rows)]
    widths = [max(len(row.cells[number]) for row in everything) for number in range(len(header) - 1)]
    indent = sum(widths) + len(_GAP) * len(widths)
    beside = width - indent >= _NARROWEST
    lines: list[Line] = []
    for row in everything:
        cells = _GAP.join(f"{cell:{size}}" for cell, size in zip(row.cells, widths))
        if beside:
            lines += _beside(row, cells, indent, width)
        else:
            below = () if row is titles else row.lines
            lines.append(Line(cells.rstrip(), row.kind))
            lines += [Line(_BELOW + part.text, part.kind or row.kind) for part in wrapped(below, width - len(_BELOW))]
    return lines


def _printable(row: Row) -> Row:
    return Row(
        tuple(printable(cell) for cell in row.cells),
        tuple(Line(printable(line.text), line.kind) for line in row.lines),
        row.kind,
    )


def _beside(row: Row, cells: str, indent: int, width: int) -> t.Iterator[Line]:
    left = cells + _GAP
    for part in wrapped(row.lines, width - indent) or [Line("", row.kind)]:
        yield Line((left + part.text).rstrip(), part.kind or row.kind)
        left = " " * indent


def wrapped(lines: t.Iterable[Line], width: int) -> list[Line]:
    """Each line in parts that fit; the parts after the first are indented, so that the next line is told apart."""
    return [
        Line(text, line.kind)
        for line in lines
        for text in textwrap.wrap(line.text, max(width, _NARROWEST), subsequent_indent="    ", break_on_hyphens=False)
    ]

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.columns import Line, Row, printable, table

HEADER = ("HOST", "STATUS", "WHAT")
WORDS = st.lists(st.text("abc-:", min_size=1, max_size=12), max_size=30).map(" ".join)
ROWS = st.lists(st.builds(lambda cells, text: Row(cells, (Line(text),)), st.tuples(WORDS, WORDS), WORDS), max_size=4)


def texts(rows: list[Row], width: int = 80) -> list[str]:
    return [line.text for line in table(HEADER, rows, width)]


def test_columns_are_as_wide_as_their_widest_cell_and_the_last_one_is_wrapped() -> None:
    rows = [
        Row(("node1", "in sync")),
        Row(("gpu-node-2", "drift"), (Line("one two three four five six"), Line("seven"))),
    ]
    assert texts(rows, 54) == [
        "HOST        STATUS   WHAT",
        "node1       in sync",
        "gpu-node-2  drift    one two three four five six",
        "                     seven",
    ]


def test_a_wrapped_text_is_indented_so_that_the_next_one_is_told_apart() -> None:
    rows = [Row(("a", "b"), (Line("first word and then many more of them"), Line("second")))]
    assert [line[14:] for line in texts(rows, 46)] == [
        "WHAT",
        "first word and then many more of",
        "    them",
        "second",
    ]


def test_where_there_is_no_room_beside_the_last_column_goes_below() -> None:
    rows = [Row(("gpu-node-2", "drift"), (Line("vfio: 3 changes"),))]
    assert texts(rows, 40) == ["HOST        STATUS", "gpu-node-2  drift", "    vfio: 3 changes"]


def test_a_line_keeps_its_kind_and_falls_back_to_its_rows() -> None:
    rows = [Row(("a", "b"), (Line("x", "added"), Line("y")), "drift"), Row(("c", "d"), (), "refused")]
    assert [line.kind for line in table(HEADER, rows, 80)] == ["", "added", "drift", "refused"]
    assert [line.kind for line in table(HEADER, rows, 20)] == ["", "drift", "added", "drift", "refused"]


@given(ROWS, st.integers(20, 120))
def test_no_line_is_wider_than_the_terminal_unless_a_cell_is(rows: list[Row], width: int) -> None:
    cells = sum(max(len(cell) for cell in column) + 2 for column in zip(HEADER[:2], *(row.cells for row in rows)))
    assert max(map(len, texts(rows, width))) <= max(width, 36, cells)


@given(ROWS, st.integers(20, 120))
def test_no_word_is_lost(rows: list[Row], width: int) -> None:
    expected = "".join("".join((*row.cells, *(line.text for line in row.lines))) for row in rows).replace(" ", "")
    header = texts([], 200)[0] if width >= 200 else texts(rows, width)[0]
    assert "".join(texts(rows, width)).replace(" ", "") == header.replace(" ", "") + expected


@pytest.mark.parametrize("text", ["a\x1b[31mb", "a\nb", "a\rb", "a\u202eb"])
def test_nothing_that_a_terminal_obeys_gets_through(text: str) -> None:
    assert printable(text).replace(" ", "").startswith("a")
    assert printable(text).isprintable()
    assert all(line.isprintable() for line in texts([Row((text, text), (Line(text),))]))

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.cpulist import format_cpulist, parse_cpulist
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError


@pytest.mark.parametrize(
    ("text", "cpus", "canonical"),
    [
        ("1,7-8,10", (1, 7, 8, 10), "1,7-8,10"),
        ("0,1,2,3", (0, 1, 2, 3), "0-3"),
        ("0-4", (0, 1, 2, 3, 4), "0-4"),
        ("3,1,1,2", (1, 2, 3), "1-3"),
        ("5", (5,), "5"),
        (" 0-1 , 4 \n", (0, 1, 4), "0-1,4"),
        ("", (), ""),
        ("\n", (), ""),
        ("8191", (8191,), "8191"),
    ],
)
def test_lists_are_read_and_written_in_the_kernels_form(text: str, cpus: tuple[int, ...], canonical: str) -> None:
    assert parse_cpulist(text) == cpus
    assert format_cpulist(cpus) == canonical


@pytest.mark.parametrize(
    "text",
    ["a", "4-2", "1,,2", ",", "1-", "-1", "1-2-3", "0-31:1/2", "all", "N", "1;2", "0x3", "8192", "0-99999999", "1 2"],
)
def test_what_is_no_list_is_refused_by_name(text: str) -> None:
    with pytest.raises(InputError, match="is no CPU list"):
        parse_cpulist(text)


@given(st.sets(st.integers(0, 8191), max_size=300))
def test_writing_and_reading_gives_the_same_set(cpus: set[int]) -> None:
    assert parse_cpulist(format_cpulist(cpus)) == tuple(sorted(cpus))


@given(st.sets(st.integers(0, 40)))
def test_neighbours_are_always_joined(cpus: set[int]) -> None:
    bounds = [part.split("-") for part in format_cpulist(cpus).split(",") if part]
    lasts = [int(part[-1]) for part in bounds]
    firsts = [int(part[0]) for part in bounds]
    assert all(first > last + 1 for last, first in zip(lasts, firsts[1:]))

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edits of somebody else's line: in and out again leaves the very same characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.line_edit import edit_line
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import kernel_part_length, split

OURS = ["intel_iommu=on", "iommu=pt"]
LINES = st.text(alphabet='ab=-"# \t\n\r\u00e9$', max_size=30)
RUNS = st.lists(st.text(alphabet="xyz=.", min_size=1, max_size=4), min_size=1, max_size=3)


def edited(line: str, blocks: list[list[str]], new: list[str]) -> str:
    edit = edit_line(line, blocks, new)
    return line if edit is None else edit.apply(line)


@pytest.mark.parametrize(
    ("line", "with_ours"),
    [
        ("root=/dev/sda2 quiet\n", "root=/dev/sda2 quiet intel_iommu=on iommu=pt\n"),
        ("root=/dev/sda2  quiet \t\r\n", "root=/dev/sda2  quiet intel_iommu=on iommu=pt \t\r\n"),
        ("root=/dev/sda2\nquiet", "root=/dev/sda2\nquiet intel_iommu=on iommu=pt"),
        ('dyndbg="file vfio* +p"', 'dyndbg="file vfio* +p" intel_iommu=on iommu=pt'),
        ("quiet -- -s\n", "quiet intel_iommu=on iommu=pt -- -s\n"),
        (" -- -s", " intel_iommu=on iommu=pt -- -s"),
        ("", "intel_iommu=on iommu=pt"),
        ("\n", "intel_iommu=on iommu=pt\n"),
    ],
)
def test_behind_the_last_argument(line: str, with_ours: str) -> None:
    assert edited(line, [], OURS) == with_ours
    assert edited(with_ours, [OURS], []) == line


def test_a_changed_run_stays_in_its_place() -> None:
    line = "quiet intel_iommu=on iommu=pt splash\n"
    assert edited(line, [OURS], ["intel_iommu=on"]) == "quiet intel_iommu=on splash\n"
    assert edited(line, [OURS], []) == "quiet splash\n"


@pytest.mark.parametrize("line", ["hugepages=10", "ahugepages=1", "hugepages=1,2", "hugepages= 1"])
def test_no_other_token_is_taken_for_ours(line: str) -> None:
    assert edit_line(line, [["hugepages=1"]], []) is None


def test_a_run_that_was_pulled_apart_is_not_ours() -> None:
    assert edit_line("intel_iommu=on quiet iommu=pt", [OURS], []) is None


@given(LINES, RUNS, RUNS)
def test_in_changed_and_out_leaves_every_character(line: str, first: list[str], second: list[str]) -> None:
    if line.count('"') % 2:
        line += '"'
    once = edited(line, [], first)
    end = kernel_part_length(split(line))
    before, behind = split(line)[:end], split(line)[end:]
    assert split(once) == [*before, *first, *behind]
    assert edit_line(once, [first], first) is None
    twice = edited(once, [first], second)
    assert split(twice) == [*before, *second, *behind]
    assert edited(twice, [second, first], []) == line

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import (
    check_argument,
    conflicts,
    find_block,
    key,
    replace_block,
    split,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError

WORDS = st.text("abc=.,-_19", min_size=1, max_size=8)
LINES = st.lists(WORDS, max_size=8)

SPLIT = [
    ("", []),
    ("quiet  ro\n", ["quiet", "ro"]),
    ('dyndbg="file a.c +p" ro', ['dyndbg="file a.c +p"', "ro"]),
    ('"dyndbg=file a.c +p" ro', ['"dyndbg=file a.c +p"', "ro"]),
]

CONFLICTS = [
    (["intel_iommu=off"], ["intel_iommu=on"], [("intel_iommu=off", "intel_iommu=on")]),
    (["intel_iommu=on"], ["intel_iommu=on"], []),
    (["console=tty0"], ["console=ttyS0"], []),
    (["vfio-pci.ids=1:2"], ["vfio_pci.ids=3:4"], [("vfio-pci.ids=1:2", "vfio_pci.ids=3:4")]),
    (["hugepages=1"], ["hugepages=10"], []),
    (["debugpat=1"], ["debug"], []),
]


@pytest.mark.parametrize(("line", "tokens"), SPLIT)
def test_quotes_keep_blanks_together(line: str, tokens: list[str]) -> None:
    assert split(line) == tokens


@given(LINES)
def test_splitting_what_was_joined_gives_it_back(tokens: list[str]) -> None:
    assert split(" ".join(tokens)) == tokens


@pytest.mark.parametrize(("foreign", "wanted", "found"), CONFLICTS)
def test_only_another_value_of_a_single_parameter_is_a_conflict(
    foreign: list[str], wanted: list[str], found: list[tuple[str, str]]
) -> None:
    assert conflicts(foreign, wanted) == found


def test_a_key_reads_dashes_as_the_kernel_does() -> None:
    assert key("vfio-pci.disable-idle-d3=1") == "vfio_pci.disable_idle_d3"


def test_a_block_is_not_found_in_a_token_that_only_begins_like_it() -> None:
    assert find_block(["hugepages=10"], ["hugepages=1"]) is None


@given(LINES, LINES)
def test_taking_a_block_away_again_gives_the_line_back(line: list[str], block: list[str]) -> None:
    assert replace_block(replace_block(line, [], block), block, []) == line


@given(LINES, st.lists(WORDS, min_size=1, max_size=3), LINES, LINES)
def test_replacing_keeps_every_other_token_in_place_and_order(
    before: list[str], old: list[str], new: list[str], after: list[str]
) -> None:
    marked = ["<", *old, ">"]
    replaced = replace_block([*before, *marked, *after], marked, new)
    assert replaced == [*before, *new, *after]


@pytest.mark.parametrize("argument", ["a b", 'a="b"', "$(reboot)", "a;b", "`a`", "", "a'b", "ünïcode", "a\nb", "a\\b"])
def test_what_a_shell_could_read_differently_is_refused(argument: str) -> None:
    with pytest.raises(InputError, match="kernel argument"):
        check_argument(argument)


@pytest.mark.parametrize("argument", ["quiet", "isolcpus=managed_irq,domain,2-3", "root=UUID=a-b", "hugepages=0:4,1:2"])
def test_usual_arguments_pass(argument: str) -> None:
    assert check_argument(argument) == argument

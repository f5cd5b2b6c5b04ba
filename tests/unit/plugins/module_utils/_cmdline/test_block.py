# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.block import with_block, without_block

# the line, the runs that may be ours, what they become, the line then
PLACES = [
    ("ro quiet", [], "a=1", "ro quiet a=1"),
    ("ro quiet $vt_handoff", [], "a=1", "ro quiet a=1 $vt_handoff"),
    ("ro quiet -- single", [], "a=1", "ro quiet a=1 -- single"),
    ("ro $vt_handoff -- single $x", [], "a=1", "ro a=1 $vt_handoff -- single $x"),
    ("ro a=1 quiet", ["a=1"], "a=2 b", "ro a=2 b quiet"),
    # A power cut between the old and the new: either may stand there.
    ("ro a=2 b", ["a=2 b", "a=1"], "a=2 b", "ro a=2 b"),
    ("ro a=1", ["a=2 b", "a=1"], "a=2 b", "ro a=2 b"),
    ("ro a=1 -- a=1", ["a=1"], "", "ro -- a=1"),
]


@pytest.mark.parametrize(("line", "blocks", "new", "after"), PLACES)
def test_our_part_keeps_its_place_or_goes_to_the_end_of_the_kernels_part(
    line: str, blocks: list[str], new: str, after: str
) -> None:
    ours = [block.split() for block in blocks]
    assert " ".join(with_block(line.split(), ours, new.split())) == after
    others = without_block(line.split(), ours)
    assert without_block(with_block(line.split(), ours, new.split()), [new.split()]) == others

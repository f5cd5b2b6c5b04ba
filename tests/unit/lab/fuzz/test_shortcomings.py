# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Boots that show less than they must, whose equal groups would prove nothing."""

from __future__ import annotations

from dataclasses import replace

from lab.fuzz.shortcomings import shortcomings
from lab.fuzz.topology import generate
from tests.unit.lab.fuzz.guest import UNCOVERED, bridged, function, partly_covered

COVERED = replace(generate(1, {"e1000e"}), uncovered_buses=frozenset(), vf_share=50)
PF = "0000:00:03.0"


def test_a_whole_boot_lacks_nothing() -> None:
    assert shortcomings(COVERED, bridged()) == ()
    assert shortcomings(replace(COVERED, uncovered_buses=frozenset({0x40})), partly_covered()) == ()


def test_a_function_without_a_group_is_told_where_there_is_an_iommu() -> None:
    assert shortcomings(COVERED, partly_covered()) == (
        f"{UNCOVERED} has no IOMMU group, and its root bus has an IOMMU",
    )


def test_a_group_is_told_where_there_is_no_iommu() -> None:
    found = shortcomings(replace(COVERED, uncovered_buses=frozenset({0})), bridged())
    assert len(found) == len(bridged().functions)
    assert found[0] == "0000:00:01.0 has an IOMMU group, and its root bus has no IOMMU"


def test_missing_vfs_are_told() -> None:
    functions = {
        PF: function(PF, "2", sriov_totalvfs="5"),
        "0000:00:03.1": function("0000:00:03.1", "3", physfn=PF),
    }
    found = shortcomings(COVERED, replace(bridged(), functions=functions))
    assert found == (f"{PF} has 1 VFs, and 2 were asked for",)
    second = {"0000:00:03.2": function("0000:00:03.2", "4", physfn=PF)}
    assert shortcomings(COVERED, replace(bridged(), functions={**functions, **second})) == ()

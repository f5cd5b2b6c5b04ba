# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls import BlsEntry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls_order import (
    compare_rpm_versions,
    compare_versions,
    in_blscfg_order,
    in_specification_order,
)

Comparison = Callable[[str, str], int]

# Each row from old to new. The first is the example list of UAPI.10.
UAPI_ASCENDING = [
    ["~1", "", "ab", "abb", "abc", "0001", "002", "12", "122", "122.9", "123~rc1", "123", "123-a", "123-a.1"],
    ["123-a.1", "123-a1", "123-a1.1", "123-3", "123-3.1", "123^patch1", "123^1", "123.a-1", "123.1-1", "123a-1", "124"],
    ["6.1.0", "6.9.12", "6.10.1", "10.0"],
]
RPM_ASCENDING = [
    ["4.18.0", "5.14.0-362.el9", "5.14.0-427.13.1.el9_4", "5.14.0-427.24.1.el9_4", "6.12.0-55.el10"],
    ["1.0~rc1", "1.0", "1.0+debug", "1.0.1"],
    ["a", "1", "02", "2a", "2.1"],
]
versions = st.text("01a9Zb.~^-+_", max_size=8)


@pytest.mark.parametrize(
    ("compare", "ascending"),
    [
        *[(compare_versions, row) for row in UAPI_ASCENDING],
        *[(compare_rpm_versions, row) for row in RPM_ASCENDING],
    ],
)
def test_versions_from_old_to_new(compare: Comparison, ascending: Sequence[str]) -> None:
    for index, old in enumerate(ascending):
        assert compare(old, old) == 0
        for new in ascending[index + 1 :]:
            assert (compare(old, new), compare(new, old)) == (-1, 1), (old, new)


@pytest.mark.parametrize("compare", [compare_versions, compare_rpm_versions])
@given(one=versions, other=versions)
def test_both_directions_agree(compare: Comparison, one: str, other: str) -> None:
    assert compare(one, other) == -compare(other, one)
    assert compare(one, one) == 0


def names(entries: Sequence[BlsEntry]) -> list[str]:
    return [entry.file_name for entry in entries]


def test_lesson_7_grub_lists_the_newest_version_first_and_the_rescue_entry_last() -> None:
    machine = "4d9a2b"
    expected = [
        f"{machine}-5.14.0-427.24.1.el9_4.x86_64.conf",
        f"{machine}-5.14.0-427.13.1.el9_4.x86_64+debug.conf",
        f"{machine}-5.14.0-427.13.1.el9_4.x86_64.conf",
        f"{machine}-5.14.0-70.el9.x86_64.conf",
        f"{machine}-0-rescue.conf",
    ]
    assert names(in_blscfg_order(BlsEntry(name, b"") for name in sorted(expected))) == expected


def test_the_specifications_order() -> None:
    expected = [
        BlsEntry("z.conf", b"sort-key arch\nversion 6.10\n"),
        BlsEntry("a.conf", b"sort-key arch\nversion 6.9\n"),
        BlsEntry("f-6.9.conf", b"sort-key fedora\nmachine-id 1\nversion 6.9\n"),
        BlsEntry("f-7.conf", b"sort-key fedora\nmachine-id 2\nversion 7\n"),
        BlsEntry("m-6.10+3.conf", b""),
        BlsEntry("m-6.10+1-2.conf", b""),
        BlsEntry("m-6.9.conf", b"version 9\n"),
        BlsEntry("m-6.11+0-3.conf", b"sort-key arch\n"),
    ]
    assert in_specification_order(reversed(expected)) == expected


def test_a_name_comes_before_the_longer_ones_that_begin_with_it() -> None:
    """As ``systemd-analyze compare-versions`` says: the suffix is part of what is compared."""
    expected = ["arch.conf", "arch-lts.conf", "arch-fallback.conf"]
    assert names(in_specification_order(BlsEntry(name, b"") for name in sorted(expected))) == expected

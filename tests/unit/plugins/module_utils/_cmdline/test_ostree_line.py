# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.ostree_line import (
    Operations,
    operations,
    without_deployment,
)

TOKENS = st.sampled_from(["quiet", "console=tty0", "console=ttyS0", "hugepagesz=1G", "hugepages=2", "a", "a=1"])
LINES = st.lists(TOKENS, max_size=8)


@given(LINES, LINES)
def test_the_daemon_arrives_where_it_should(current: list[str], wanted: list[str]) -> None:
    needed = operations(current, wanted)
    assert needed.apply(current) == wanted


@pytest.mark.parametrize(
    ("current", "wanted", "delete", "append"),
    [
        ("root=x quiet", "root=x quiet intel_iommu=on", "", "intel_iommu=on"),
        ("root=x a=1 quiet", "root=x quiet", "a=1", ""),
        ("root=x a=1 quiet", "root=x a=2 quiet", "a=1 quiet", "a=2 quiet"),
        ("root=x quiet", "root=x quiet", "", ""),
        # Somebody else's comes first and is what --delete would take.
        (
            "console=tty0 quiet console=tty0",
            "console=tty0 quiet",
            "quiet console=tty0",
            "quiet",
        ),
        (
            "hugepagesz=2M hugepages=8",
            "hugepagesz=2M hugepages=8 hugepagesz=1G hugepages=8",
            "",
            "hugepagesz=1G hugepages=8",
        ),
    ],
)
def test_no_more_is_touched_than_needed(current: str, wanted: str, delete: str, append: str) -> None:
    expected = Operations(tuple(delete.split()), tuple(append.split()))
    assert operations(current.split(), wanted.split()) == expected


def test_the_line_without_what_every_deployment_has_of_its_own() -> None:
    assert without_deployment(["a", "ostree=/ostree/boot.0/x/y/0", "b"]) == ["a", "b"]


def test_the_options_of_the_tool() -> None:
    assert Operations(("a=1",), ("b", "c=")).options() == ["--delete=a=1", "--append=b", "--append=c="]

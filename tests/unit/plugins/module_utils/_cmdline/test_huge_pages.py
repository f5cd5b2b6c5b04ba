# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.huge_pages import ignored_huge_pages

IGNORED = [
    ("ro hugepages=4", []),
    ("default_hugepagesz=1G hugepagesz=1G hugepages=4 hugepagesz=2M hugepages=64", []),
    ("hugepages=10 hugepagesz=1G hugepages=4", []),
    ("hugepages=10 default_hugepagesz=1G hugepages=4", []),
    ("hugepagesz=1G hugepages=4 quiet hugepages=512", ["hugepages=512"]),
    ("hugepagesz=1G hugepages=4 hugepagesz=1g hugepages=8", ["hugepagesz=1g", "hugepages=8"]),
    ("hugepages=4 -- hugepages=8", []),
]


@pytest.mark.parametrize(("line", "ignored"), IGNORED)
def test_what_the_kernel_passes_over(line: str, ignored: list[str]) -> None:
    assert ignored_huge_pages(line.split()) == ignored

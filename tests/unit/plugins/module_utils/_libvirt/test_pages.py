# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.pages import read_free_pages, shortage
from tests.unit.plugins.libvirt_host import LibvirtHost, spec_of


@pytest.mark.parametrize(
    ("node", "memory", "said"),
    [
        (None, "6G", None),
        (None, "7G", "needs 7 huge pages of 1G for its 7G on this host, but 6 are free (node 0: 4, node 1: 2)"),
        (0, "4G", None),
        (1, "4G", "needs 4 huge pages of 1G for its 4G on NUMA node 1, but 2 are free (node 0: 4, node 1: 2)"),
        (5, "1G", "NUMA node 5, but 0 are free"),
    ],
)
def test_numbers_of_a_shortage(host: LibvirtHost, node: int, memory: str, said: str) -> None:
    host.pages(0, 1048576, 4)
    host.pages(1, 1048576, 2)
    found = shortage(spec_of(memory=memory, hugepages="1G", memory_node=node), read_free_pages(host.root))
    assert found is None if said is None else said in (found or "")


def test_size_that_the_host_does_not_have(host: LibvirtHost) -> None:
    assert "none of this size" in (shortage(spec_of(hugepages="1G"), read_free_pages(host.root)) or "")


def test_small_pages_need_no_reservation(host: LibvirtHost) -> None:
    assert shortage(spec_of(), read_free_pages(host.root)) is None

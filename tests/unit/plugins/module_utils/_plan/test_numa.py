# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.pinning import plan_pinning
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.numa import far_apart
from tests.unit.plugins.cpu_machines import Shape, topology_of
from tests.unit.plugins.planned_host import device_on

TWO_NODES = topology_of(tuple(Shape((core * 2, core * 2 + 1), l3=core // 4, node=core // 4) for core in range(8)))
ONE_NODE = topology_of(tuple(Shape((core * 2, core * 2 + 1)) for core in range(8)))
GUEST: dict[str, Any] = {"name": "guest", "memory": "4G", "vcpus": 2, "devices": ["gpu"], "hugepages": "1G"}


def said(
    node: int | None = 1, pools: Any = (), topology: Any = TWO_NODES, pin_to: int | None = None, **more: Any
) -> list[str]:
    pinning = None if pin_to is None else plan_pinning(topology, 2, pin_to, 1, frozenset())
    return far_apart({**GUEST, **more}, pinning, topology, pools, {"gpu": (device_on(node),)})


def pool(node: int | None, size: str = "1G", count: int = 4) -> dict[str, Any]:
    return {"size": size, "node": node, "count": count}


def test_everything_on_one_node_is_silent() -> None:
    assert said(1, [pool(1)], pin_to=1) == []


def test_a_device_on_another_node_than_the_cpus_is_said_once() -> None:
    (warning,) = said(0, [pool(1)], pin_to=1)
    assert "'gpu' is on NUMA node 0, the domain's CPUs on NUMA node 1" in warning
    assert "pinning: {near: gpu}" in warning


def test_pins_written_by_hand_count_like_planned_ones() -> None:
    pins = [{"vcpu": 0, "cpus": "0"}, {"vcpu": 1, "cpus": "1"}]
    assert len(said(1, vcpu_pins=pins)) == 1
    assert said(0, vcpu_pins=pins) == []


def test_memory_apart_from_the_cpus_is_said() -> None:
    pins = [{"vcpu": 0, "cpus": "0-1"}]
    assert said(0, vcpu_pins=pins, memory_node=1)[0] == (
        "domain 'guest': its CPUs are on NUMA node 0, its memory on NUMA node 1"
    )


def test_memory_apart_from_the_device_is_said_where_no_cpu_is_pinned() -> None:
    (warning,) = said(0, memory_node=1)
    assert "the domain's memory on NUMA node 1" in warning


@pytest.mark.parametrize(
    ("pools", "count"),
    [
        ([pool(0)], 1),
        ([pool(0), pool(1)], 0),
        # Pages of another size are not for this domain, and an empty pool has none.
        ([pool(0, "2M"), pool(1)], 0),
        ([pool(0, "2M")], 0),
        ([pool(0), pool(1, count=0)], 1),
        # The kernel spreads such a pool over all nodes.
        ([pool(None)], 0),
    ],
)
def test_pages_that_the_domain_cannot_use_are_said(pools: Any, count: int) -> None:
    found = said(1, pools, pin_to=1)
    assert len(found) == count
    assert all("will not start" in warning for warning in found)


@pytest.mark.parametrize("more", [{"topology": ONE_NODE}, {"node": None}, {"state": "absent", "memory_node": 0}])
def test_what_cannot_be_apart_or_is_not_known_is_silent(more: dict[str, Any]) -> None:
    options = {"node": 0, **more}
    if "topology" in more:
        options["memory_node"] = 0
    assert said(**options) == []

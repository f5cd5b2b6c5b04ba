# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.cpulist import format_cpulist, parse_cpulist
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.pinning import (
    Pinning,
    host_cpus,
    judge_placement,
    plan_pinning,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.topology import Topology
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError, RefusedError
from tests.unit.plugins.cpu_machines import MACHINES, Shape, topology_of


def _pins(pinning: Pinning) -> list[int]:
    return [cpu for cpus in pinning.vcpus for cpu in cpus]


@pytest.mark.parametrize(
    ("machine", "vcpus", "host_cores", "pins", "emulator", "guest"),
    [
        ("ryzen 1600", 6, 1, [6, 7, 8, 9, 10, 11], "0-1", (1, 3, 2)),
        ("ryzen 1600", 8, 1, [2, 3, 4, 5, 6, 7, 8, 9], "0-1", (1, 4, 2)),
        ("ryzen 1600", 4, 1, [6, 7, 8, 9], "0-1", (1, 2, 2)),
        ("core 8700k", 8, 2, [2, 8, 3, 9, 4, 10, 5, 11], "0-1,6-7", (1, 4, 2)),
        ("core 8700k", 8, 1, [1, 7, 2, 8, 3, 9, 4, 10], "0,6", (1, 4, 2)),
        ("smt switched off", 4, 1, [1, 2, 3, 4], "0", (1, 4, 1)),
        ("no smt", 3, 1, [1, 2, 3], "0", (1, 3, 1)),
        # The cache that the host uses comes last, although it has the fewest free cores.
        ("epyc", 6, 1, [4, 20, 5, 21, 6, 22], "0,16", (1, 3, 2)),
        ("epyc", 10, 1, [1, 17, 2, 18, 3, 19, 4, 20, 5, 21], "0,16", (1, 5, 2)),
        # Performance cores first; the others only where those do not suffice.
        ("hybrid", 6, 1, [2, 3, 4, 5, 6, 7], "0-1", (1, 3, 2)),
        ("hybrid", 8, 1, [8, 9, 10, 11, 12, 13, 14, 15], "0-1", (1, 8, 1)),
        ("hybrid", 10, 1, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11], "0-1", (1, 10, 1)),
        # A core with one thread left is not like the others.
        ("half a core off", 2, 1, [6, 7], "0-1", (1, 1, 2)),
    ],
)
def test_plan(
    machine: str, vcpus: int, host_cores: int, pins: list[int], emulator: str, guest: tuple[int, int, int]
) -> None:
    pinning = plan_pinning(MACHINES[machine], vcpus, None, host_cores)
    assert _pins(pinning) == pins
    assert format_cpulist(pinning.emulator) == emulator
    assert (pinning.sockets, pinning.cores, pinning.threads) == guest


@pytest.mark.parametrize(
    ("near", "pins", "emulator", "node"),
    [
        (None, [1, 9, 2, 10], "0,8", 0),
        (0, [1, 9, 2, 10], "0,8", 0),
        # On the other socket its own first core serves the emulator; CPU 0's core is out of the way anyway.
        (1, [5, 13, 6, 14], "4,12", 1),
    ],
)
def test_guest_and_host_stay_on_the_devices_node(near: int | None, pins: list[int], emulator: str, node: int) -> None:
    pinning = plan_pinning(MACHINES["two sockets"], 4, near, 1)
    assert (_pins(pinning), format_cpulist(pinning.emulator), pinning.node) == (pins, emulator, node)
    assert pinning.warnings == ()


def test_another_node_where_the_devices_is_full() -> None:
    pinning = plan_pinning(MACHINES["two sockets"], 4, 1, 1, taken=range(4, 8))
    assert pinning.node == 0
    assert "device's NUMA node 1 has too few free cores" in pinning.warnings[0]


def test_a_node_without_cpus_is_replaced_with_a_warning() -> None:
    pinning = plan_pinning(MACHINES["two sockets"], 2, 5, 1)
    assert pinning.node == 0
    assert "NUMA node 5" in pinning.warnings[0]


def test_no_room_is_refused_with_the_numbers_of_every_node() -> None:
    with pytest.raises(RefusedError) as caught:
        plan_pinning(MACHINES["two sockets"], 8, 1, 1, taken=(2, 3))
    assert "node 1 has 8 CPUs in 4 cores, the host keeps 4,12, 6 are free in whole cores" in caught.value.reason
    assert "node 0 has 8 CPUs in 4 cores, the host keeps 0,8, other guests have 2-3, 2 are free" in caught.value.reason


@pytest.mark.parametrize(("vcpus", "host_cores"), [(0, 1), (-1, 1), (2, 0)])
def test_numbers_that_cannot_be_meant(vcpus: int, host_cores: int) -> None:
    with pytest.raises(InputError, match="expected 1 or more"):
        plan_pinning(MACHINES["no smt"], vcpus, None, host_cores)


def test_preferred_cpus_come_first_and_planning_again_finds_them_again() -> None:
    assert _pins(plan_pinning(MACHINES["core 8700k"], 4, None, 1, prefer=(4, 10, 5, 11))) == [4, 10, 5, 11]
    assert _pins(plan_pinning(MACHINES["core 8700k"], 4, None, 1, prefer=(4, 10))) == [1, 7, 2, 8]


def test_an_odd_number_of_vcpus_keeps_the_last_core_whole() -> None:
    pinning = plan_pinning(MACHINES["core 8700k"], 3, None, 1)
    assert _pins(pinning) == [1, 7, 2]
    assert pinning.reserved == (1, 2, 7, 8)
    assert (pinning.cores, pinning.threads) == (3, 1)
    assert "do not fill whole cores" in pinning.warnings[0]


@pytest.mark.parametrize(
    ("cpus", "said"),
    [
        ("8-11", "CPUs 6-7 share the level 3 cache"),
        ("4-9", "span 2 level 3 caches and leave CPUs 0-3,10-11"),
        ("2-9", "span 2 level 3 caches"),
        ("6-11", None),
        ("0-11", None),
        ("6-10", "CPUs 11 are threads of the guest's cores"),
    ],
)
def test_placements_on_two_caches(cpus: str, said: str | None) -> None:
    warnings = judge_placement(MACHINES["ryzen 1600"], parse_cpulist(cpus))
    assert (said is None and not warnings) or (said is not None and any(said in warning for warning in warnings))


def test_one_cache_leaves_nothing_to_say() -> None:
    assert judge_placement(MACHINES["core 8700k"], (2, 8, 3, 9)) == ()


def test_json_and_back() -> None:
    pinning = plan_pinning(MACHINES["ryzen 1600"], 5, None, 1)
    assert Pinning.from_json(json.loads(json.dumps(pinning.to_json()))) == pinning


@st.composite
def _machines(draw: st.DrawFn) -> Topology:
    nodes = draw(st.integers(1, 3))
    threads = draw(st.integers(1, 2))
    per_cache = draw(st.integers(1, 4))
    cores = draw(st.integers(nodes, 8 * nodes))
    order = draw(st.permutations(range(cores * threads)))
    shapes = tuple(
        Shape(
            tuple(sorted(order[core * threads : (core + 1) * threads])),
            l3=core // per_cache,
            node=core * nodes // cores,
        )
        for core in range(cores)
    )
    return topology_of(shapes)


@given(_machines(), st.integers(1, 12), st.integers(0, 2), st.integers(1, 3), st.sets(st.integers(0, 30), max_size=6))
def test_every_plan_is_a_plan(
    topology: Topology, vcpus: int, near: int, host_cores: int, taken: Collection[int]
) -> None:
    try:
        pinning = plan_pinning(topology, vcpus, near, host_cores, taken)
    except RefusedError:
        # Then no node has that many free threads in whole cores.
        for node in topology.nodes:
            kept = {*host_cpus(topology, node, host_cores), *taken}
            free = [core for core in topology.cores if core.node == node and not kept & set(core.threads)]
            assert sum(len(core.threads) for core in free) < vcpus
        return
    pins = _pins(pinning)
    assert len(pins) == len(set(pins)) == vcpus == pinning.sockets * pinning.cores * pinning.threads
    first_core = next(core for core in topology.cores if topology.online[0] in core.threads)
    assert not set(pinning.reserved) & {*taken, *first_core.threads, *pinning.emulator}
    assert pinning.emulator
    assert {cpu.node for cpu in topology.cpus if cpu.number in pins} == {pinning.node}
    siblings = {cpu.number: cpu.siblings for cpu in topology.cpus}
    assert set(pinning.reserved) == {thread for cpu in pins for thread in siblings[cpu]}
    for first in range(0, vcpus, pinning.threads):
        assert len({siblings[cpu] for cpu in pins[first : first + pinning.threads]}) == 1
    assert plan_pinning(topology, vcpus, near, host_cores, taken, prefer=pinning.reserved) == pinning

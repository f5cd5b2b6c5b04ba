# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages.pages import (
    GIB,
    HugepagesState,
    NodeState,
    Pool,
    PoolState,
    Request,
    drop_in_content,
    format_size,
    kernel_args,
    kernel_version,
    misfits,
    overcommit_refusals,
    parse_overcommit,
    parse_requests,
    parse_size,
    read_hugepages,
    resolve,
    unsupported,
)
from tests.unit.plugins.huge_kernel import HugeKernel

MIB = 1024


def _state(*memory_kb: int, sizes: tuple[int, ...] = (2 * MIB, GIB)) -> HugepagesState:
    nodes = tuple(
        NodeState(number, memory, memory, tuple(PoolState(size, 0, 0) for size in sizes))
        for number, memory in enumerate(memory_kb)
    )
    return HugepagesState(sizes, 2 * MIB, nodes, {}, {})


@pytest.mark.parametrize(
    ("text", "kib"),
    [
        ("1G", GIB),
        ("2M", 2048),
        ("2048k", 2048),
        ("1GiB", GIB),
        ("2 MB", 2048),
        ("64K", 64),
        (" 16g ", 16 * GIB),
        ("1T", 1024 * GIB),
    ],
)
def test_sizes(text: str, kib: int) -> None:
    assert parse_size(text, "size") == kib


@pytest.mark.parametrize("text", ["", "1", "G", "0G", "-1G", "1.5G", "1X", None, 2048, "2M 2M"])
def test_what_is_no_size(text: Any) -> None:
    with pytest.raises(InputError, match=r"reserve is .* such as 1G or 2M"):
        parse_size(text, "reserve")


@given(st.integers(1, 10**9))
def test_a_size_written_and_read_is_the_same(kib: int) -> None:
    assert parse_size(format_size(kib), "size") == kib


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("1G", "pools has the entry '1G'"),
        ({"size": "1G"}, "without count"),
        ({"count": 1}, "without size"),
        ({"size": "1G", "count": 1, "nodes": 0}, "with 'nodes'"),
        ({"size": "1G", "count": -1}, r"pools\.count is '-1'"),
        ({"size": "1G", "count": "many"}, r"pools\.count is 'many'"),
        ({"size": "1G", "count": True}, r"pools\.count is 'True'"),
        ({"size": "1G", "count": 1.5}, r"pools\.count is '1\.5'"),
        ({"size": "1G", "count": 1, "node": "x"}, r"pools\.node is 'x'"),
        ({"size": "1G", "count": 1, "node": 0, "near": "gpu"}, "both node and near"),
        ({"size": "1G", "count": 1, "near": 3}, r"pools\.near is '3'"),
    ],
)
def test_requests_that_cannot_be_meant(entry: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_requests([entry])


def test_lists_that_are_no_lists() -> None:
    with pytest.raises(InputError, match="expected a list"):
        parse_requests("1G")
    with pytest.raises(InputError, match="expected a list"):
        parse_overcommit({"size": "2M", "count": 1})


def test_overcommit_is_read() -> None:
    assert parse_overcommit([{"size": "2M", "count": "512"}]) == {2048: 512}
    assert parse_overcommit(None) is None
    for entries in (
        [{"size": "2M", "count": 1, "node": 0}],
        [{"size": "2M", "count": 1}, {"size": "2048K", "count": 2}],
    ):
        with pytest.raises(InputError):
            parse_overcommit(entries)


def _resolve(state: HugepagesState, *entries: dict[str, Any], **near: int | None) -> list[tuple[str, int | None, int]]:
    pools = resolve([Request.parse(entry) for entry in entries], state, near)
    return [(format_size(pool.size_kb), pool.node, pool.count) for pool in pools]


def test_names_become_nodes_and_requests_add_up() -> None:
    state = _state(64 * GIB, 64 * GIB)
    wanted = [
        {"size": "2M", "count": 512},
        {"size": "1G", "count": 16, "near": "gpu"},
        {"size": "1G", "count": 4, "node": 1},
        {"size": "1G", "count": 2, "near": "nic"},
    ]
    assert _resolve(state, *wanted, gpu=1, nic=None) == [("1G", 0, 2), ("1G", 1, 20), ("2M", None, 512)]


def test_one_node_needs_no_node() -> None:
    wanted = [
        {"size": "1G", "count": 1, "near": "gpu"},
        {"size": "1G", "count": 2, "node": 0},
        {"size": "1G", "count": 3},
    ]
    assert _resolve(_state(64 * GIB), *wanted, gpu=None) == [("1G", None, 6)]


def test_nodes_that_do_not_exist_and_forms_that_do_not_mix() -> None:
    with pytest.raises(InputError, match="NUMA node 2: this host has memory on nodes 0, 1"):
        _resolve(_state(GIB, GIB), {"size": "1G", "count": 1, "node": 2})
    with pytest.raises(InputError, match="NUMA node 1: this host has memory on node 0"):
        _resolve(_state(GIB), {"size": "1G", "count": 1, "node": 1})
    with pytest.raises(InputError, match="both on node 1 and on no particular node"):
        _resolve(_state(GIB, GIB), {"size": "2M", "count": 1, "node": 1}, {"size": "2M", "count": 1})


@pytest.mark.parametrize(
    ("pools", "default", "line"),
    [
        ([], None, ""),
        ([Pool(2048, None, 1024)], None, "hugepagesz=2M hugepages=1024"),
        ([Pool(GIB, None, 4)], GIB, "default_hugepagesz=1G hugepagesz=1G hugepages=4"),
        ([Pool(GIB, 0, 4), Pool(GIB, 1, 16)], None, "hugepagesz=1G hugepages=0:4,1:16"),
        ([Pool(GIB, 1, 16), Pool(2048, None, 512)], None, "hugepagesz=1G hugepages=1:16 hugepagesz=2M hugepages=512"),
        ([Pool(GIB, 0, 0), Pool(GIB, 1, 16)], None, "hugepagesz=1G hugepages=1:16"),
        ([Pool(GIB, None, 0)], None, ""),
        ([], GIB, "default_hugepagesz=1G"),
    ],
)
def test_arguments(pools: list[Pool], default: int | None, line: str) -> None:
    assert " ".join(kernel_args(pools, default)) == line


@given(st.lists(st.tuples(st.sampled_from((64, 2048, 32768, GIB)), st.integers(0, 3), st.integers(0, 99)), max_size=8))
def test_every_size_stands_once_and_every_page_is_asked_for(entries: list[tuple[int, int, int]]) -> None:
    requests = [Request(size, count, node) for size, node, count in entries]
    pools = resolve(requests, _state(GIB, GIB, GIB, GIB), {})
    tokens = kernel_args(pools)
    sizes = [parse_size(token.partition("=")[2], "hugepagesz") for token in tokens[::2]]
    assert sizes == sorted(set(sizes), reverse=True)
    asked: dict[tuple[int, int], int] = {}
    for size, token in zip(sizes, tokens[1::2]):
        for part in token.partition("=")[2].split(","):
            node, number = part.split(":")
            asked[size, int(node)] = int(number)
    for place in {entry[:2] for entry in entries}:
        assert asked.get(place, 0) == sum(entry[2] for entry in entries if entry[:2] == place)


@pytest.mark.parametrize(
    ("memory", "reserve", "pools", "said"),
    [
        # 8 GiB with 4 GiB of pages: the host keeps 4.
        ([8 * GIB], 4 * GIB, [Pool(2048, None, 2048)], []),
        ([8 * GIB], 5 * GIB, [Pool(2048, None, 2048)], ["keeps 5.0 GiB", "at most 1536 pages"]),
        (
            [8 * GIB],
            GIB,
            [Pool(GIB, None, 8)],
            ["8 pages of 1G (8.0 GiB) are wanted and 7.0 GiB can be", "at most 7 pages"],
        ),
        (
            [8 * GIB],
            GIB,
            [Pool(GIB, None, 4), Pool(2048, None, 2048)],
            ["4 pages of 1G and 2048 pages of 2M (8.0 GiB)"],
        ),
        ([16 * GIB, 16 * GIB], GIB, [Pool(GIB, 1, 15)], []),
        ([16 * GIB, 16 * GIB], GIB, [Pool(GIB, 1, 16)], ["node 1 has 16.0 GiB of memory", "at most 15 pages"]),
        ([16 * GIB, 16 * GIB], GIB, [Pool(GIB, None, 31)], []),
        ([16 * GIB, 16 * GIB], 4 * GIB, [Pool(GIB, 0, 15), Pool(GIB, 1, 15)], ["the host has 32.0 GiB"]),
        ([8 * GIB], 9 * GIB, [], []),
        ([512 * MIB], GIB, [Pool(2048, None, 1)], ["512 MiB of memory", "0 MiB can be", "at most 0 pages"]),
    ],
)
def test_what_fits(memory: list[int], reserve: int, pools: list[Pool], said: list[str]) -> None:
    reasons = misfits(pools, _state(*memory), reserve, {})
    assert bool(reasons) == bool(said)
    assert all(any(words in reason for reason in reasons) for words in said)


def test_pages_of_somebody_else_take_room() -> None:
    assert misfits([Pool(GIB, 0, 10)], _state(16 * GIB, 16 * GIB), GIB, {0: 5 * GIB}) == ()
    assert "at most 8 pages" in misfits([Pool(GIB, 0, 10)], _state(16 * GIB, 16 * GIB), GIB, {0: 7 * GIB})[0]


def test_sizes_that_the_machine_lacks() -> None:
    state = _state(GIB, sizes=(2048,))
    assert "no huge pages of 1G (the processor lacks the flag pdpe1gb" in unsupported([Pool(GIB, None, 1)], state)[0]
    assert unsupported([Pool(2048, None, 1), Pool(GIB, None, 0)], state) == ()
    assert "it has none" in unsupported([Pool(2048, None, 1)], _state(GIB, sizes=()))[0]


def test_overcommit_of_1g_is_refused() -> None:
    assert "does not overcommit huge pages of 1G" in overcommit_refusals([GIB], _state(GIB))[0]
    assert overcommit_refusals([2048], _state(GIB)) == ()


def test_the_drop_in_names_every_size() -> None:
    lines = drop_in_content({2048: 512}).splitlines()
    assert lines[1:] == ["w /sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages - - - - 512"]


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.12.48-amd64", (6, 12)), ("5.14.0-570.el9.x86_64", (5, 14)), ("10.1", (10, 1)), ("unknown", (0, 0))],
)
def test_versions_are_numbers(release: str, version: tuple[int, int]) -> None:
    assert kernel_version(release) == version


def test_reading(tmp_path: Path) -> None:
    kernel = HugeKernel(tmp_path, 16 * GIB, 8 * GIB)
    kernel.somebody_sets(1, GIB, 3)
    kernel.somebody_uses(1, GIB, 2)
    state = read_hugepages(kernel.root)
    assert [(node.node, node.memory_kb, node.available_kb) for node in state.nodes] == [
        (0, 16 * GIB, 16 * GIB),
        (1, 8 * GIB, 5 * GIB),
    ]
    assert state.pool(GIB, 1) == state.pool(GIB, None) == PoolState(GIB, 3, 1)
    assert (state.in_use(GIB, 1), state.in_use(GIB, 0)) == (2, 0)
    assert (state.sizes, state.default_kb, state.boot_id, state.transparent) == ((2048, GIB), 2048, "boot-1", "madvise")
    assert HugepagesState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_surplus_pages_do_not_count_as_reserved_and_unfaulted_ones_count_as_used(tmp_path: Path) -> None:
    kernel = HugeKernel(tmp_path, 16 * GIB)
    kernel.somebody_sets(0, 2048, 10)
    (tmp_path / "sys/devices/system/node/node0/hugepages/hugepages-2048kB/surplus_hugepages").write_text("4\n")
    (tmp_path / "sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages").write_text("5\n")
    state = read_hugepages(kernel.root)
    assert state.pool(2048, 0) == PoolState(2048, 6, 6)
    assert state.in_use(2048, 0) == 5


def test_a_kernel_without_numa_has_one_node(tmp_path: Path) -> None:
    directory = tmp_path / "sys/kernel/mm/hugepages/hugepages-2048kB"
    directory.mkdir(parents=True)
    (directory / "nr_hugepages").write_text("7\n")
    (directory / "free_hugepages").write_text("7\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 8388608 kB\nMemFree: 4194304 kB\nActive(file): 2048 kB\n")
    state = read_hugepages(Root(str(tmp_path)))
    assert [(node.node, node.memory_kb, node.available_kb) for node in state.nodes] == [(0, 8388608, 4195328)]
    assert state.pool(2048, None).total == 7
    assert state.transparent is None


def test_this_machine() -> None:
    # Not compared with /proc/meminfo: the memory of a virtual machine may change between two reads.
    state = read_hugepages(Root("/"))
    assert state.nodes
    assert all(0 < node.available_kb <= node.memory_kb for node in state.nodes)
    assert all(node.pool(size).total >= 0 for node in state.nodes for size in state.sizes)

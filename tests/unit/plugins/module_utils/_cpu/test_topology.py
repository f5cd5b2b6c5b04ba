# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.topology import (
    Topology,
    pci_device_node,
    read_topology,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from tests.unit.plugins.cpu_machines import MACHINES, write_tree
from tests.unit.plugins.host_tree import HostTree


@pytest.mark.parametrize("machine", MACHINES)
def test_a_machine_is_read_as_it_is(machine: str, tmp_path: Path) -> None:
    write_tree(tmp_path, MACHINES[machine])
    assert read_topology(Root(str(tmp_path))) == MACHINES[machine]


@pytest.mark.parametrize("machine", MACHINES)
def test_json_and_back(machine: str) -> None:
    assert Topology.from_json(json.loads(json.dumps(MACHINES[machine].to_json()))) == MACHINES[machine]


@pytest.mark.parametrize(
    ("machine", "cores", "caches"),
    [("ryzen 1600", 6, 2), ("core 8700k", 6, 1), ("epyc", 16, 4), ("hybrid", 12, 1), ("smt switched off", 6, 1)],
)
def test_cores_and_caches(machine: str, cores: int, caches: int) -> None:
    assert (len(MACHINES[machine].cores), len(MACHINES[machine].l3_domains)) == (cores, caches)


def test_siblings_come_from_sysfs_and_not_from_numbers() -> None:
    assert [core.threads for core in MACHINES["ryzen 1600"].cores][:2] == [(0, 1), (2, 3)]
    assert [core.threads for core in MACHINES["core 8700k"].cores][:2] == [(0, 6), (1, 7)]


def test_what_cannot_be_used_is_said() -> None:
    machine = MACHINES["half a core off"]
    assert machine.unusable((0, 3, 99)) == ("CPU 3 is offline", "CPU 99 does not exist")
    assert machine.unusable((0, 2)) == ()


def test_a_cache_behind_another_index_is_found(tmp_path: Path) -> None:
    write_tree(tmp_path, MACHINES["no smt"])
    for cpu in range(4):
        directory = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/cache"
        (directory / "index3").rename(directory / "index7")
    assert read_topology(Root(str(tmp_path))) == MACHINES["no smt"]


def test_a_machine_without_caches_nodes_and_lists_still_has_cpus(tmp_path: Path) -> None:
    for cpu in range(2):
        (tmp_path / f"sys/devices/system/cpu/cpu{cpu}").mkdir(parents=True)
    topology = read_topology(Root(str(tmp_path)))
    assert (topology.online, topology.l3_domains, topology.nodes) == ((0, 1), (), (0,))
    assert topology.nohz_full is None


def test_an_empty_tree_has_no_cpus(tmp_path: Path) -> None:
    assert read_topology(Root(str(tmp_path))) == Topology(())


def test_this_machine() -> None:
    topology = read_topology(Root("/"))
    assert set(os.sched_getaffinity(0)) <= set(topology.online)
    assert {cpu for core in topology.cores for cpu in core.threads} == set(topology.online)


@pytest.mark.parametrize(("content", "node"), [("1\n", 1), ("-1\n", None), (None, None)])
def test_node_of_a_device(content: str | None, node: int | None, tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    directory = tree.function("0000:01:00.0")
    if content is not None:
        (directory / "numa_node").write_text(content)
    assert pci_device_node(tree.root, "0000:01:00.0") == node
    with pytest.raises(HostStateError, match=r"no PCI device 0000:02:00\.0"):
        pci_device_node(tree.root, "0000:02:00.0")

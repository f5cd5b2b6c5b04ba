# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Whether a domain's devices, CPUs and memory lie on the same NUMA node. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.cpulist import parse_cpulist
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.pinning import Pinning
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.topology import Topology
from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages.pages import parse_size
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.judge import ABSENT
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device


def far_apart(
    domain: t.Mapping[str, t.Any],
    pinning: Pinning | None,
    topology: Topology,
    pools: t.Iterable[t.Mapping[str, t.Any]],
    selected: t.Mapping[str, tuple[Device, ...]],
) -> list[str]:
    """Sentences about parts of one domain on different nodes, none where all is near or cannot be known.

    ``domain`` is an entry of ``libvirt_domains_list``; ``pools`` are huge pages as ``size``, ``node``, ``count``.
    """
    if len(topology.nodes) < 2 or domain.get("state") == ABSENT:
        return []
    name = domain["name"]
    cpus = _cpu_nodes(domain, pinning, topology)
    memory = _memory_nodes(domain, pinning) or cpus
    found = []
    if cpus and memory - cpus:
        found.append(f"domain '{name}': its CPUs are on {_nodes(cpus)}, its memory on {_nodes(memory)}")
    for device in _device_names(domain):
        nodes = {function.numa_node for function in selected[device] if function.numa_node is not None}
        for what, where in (("CPUs", cpus), ("memory", memory)):
            if nodes and where and not nodes & where:
                found.append(
                    f"domain '{name}': '{device}' is on {_nodes(nodes)}, the domain's {what} on {_nodes(where)}: "
                    f"pinning: {{near: {device}}} and pools near {device} keep them together"
                )
                break
    return found + _pages_elsewhere(name, domain, memory, pools)


def _pages_elsewhere(
    name: str, domain: t.Mapping[str, t.Any], memory: set[int], pools: t.Iterable[t.Mapping[str, t.Any]]
) -> list[str]:
    if not memory or domain.get("hugepages") is None:
        return []
    size = parse_size(str(domain["hugepages"]), "hugepages")
    fitting = [pool for pool in pools if parse_size(pool["size"], "size") == size and pool["count"]]
    nodes = {pool["node"] for pool in fitting}
    if not fitting or None in nodes or memory & nodes:
        return []
    reserved = f"its huge pages of {domain['hugepages']} are reserved on {_nodes(nodes)}"
    return [f"domain '{name}': its memory is to come from {_nodes(memory)}, {reserved}: it will not start"]


def _cpu_nodes(domain: t.Mapping[str, t.Any], pinning: Pinning | None, topology: Topology) -> set[int]:
    if pinning is not None:
        pinned = {cpu for cpus in pinning.vcpus for cpu in cpus}
    else:
        pinned = {cpu for pin in domain.get("vcpu_pins") or () for cpu in parse_cpulist(str(pin["cpus"]))}
    return {cpu.node for cpu in topology.cpus if cpu.number in pinned}


def _memory_nodes(domain: t.Mapping[str, t.Any], pinning: Pinning | None) -> set[int]:
    if domain.get("memory_node") is not None:
        return {int(domain["memory_node"])}
    return set() if pinning is None else {pinning.node}


def _device_names(domain: t.Mapping[str, t.Any]) -> list[str]:
    return [entry["name"] if isinstance(entry, dict) else entry for entry in domain.get("devices") or ()]


def _nodes(nodes: t.Collection[int]) -> str:
    return f"NUMA node {' and '.join(str(node) for node in sorted(nodes))}"

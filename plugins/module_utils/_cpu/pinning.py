# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which host CPUs a guest's virtual CPUs get. Pure: from a topology and numbers to a plan.

The same question always gets the same answer, so that a domain does not change from run to run.
"""

from __future__ import annotations

import dataclasses
import itertools
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.cpulist import format_cpulist, parse_cpulist
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.topology import Core, Topology
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError, RefusedError


@dataclasses.dataclass(frozen=True)
class Pinning:
    """One guest's CPUs.

    ``vcpus[i]`` are the host CPUs of vCPU ``i`` (exactly one here). ``emulator`` are the host's CPUs for the
    emulator and I/O threads. ``reserved`` are all threads of the guest's cores: a thread that is left over
    belongs to nobody else. ``node`` is the NUMA node for the guest's memory. ``sockets``, ``cores`` and
    ``threads`` are what the guest sees: vCPUs ``2k`` and ``2k+1`` are threads of one core when ``threads`` is 2.
    """

    vcpus: tuple[tuple[int, ...], ...]
    emulator: tuple[int, ...]
    reserved: tuple[int, ...]
    node: int
    sockets: int
    cores: int
    threads: int
    warnings: tuple[str, ...] = ()

    @property
    def cpus(self) -> tuple[int, ...]:
        """All CPUs that vCPUs run on, ascending."""
        return tuple(sorted({cpu for cpus in self.vcpus for cpu in cpus}))

    def to_json(self) -> dict[str, t.Any]:
        return {
            "vcpupin": [{"vcpu": number, "cpuset": format_cpulist(cpus)} for number, cpus in enumerate(self.vcpus)],
            "emulatorpin": format_cpulist(self.emulator),
            "cpus": format_cpulist(self.cpus),
            "reserved": format_cpulist(self.reserved),
            "node": self.node,
            "topology": {"sockets": self.sockets, "cores": self.cores, "threads": self.threads},
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> Pinning:
        return cls(
            vcpus=tuple(
                parse_cpulist(pin["cpuset"]) for pin in sorted(data["vcpupin"], key=lambda pin: int(pin["vcpu"]))
            ),
            emulator=parse_cpulist(data["emulatorpin"]),
            reserved=parse_cpulist(data["reserved"]),
            node=data["node"],
            sockets=data["topology"]["sockets"],
            cores=data["topology"]["cores"],
            threads=data["topology"]["threads"],
            warnings=tuple(data["warnings"]),
        )


def host_cpus(topology: Topology, node: int, host_cores: int) -> tuple[int, ...]:
    """The CPUs that stay with the host beside a guest on ``node``: all threads of the first ``host_cores``
    cores there. On the node of CPU 0 its core is the first one, so no guest ever gets it."""
    here = [core for core in topology.cores if core.node == node][:host_cores]
    return tuple(sorted(cpu for core in here for cpu in core.threads))


def plan_pinning(
    topology: Topology,
    vcpus: int,
    near_node: int | None,
    host_cores: int,
    taken: t.Collection[int] = (),
    prefer: t.Collection[int] = (),
) -> Pinning:
    """Choose whole cores for ``vcpus`` virtual CPUs, close to ``near_node`` (``None``: no node is nearer).

    ``taken`` are the CPUs of other guests. ``prefer`` are CPUs to use first, such as those that the host
    isolates already. The choice, from best to worst: on the device's node before another node, one kind
    of core before a mixture, within one level 3 cache (one that the host's cores do not use, then the
    smallest that has room) before across several; then the lowest numbers.

    Raises :class:`InputError` for numbers that cannot be meant and :class:`RefusedError`, with the numbers
    of every node, when no single node has room.
    """
    if vcpus < 1:
        raise InputError(f"{vcpus} vCPUs cannot be pinned: expected 1 or more")
    if host_cores < 1:
        raise InputError(f"host_cores is {host_cores}: expected 1 or more, because core 0 always stays with the host")
    if near_node is not None and near_node not in topology.nodes:
        # Memory-only nodes and nodes whose CPUs are all offline exist.
        near_node, no_cpu_node = None, near_node
        warnings = [f"NUMA node {no_cpu_node} of the device has no online CPU: the guest runs on another node"]
    else:
        warnings = []
    nodes = sorted(topology.nodes, key=lambda node: (node != near_node, node))
    for node in nodes:
        cores = _choose(topology, node, vcpus, host_cores, taken, prefer)
        if cores:
            if near_node not in (None, node):
                warnings.append(
                    f"the device's NUMA node {near_node} has too few free cores for {vcpus} vCPUs: "
                    f"the guest runs on node {node} and reaches its device across the interconnect"
                )
            return _pinning(topology, node, cores, vcpus, host_cores, warnings)
    raise RefusedError(
        f"{vcpus} vCPUs do not fit on one NUMA node: "
        + "; ".join(_room(topology, node, host_cores, taken) for node in nodes)
        + f". Give the guest fewer vCPUs, the host fewer cores (host_cores is {host_cores}), or unpin another guest."
    )


def judge_placement(topology: Topology, cpus: t.Collection[int]) -> tuple[str, ...]:
    """Warnings about a guest's set of CPUs, planned or chosen by hand: torn cores and torn level 3 caches.

    Where all CPUs of the node share one cache there is nothing to choose and nothing to say.
    """
    chosen = set(cpus)
    warnings: list[str] = []
    torn = [cpu for core in topology.cores if chosen & set(core.threads) for cpu in core.threads if cpu not in chosen]
    if torn:
        warnings.append(
            f"CPUs {format_cpulist(torn)} are threads of the guest's cores, but not the guest's: they slow it down"
        )
    used = [set(domain) for domain in topology.l3_domains if chosen & set(domain)]
    shared = sorted(cpu for domain in used for cpu in domain - chosen)
    if shared and len(used) > 1:
        warnings.append(
            f"CPUs {format_cpulist(chosen)} span {len(used)} level 3 caches and leave CPUs {format_cpulist(shared)} "
            "of them to others: expect evictions, and slow traffic between the caches"
        )
    elif shared and _has_choice(topology, chosen):
        warnings.append(
            f"CPUs {format_cpulist(shared)} share the level 3 cache with the guest's {format_cpulist(chosen)}: "
            "what runs there evicts the guest's data"
        )
    return tuple(warnings)


def _has_choice(topology: Topology, chosen: set[int]) -> bool:
    """Whether the nodes of these CPUs have more than one level 3 cache."""
    nodes = {cpu.node for cpu in topology.cpus if cpu.number in chosen}
    return len({cpu.l3 for cpu in topology.cpus if cpu.node in nodes}) > 1


def _free_cores(topology: Topology, node: int, host_cores: int, taken: t.Collection[int]) -> list[Core]:
    unavailable = {*host_cpus(topology, node, host_cores), *taken}
    return [core for core in topology.cores if core.node == node and not unavailable & set(core.threads)]


def _choose(
    topology: Topology, node: int, vcpus: int, host_cores: int, taken: t.Collection[int], prefer: t.Collection[int]
) -> tuple[Core, ...]:
    free = _free_cores(topology, node, host_cores, taken)
    used_by_host = set(host_cpus(topology, node, host_cores))
    preferred = [core for core in free if set(core.threads) <= set(prefer)]
    for among in (preferred, free):
        # Cores of one kind and one number of threads; only they can be described to a guest as they are.
        alike = {
            shape: [core for core in among if _shape(core) == shape]
            for shape in sorted({_shape(core) for core in among})
        }
        for cores in (*alike.values(), among):
            domains: dict[tuple[int, ...], list[Core]] = {}
            for core in cores:
                domains.setdefault(core.l3, []).append(core)
            ranked = sorted(domains, key=lambda l3: (bool(used_by_host & set(l3)), len(domains[l3]), l3))
            for candidates in (*(domains[l3] for l3 in ranked), cores):
                chosen = _first_that_suffice(candidates, vcpus)
                if chosen:
                    return chosen
    return ()


def _shape(core: Core) -> tuple[int, int]:
    # Performance cores come first, then those with more threads.
    return (1 if core.kind == "efficiency" else 0, -len(core.threads))


def _first_that_suffice(cores: t.Sequence[Core], vcpus: int) -> tuple[Core, ...]:
    """The first cores whose threads suffice, or nothing."""
    totals = list(itertools.accumulate(len(core.threads) for core in cores))
    needed = next((number for number, total in enumerate(totals, start=1) if total >= vcpus), None)
    return () if needed is None else tuple(cores[:needed])


def _pinning(
    topology: Topology, node: int, cores: t.Sequence[Core], vcpus: int, host_cores: int, warnings: t.Sequence[str]
) -> Pinning:
    threads = len(cores[0].threads)
    said = list(warnings)
    if len({_shape(core) for core in cores}) > 1:
        threads = 1
        said.append(f"the guest's {vcpus} vCPUs get different kinds of cores: it sees {vcpus} single-threaded ones")
    elif vcpus % threads:
        said.append(
            f"{vcpus} vCPUs do not fill whole cores of {threads} threads: the guest sees {vcpus} single-threaded ones"
        )
        threads = 1
    pins = [cpu for core in cores for cpu in core.threads][:vcpus]
    reserved = tuple(sorted(cpu for core in cores for cpu in core.threads))
    return Pinning(
        vcpus=tuple((cpu,) for cpu in pins),
        emulator=host_cpus(topology, node, host_cores),
        reserved=reserved,
        node=node,
        sockets=1,
        cores=vcpus // threads,
        threads=threads,
        warnings=(*said, *judge_placement(topology, reserved)),
    )


def _room(topology: Topology, node: int, host_cores: int, taken: t.Collection[int]) -> str:
    everything = [core for core in topology.cores if core.node == node]
    free = _free_cores(topology, node, host_cores, taken)
    here = {cpu for core in everything for cpu in core.threads}
    host = host_cpus(topology, node, host_cores)
    others = sorted(set(taken) & here)
    text = f"node {node} has {sum(len(core.threads) for core in everything)} CPUs in {len(everything)} cores"
    text += f", the host keeps {format_cpulist(host) or 'none'}"
    if others:
        text += f", other guests have {format_cpulist(others)}"
    return f"{text}, {sum(len(core.threads) for core in free)} are free in whole cores"

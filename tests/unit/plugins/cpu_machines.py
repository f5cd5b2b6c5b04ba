# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines whose CPUs the tests plan for, as values and as the sysfs trees that describe them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.cpulist import format_cpulist
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.topology import Cpu, Topology


@dataclasses.dataclass(frozen=True)
class Shape:
    """One core: its threads and where it is; ``l3`` is the number of its cache."""

    threads: tuple[int, ...]
    l3: int = 0
    node: int = 0
    socket: int = 0
    kind: str | None = None


def topology_of(
    shapes: tuple[Shape, ...],
    *,
    offline: tuple[int, ...] = (),
    isolated: tuple[int, ...] = (),
    nohz_full: tuple[int, ...] | None = (),
) -> Topology:
    caches: dict[int, tuple[int, ...]] = {}
    for shape in shapes:
        online = tuple(thread for thread in shape.threads if thread not in offline)
        caches[shape.l3] = tuple(sorted((*caches.get(shape.l3, ()), *online)))
    cpus = [
        Cpu(
            number=thread,
            socket=shape.socket,
            die=0,
            core=position,
            siblings=tuple(other for other in shape.threads if other not in offline),
            l3=caches[shape.l3],
            node=shape.node,
            kind=shape.kind,
        )
        for position, shape in enumerate(shapes)
        for thread in shape.threads
        if thread not in offline
    ]
    return Topology(tuple(sorted(cpus, key=lambda cpu: cpu.number)), offline, isolated, nohz_full)


def write_tree(base: Path, topology: Topology) -> None:
    """The files that the kernel would show for ``topology``; an offline CPU has a directory and no topology."""

    def put(path: str, text: str) -> None:
        target = base / "sys/devices/system" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text + "\n")

    present = (*topology.online, *topology.offline)
    put("cpu/present", format_cpulist(present))
    put("cpu/online", format_cpulist(topology.online))
    put("cpu/offline", format_cpulist(topology.offline))
    put("cpu/isolated", format_cpulist(topology.isolated))
    if topology.nohz_full is not None:
        put("cpu/nohz_full", format_cpulist(topology.nohz_full) or "(null)")
    for number in topology.offline:
        put(f"cpu/cpu{number}/online", "0")
    for cpu in topology.cpus:
        where = f"cpu/cpu{cpu.number}"
        put(f"{where}/topology/physical_package_id", str(cpu.socket))
        put(f"{where}/topology/die_id", str(cpu.die))
        put(f"{where}/topology/core_id", str(cpu.core))
        put(f"{where}/topology/thread_siblings_list", format_cpulist(cpu.siblings))
        for index, level in enumerate((1, 1, 2, 3)):
            put(f"{where}/cache/index{index}/level", str(level))
            put(f"{where}/cache/index{index}/shared_cpu_list", format_cpulist(cpu.l3 if level == 3 else cpu.siblings))
    for node in topology.nodes:
        put(f"node/node{node}/cpulist", format_cpulist(cpu.number for cpu in topology.cpus if cpu.node == node))
    for kind, directory in (("performance", "cpu_core"), ("efficiency", "cpu_atom")):
        cpus = [cpu.number for cpu in topology.cpus if cpu.kind == kind]
        if cpus:
            put(f"../{directory}/cpus", format_cpulist(cpus))


# Siblings side by side, two caches of three cores.
RYZEN_1600 = tuple(Shape((2 * core, 2 * core + 1), l3=core // 3) for core in range(6))

# Siblings six apart, one cache.
CORE_8700K = tuple(Shape((core, core + 6)) for core in range(6))

# Two sockets, each a NUMA node with a cache of its own.
TWO_SOCKETS = tuple(Shape((core, core + 8), l3=core // 4, node=core // 4, socket=core // 4) for core in range(8))

# One socket, four cores behind each of four caches.
EPYC = tuple(Shape((core, core + 16), l3=core // 4) for core in range(16))

HYBRID = (
    *(Shape((2 * core, 2 * core + 1), kind="performance") for core in range(4)),
    *(Shape((cpu,), kind="efficiency") for cpu in range(8, 16)),
)

PLAIN = tuple(Shape((cpu,)) for cpu in range(4))

MACHINES = {
    "ryzen 1600": topology_of(RYZEN_1600),
    "core 8700k": topology_of(CORE_8700K),
    "two sockets": topology_of(TWO_SOCKETS),
    "epyc": topology_of(EPYC),
    "hybrid": topology_of(HYBRID),
    "no smt": topology_of(PLAIN),
    "smt switched off": topology_of(CORE_8700K, offline=tuple(range(6, 12))),
    "half a core off": topology_of(RYZEN_1600, offline=(3,)),
    "isolating": topology_of(RYZEN_1600, isolated=tuple(range(6, 12)), nohz_full=tuple(range(6, 12))),
    "without nohz": topology_of(PLAIN, nohz_full=None),
}

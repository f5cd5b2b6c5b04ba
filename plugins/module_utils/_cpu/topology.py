# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The CPU topology of a host as sysfs tells it (Documentation/ABI/stable/sysfs-devices-system-cpu).

Siblings are always read, never derived from the vendor: a firmware update may renumber the CPUs of the
same machine.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.cpulist import format_cpulist, parse_cpulist
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

CPU_DIRECTORY = "/sys/devices/system/cpu"
NODE_DIRECTORY = "/sys/devices/system/node"

# The PMUs of a hybrid processor name its two kinds of cores; other processors have neither directory.
_KINDS = {"performance": "/sys/devices/cpu_core/cpus", "efficiency": "/sys/devices/cpu_atom/cpus"}


@dataclasses.dataclass(frozen=True)
class Cpu:
    """One online logical CPU.

    ``core`` is the number of the core within its die; ``siblings`` are the threads of this core and
    ``l3`` the CPUs behind the same level 3 cache (``()`` where the CPU has none), both with the CPU itself;
    ``kind`` is ``performance`` or ``efficiency`` on hybrid processors, else ``None``.
    """

    number: int
    socket: int
    die: int
    core: int
    siblings: tuple[int, ...]
    l3: tuple[int, ...]
    node: int
    kind: str | None = None


@dataclasses.dataclass(frozen=True)
class Core:
    """One physical core: its online threads in ascending order, and where it sits."""

    threads: tuple[int, ...]
    l3: tuple[int, ...]
    node: int
    kind: str | None = None


@dataclasses.dataclass(frozen=True)
class Topology:
    """All CPUs of a host, in ascending order. ``offline`` CPUs are present, but have no place while they are off.

    ``nohz_full`` is ``None`` where the running kernel was built without it.
    """

    cpus: tuple[Cpu, ...]
    offline: tuple[int, ...] = ()
    isolated: tuple[int, ...] = ()
    nohz_full: tuple[int, ...] | None = None

    @property
    def online(self) -> tuple[int, ...]:
        return tuple(cpu.number for cpu in self.cpus)

    @property
    def nodes(self) -> tuple[int, ...]:
        """NUMA nodes that have an online CPU."""
        return tuple(sorted({cpu.node for cpu in self.cpus}))

    @property
    def cores(self) -> tuple[Core, ...]:
        """Physical cores, ordered by their first thread."""
        by_threads = {cpu.siblings: Core(cpu.siblings, cpu.l3, cpu.node, cpu.kind) for cpu in self.cpus}
        return tuple(by_threads[threads] for threads in sorted(by_threads))

    @property
    def l3_domains(self) -> tuple[tuple[int, ...], ...]:
        """The sets of CPUs that share a level 3 cache, ordered by their first CPU."""
        return tuple(sorted({cpu.l3 for cpu in self.cpus if cpu.l3}))

    def unusable(self, cpus: t.Iterable[int]) -> tuple[str, ...]:
        """Why CPUs cannot be used, one reason each; empty when all of them are online."""
        online, offline = set(self.online), set(self.offline)
        return tuple(
            f"CPU {cpu} is offline" if cpu in offline else f"CPU {cpu} does not exist"
            for cpu in sorted(set(cpus) - online)
        )

    def to_json(self) -> dict[str, t.Any]:
        """What users see, and enough for :meth:`from_json`; sets of CPUs as lists in the kernel's form."""
        domains = {domain: number for number, domain in enumerate(self.l3_domains)}
        return {
            "online": format_cpulist(self.online),
            "offline": format_cpulist(self.offline),
            "isolated": format_cpulist(self.isolated),
            "nohz_full": None if self.nohz_full is None else format_cpulist(self.nohz_full),
            "smt": any(len(core.threads) > 1 for core in self.cores),
            "sockets": sorted({cpu.socket for cpu in self.cpus}),
            "dies": [
                {"socket": socket, "die": die} for socket, die in sorted({(cpu.socket, cpu.die) for cpu in self.cpus})
            ],
            "nodes": [
                {"node": node, "cpus": format_cpulist(cpu.number for cpu in self.cpus if cpu.node == node)}
                for node in self.nodes
            ],
            "l3_domains": [{"domain": number, "cpus": format_cpulist(domain)} for domain, number in domains.items()],
            "cores": [
                {
                    "cpus": format_cpulist(core.threads),
                    "node": core.node,
                    "l3_domain": domains.get(core.l3),
                    "kind": core.kind,
                }
                for core in self.cores
            ],
            "cpus": [
                {
                    "cpu": cpu.number,
                    "socket": cpu.socket,
                    "die": cpu.die,
                    "core": cpu.core,
                    "siblings": format_cpulist(cpu.siblings),
                    "l3_domain": domains.get(cpu.l3),
                    "node": cpu.node,
                    "kind": cpu.kind,
                }
                for cpu in self.cpus
            ],
        }

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> Topology:
        domains = {entry["domain"]: parse_cpulist(entry["cpus"]) for entry in data["l3_domains"]}
        cpus = tuple(
            Cpu(
                number=entry["cpu"],
                socket=entry["socket"],
                die=entry["die"],
                core=entry["core"],
                siblings=parse_cpulist(entry["siblings"]),
                l3=domains.get(entry["l3_domain"], ()),
                node=entry["node"],
                kind=entry["kind"],
            )
            for entry in data["cpus"]
        )
        nohz_full = data["nohz_full"]
        return cls(
            cpus=cpus,
            offline=parse_cpulist(data["offline"]),
            isolated=parse_cpulist(data["isolated"]),
            nohz_full=None if nohz_full is None else parse_cpulist(nohz_full),
        )


def read_topology(root: Root) -> Topology:
    """Read sysfs once; raises nothing for a tree without CPUs, which gives an empty topology."""
    online = _read_set(root, f"{CPU_DIRECTORY}/online") or _numbered(root, CPU_DIRECTORY, "cpu")
    present = _read_set(root, f"{CPU_DIRECTORY}/present") or online
    nodes = _nodes(root)
    kinds = {cpu: kind for kind, path in _KINDS.items() for cpu in _read_set(root, path) or ()}
    l3 = _L3Reader(root, frozenset(online))
    cpus = tuple(
        _read_cpu(root, number, frozenset(online), nodes.get(number, 0), kinds.get(number), l3) for number in online
    )
    return Topology(
        cpus=cpus,
        offline=tuple(sorted(set(present) - set(online))),
        isolated=_read_set(root, f"{CPU_DIRECTORY}/isolated") or (),
        nohz_full=_read_set(root, f"{CPU_DIRECTORY}/nohz_full"),
    )


def pci_device_node(root: Root, address: str) -> int | None:
    """The NUMA node of a PCI function (full BDF address), ``None`` where the firmware names none.

    Raises :class:`HostStateError` where there is no such function.
    """
    directory = f"/sys/bus/pci/devices/{address}"
    if not root.exists(directory):
        raise HostStateError(f"there is no PCI device {address} on this host: its NUMA node cannot be known")
    word = root.read_word(f"{directory}/numa_node")
    return None if word is None or int(word) < 0 else int(word)


class _L3Reader:
    """Finds level 3 domains; a domain that is known is not read again for each of its CPUs."""

    def __init__(self, root: Root, online: frozenset[int]) -> None:
        self._root = root
        self._online = online
        self._known: dict[int, tuple[int, ...]] = {}

    def domain(self, number: int) -> tuple[int, ...]:
        if number not in self._known:
            cpus = self._read(number)
            self._known.update(dict.fromkeys(cpus or (number,), cpus))
        return self._known[number]

    def _read(self, number: int) -> tuple[int, ...]:
        directory = f"{CPU_DIRECTORY}/cpu{number}/cache"
        # The level 3 cache is index3 nearly everywhere; the others are looked at where it is not.
        names = sorted(self._root.listdir(directory), key=lambda name: (name != "index3", name))
        for name in names:
            if self._root.read_word(f"{directory}/{name}/level") == "3":
                shared = _read_set(self._root, f"{directory}/{name}/shared_cpu_list") or (number,)
                return tuple(cpu for cpu in shared if cpu in self._online)
        return ()


def _read_cpu(root: Root, number: int, online: frozenset[int], node: int, kind: str | None, l3: _L3Reader) -> Cpu:
    directory = f"{CPU_DIRECTORY}/cpu{number}/topology"
    # core_cpus_list is the newer name of thread_siblings_list (Linux 5.3).
    siblings = _read_set(root, f"{directory}/thread_siblings_list") or _read_set(root, f"{directory}/core_cpus_list")
    return Cpu(
        number=number,
        socket=_read_number(root, f"{directory}/physical_package_id"),
        die=_read_number(root, f"{directory}/die_id"),
        core=_read_number(root, f"{directory}/core_id", number),
        siblings=tuple(cpu for cpu in siblings or () if cpu in online) or (number,),
        l3=l3.domain(number),
        node=node,
        kind=kind,
    )


def _nodes(root: Root) -> dict[int, int]:
    nodes: dict[int, int] = {}
    for node in _numbered(root, NODE_DIRECTORY, "node"):
        nodes.update(dict.fromkeys(_read_set(root, f"{NODE_DIRECTORY}/node{node}/cpulist") or (), node))
    return nodes


def _numbered(root: Root, directory: str, prefix: str) -> tuple[int, ...]:
    pattern = re.compile(rf"{prefix}([0-9]+)")
    matches = (pattern.fullmatch(name) for name in root.listdir(directory))
    return tuple(sorted(int(match.group(1)) for match in matches if match))


def _read_set(root: Root, path: str) -> tuple[int, ...] | None:
    """The CPUs of a list attribute; ``None`` where the file is missing, ``()`` where it is empty."""
    text = root.read_text(path)
    if text is None:
        return None
    # drivers/base/cpu.c prints the mask of nohz_full even where it was never allocated.
    return () if text.strip() == "(null)" else parse_cpulist(text)


def _read_number(root: Root, path: str, default: int = 0) -> int:
    # -1 is how an architecture says that it has no such level.
    word = root.read_word(path)
    return default if word is None or int(word) < 0 else int(word)

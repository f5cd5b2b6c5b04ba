# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Huge pages: what is wanted, what the host has, whether it fits, and the kernel arguments for it.

Sizes are in KiB throughout. Rules from Documentation/admin-guide/mm/hugetlbpage.rst and mm/hugetlb.c.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.values import as_int

POOLS_DIRECTORY = "/sys/kernel/mm/hugepages"
NODES_DIRECTORY = "/sys/devices/system/node"

# nr_overcommit_hugepages has no kernel argument, and its sysctl reaches the default size only.
DROP_IN = "/etc/tmpfiles.d/virtfleet-passthrough-hugepages.conf"

GIB = 1024 * 1024

# What every node keeps beside its huge pages: its kernel threads, page tables and per-CPU memory live there.
NODE_RESERVE_KB = 256 * 1024

# hugepages=<node>:<count> came with Linux 5.16; an older kernel reads only the digits before the colon.
NODE_FORM_SINCE = (5, 16)

_UNITS = {"k": 1, "m": 1024, "g": GIB, "t": 1024 * GIB}
_SIZE = re.compile(r"([0-9]+)\s*([kmgt])(?:i?b)?", re.IGNORECASE)


def parse_size(text: t.Any, option: str) -> int:
    """``1G``, ``2M``, ``2048k``, ``1GiB`` in KiB (powers of 1024, as the kernel counts)."""
    match = _SIZE.fullmatch(str(text).strip())
    if match is None or int(match.group(1)) == 0:
        raise InputError(f"{option} is '{text}': expected a size with its unit, such as 1G or 2M")
    return int(match.group(1)) * _UNITS[match.group(2).lower()]


def format_size(size_kb: int) -> str:
    """The shortest exact form (``1G``, ``512M``, ``64K``), as the kernel's ``hugepagesz=`` takes it."""
    for unit, factor in (("G", GIB), ("M", 1024)):
        if size_kb and size_kb % factor == 0:
            return f"{size_kb // factor}{unit}"
    return f"{size_kb}K"


def amount(size_kb: int) -> str:
    """Memory for people: ``15.6 GiB`` or ``512 MiB``."""
    return f"{size_kb / GIB:.1f} GiB" if size_kb >= GIB else f"{size_kb // 1024} MiB"


@dataclasses.dataclass(frozen=True)
class Request:
    """Pages somebody asked for; ``near`` is the name of a device whose node they shall be on."""

    size_kb: int
    count: int
    node: int | None = None
    near: str | None = None

    @classmethod
    def parse(cls, data: t.Any, option: str = "pools") -> Request:
        """One entry of ``pools``; raises :class:`InputError` naming what is wrong with it."""
        if not isinstance(data, t.Mapping):
            raise InputError(
                f"{option} has the entry '{data}': expected size and count, such as {{size: 1G, count: 16}}"
            )
        unknown = sorted(set(data) - {"size", "count", "node", "near"})
        if unknown:
            raise InputError(f"{option} has an entry with '{unknown[0]}': expected only size, count, node and near")
        if data.get("size") is None or data.get("count") is None:
            raise InputError(
                f"{option} has an entry without {'size' if data.get('size') is None else 'count'}: {dict(data)}"
            )
        near = data.get("near")
        if near is not None and data.get("node") is not None:
            raise InputError(f"{option} has an entry with both node and near ('{near}'): expected one of them")
        if near is not None and not isinstance(near, str):
            raise InputError(f"{option}.near is '{near}': expected the name of an entry of vfio_devices")
        return cls(
            size_kb=parse_size(data["size"], f"{option}.size"),
            count=as_int(data["count"], f"{option}.count", 0),
            node=None if data.get("node") is None else as_int(data["node"], f"{option}.node", 0),
            near=near,
        )


def parse_requests(wanted: t.Any) -> list[Request] | None:
    """``pools`` as requests; ``None`` stays ``None``. Raises :class:`InputError`."""
    if wanted is None:
        return None
    if not isinstance(wanted, (list, tuple)):
        raise InputError(f"pools is '{wanted}': expected a list of entries such as {{size: 1G, count: 16}}")
    return [Request.parse(entry) for entry in wanted]


def parse_overcommit(wanted: t.Any) -> dict[int, int] | None:
    """``[{size, count}]`` as pages per size in KiB; ``None`` stays ``None``. Raises :class:`InputError`."""
    if wanted is None:
        return None
    if not isinstance(wanted, (list, tuple)):
        raise InputError(f"overcommit is '{wanted}': expected a list of entries such as {{size: 2M, count: 512}}")
    limits: dict[int, int] = {}
    for entry in wanted:
        request = Request.parse(entry, "overcommit")
        if request.node is not None or request.near is not None:
            raise InputError(
                "overcommit has an entry with node or near: the kernel has one limit per size for the whole host"
            )
        if request.size_kb in limits:
            raise InputError(
                f"overcommit names the size {format_size(request.size_kb)} twice: expected one limit per size"
            )
        limits[request.size_kb] = request.count
    return dict(sorted(limits.items()))


@dataclasses.dataclass(frozen=True, order=True)
class Pool:
    """Pages of one size in one place: a NUMA node, or ``None`` for the host as a whole."""

    size_kb: int
    node: int | None
    count: int

    @property
    def name(self) -> str:
        """How people read it, and the ledger's key."""
        return pool_name(self.size_kb, self.node)

    def to_json(self) -> dict[str, t.Any]:
        return {"size": format_size(self.size_kb), "node": self.node, "count": self.count}


def pool_name(size_kb: int, node: int | None) -> str:
    return f"{format_size(size_kb)} pages" + ("" if node is None else f" on node {node}")


@dataclasses.dataclass(frozen=True)
class PoolState:
    """What the kernel has of one size: ``total`` without surplus (overcommitted) pages, ``free`` of them."""

    size_kb: int
    total: int
    free: int


@dataclasses.dataclass(frozen=True)
class NodeState:
    """One NUMA node with memory; ``available_kb`` is what it could give away now (free memory and half of
    the page cache and reclaimable slabs, a cautious form of the kernel's own MemAvailable)."""

    node: int
    memory_kb: int
    available_kb: int
    pools: tuple[PoolState, ...]

    def pool(self, size_kb: int) -> PoolState:
        return next((pool for pool in self.pools if pool.size_kb == size_kb), PoolState(size_kb, 0, 0))


@dataclasses.dataclass(frozen=True)
class HugepagesState:
    """The huge pages of a host. ``overcommit`` and ``unfaulted`` (pages promised to a process that has not
    touched them yet) are per size; the kernel counts them for the host as a whole."""

    sizes: tuple[int, ...]
    default_kb: int
    nodes: tuple[NodeState, ...]
    overcommit: t.Mapping[int, int]
    unfaulted: t.Mapping[int, int]
    boot_id: str = ""
    transparent: str | None = None

    def pool(self, size_kb: int, node: int | None) -> PoolState:
        """The state in one place; ``None`` sums up all nodes."""
        pools = [state.pool(size_kb) for state in self.nodes if node in (None, state.node)]
        return PoolState(size_kb, sum(pool.total for pool in pools), sum(pool.free for pool in pools))

    def in_use(self, size_kb: int, node: int | None) -> int:
        """Pages that cannot be given back now."""
        pool = self.pool(size_kb, node)
        return min(pool.total, pool.total - pool.free + self.unfaulted.get(size_kb, 0))

    def to_json(self) -> dict[str, t.Any]:
        return {
            "sizes": list(self.sizes),
            "default_kb": self.default_kb,
            "nodes": [dataclasses.asdict(node) for node in self.nodes],
            "overcommit": {str(size): number for size, number in self.overcommit.items()},
            "unfaulted": {str(size): number for size, number in self.unfaulted.items()},
            "boot_id": self.boot_id,
            "transparent": self.transparent,
        }

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> HugepagesState:
        nodes = tuple(
            NodeState(
                node=node["node"],
                memory_kb=node["memory_kb"],
                available_kb=node["available_kb"],
                pools=tuple(PoolState(**pool) for pool in node["pools"]),
            )
            for node in data["nodes"]
        )
        return cls(
            sizes=tuple(data["sizes"]),
            default_kb=data["default_kb"],
            nodes=nodes,
            overcommit={int(size): number for size, number in data["overcommit"].items()},
            unfaulted={int(size): number for size, number in data["unfaulted"].items()},
            boot_id=data["boot_id"],
            transparent=data["transparent"],
        )


def read_hugepages(root: Root) -> HugepagesState:
    """Read sysfs once. A kernel without NUMA counts as one node 0."""
    sizes = _sizes(root, POOLS_DIRECTORY)
    meminfo = _meminfo(root.read_text("/proc/meminfo") or "")
    numbers = sorted(int(name[4:]) for name in root.listdir(NODES_DIRECTORY) if re.fullmatch(r"node[0-9]+", name))
    nodes = [_read_node(root, number, sizes) for number in numbers]
    if not nodes:
        nodes = [_node_state(0, meminfo, _read_pools(root, POOLS_DIRECTORY, sizes))]
    modes = re.search(r"\[(\w+)\]", root.read_text("/sys/kernel/mm/transparent_hugepage/enabled") or "")
    return HugepagesState(
        sizes=sizes,
        default_kb=meminfo.get("Hugepagesize", 0),
        nodes=tuple(node for node in nodes if node.memory_kb),
        overcommit={size: _read_count(root, pool_file(size, None, "nr_overcommit_hugepages")) for size in sizes},
        unfaulted={size: _read_count(root, pool_file(size, None, "resv_hugepages")) for size in sizes},
        boot_id=root.read_word("/proc/sys/kernel/random/boot_id") or "",
        transparent=modes.group(1) if modes else None,
    )


def read_state(root: Root, _run: Runner, _ledger: Ledger, _wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The reader of the plan's component ``hugepages``: :meth:`HugepagesState.to_json` and, as ``drop_in``,
    what :data:`DROP_IN` holds (``None``: it is not there)."""
    return {**read_hugepages(root).to_json(), "drop_in": root.read_text(DROP_IN)}


def drop_in_content(overcommit: t.Mapping[int, int]) -> str:
    """:data:`DROP_IN` for the given limits per size, see tmpfiles.d(5) on ``w``."""
    lines = ["# Written by the Ansible collection virtfleet.passthrough, module hugepages, option overcommit.\n"]
    lines += [
        f"w {pool_file(size, None, 'nr_overcommit_hugepages')} - - - - {number}\n"
        for size, number in sorted(overcommit.items())
    ]
    return "".join(lines)


def pool_file(size_kb: int, node: int | None, name: str) -> str:
    """A pool's attribute in sysfs, of one node or of the host."""
    directory = POOLS_DIRECTORY if node is None else f"{NODES_DIRECTORY}/node{node}/hugepages"
    return f"{directory}/hugepages-{size_kb}kB/{name}"


def read_total(root: Root, size_kb: int, node: int | None) -> int:
    """Pages in one place without surplus ones, read again."""
    nr, surplus = (_read_count(root, pool_file(size_kb, node, name)) for name in ("nr_hugepages", "surplus_hugepages"))
    return nr - surplus


def resolve(requests: t.Iterable[Request], state: HugepagesState, near: t.Mapping[str, int | None]) -> tuple[Pool, ...]:
    """Bring requests to pools: names to nodes, requests for one place added up, largest pages first.

    ``near`` maps names of devices to their NUMA node (``None``: the firmware names none, which on a host
    with several nodes means the first one). On a host with one node every pool is the host's.
    """
    numbers = [node.node for node in state.nodes]
    counts: dict[tuple[int, int | None], int] = {}
    for request in requests:
        node = request.node if request.near is None else near[request.near]
        if node is None and request.near is not None and numbers:
            node = numbers[0]
        if node is not None and node not in numbers:
            raise InputError(
                f"{request.count} huge pages of {format_size(request.size_kb)} are wanted on NUMA node {node}: "
                f"this host has memory on {'node' if len(numbers) == 1 else 'nodes'} {', '.join(map(str, numbers))}"
            )
        place = (request.size_kb, None if len(numbers) <= 1 else node)
        counts[place] = counts.get(place, 0) + request.count
    for size_kb, node in counts:
        if node is not None and (size_kb, None) in counts:
            raise InputError(
                f"huge pages of {format_size(size_kb)} are wanted both on node {node} and on no particular node: "
                "the kernel takes one form or the other for one size, so give every such entry a node (or near)"
            )
    pools = (Pool(size_kb, node, count) for (size_kb, node), count in counts.items())
    return tuple(sorted(pools, key=lambda pool: (-pool.size_kb, -1 if pool.node is None else pool.node)))


def unsupported(pools: t.Iterable[Pool], state: HugepagesState) -> tuple[str, ...]:
    """Sizes that this machine does not have, one reason each."""
    reasons: list[str] = []
    for size_kb in sorted({pool.size_kb for pool in pools if pool.count} - set(state.sizes)):
        has = ", ".join(format_size(size) for size in state.sizes) or "none"
        why = " (the processor lacks the flag pdpe1gb, or the hypervisor hides it)" if size_kb == GIB else ""
        reasons.append(f"this machine has no huge pages of {format_size(size_kb)}{why}: it has {has}")
    return tuple(reasons)


def misfits(
    pools: t.Sequence[Pool], state: HugepagesState, reserve_kb: int, other_kb: t.Mapping[int, int]
) -> tuple[str, ...]:
    """Why the pages do not fit into memory, with the numbers; empty when they do.

    A host whose memory is all huge pages does not boot. ``reserve_kb`` stays with the host in total and
    :data:`NODE_RESERVE_KB` with each node; ``other_kb`` are huge pages per node that are somebody else's.
    """
    reasons: list[str] = []
    for node in state.nodes:
        here = [pool for pool in pools if pool.node == node.node and pool.count]
        wanted_kb = sum(pool.size_kb * pool.count for pool in here)
        room_kb = node.memory_kb - NODE_RESERVE_KB - other_kb.get(node.node, 0)
        if here and wanted_kb > room_kb:
            reasons.append(
                f"node {node.node} has {amount(node.memory_kb)} of memory: " + _shortage(here, room_kb, wanted_kb)
            )
    total_kb = sum(node.memory_kb for node in state.nodes)
    wanted_kb = sum(pool.size_kb * pool.count for pool in pools)
    room_kb = total_kb - reserve_kb - sum(other_kb.values())
    if wanted_kb and wanted_kb > room_kb:
        reasons.append(
            f"the host has {amount(total_kb)} of memory and keeps {amount(reserve_kb)} (option reserve): "
            + _shortage([pool for pool in pools if pool.count], room_kb, wanted_kb)
        )
    return tuple(reasons)


def _shortage(pools: t.Sequence[Pool], room_kb: int, wanted_kb: int) -> str:
    asked = " and ".join(f"{pool.count} pages of {format_size(pool.size_kb)}" for pool in pools)
    text = f"{asked} ({amount(wanted_kb)}) are wanted and {amount(max(0, room_kb))} can be huge pages"
    if len(pools) == 1:
        text += f", at most {max(0, room_kb) // pools[0].size_kb} pages"
    return text


def overcommit_refusals(overcommit: t.Iterable[int], state: HugepagesState) -> tuple[str, ...]:
    """Sizes (KiB) that cannot be overcommitted, one reason each."""
    reasons = list(unsupported([Pool(size, None, 1) for size in overcommit], state))
    # hstate_is_gigantic() in mm/hugetlb.c: beyond the page allocator's largest block the kernel answers EINVAL.
    reasons += [
        f"the kernel does not overcommit huge pages of {format_size(size)}: reserve them"
        for size in overcommit
        if size >= GIB
    ]
    return tuple(reasons)


def kernel_args(pools: t.Sequence[Pool], default_kb: int | None = None) -> list[str]:
    """The tokens that reserve ``pools`` at boot; their order is their meaning.

    ``hugepages=`` belongs to the ``hugepagesz=`` right before it, and a size may appear once.
    """
    tokens = [] if default_kb is None else [f"default_hugepagesz={format_size(default_kb)}"]
    for size_kb in sorted({pool.size_kb for pool in pools if pool.count}, reverse=True):
        counts = [pool for pool in pools if pool.size_kb == size_kb and pool.count]
        places = (str(pool.count) if pool.node is None else f"{pool.node}:{pool.count}" for pool in counts)
        tokens += [f"hugepagesz={format_size(size_kb)}", f"hugepages={','.join(places)}"]
    return tokens


def kernel_version(release: str) -> tuple[int, int]:
    """``(6, 12)`` of ``6.12.48-amd64``; ``(0, 0)`` for something else."""
    match = re.match(r"([0-9]+)\.([0-9]+)", release)
    return (int(match.group(1)), int(match.group(2))) if match else (0, 0)


def _sizes(root: Root, directory: str) -> tuple[int, ...]:
    matches = (re.fullmatch(r"hugepages-([0-9]+)kB", name) for name in root.listdir(directory))
    return tuple(sorted(int(match.group(1)) for match in matches if match))


def _read_node(root: Root, number: int, sizes: t.Sequence[int]) -> NodeState:
    directory = f"{NODES_DIRECTORY}/node{number}"
    text = root.read_text(f"{directory}/meminfo") or ""
    pools = _read_pools(root, f"{directory}/hugepages", sizes)
    return _node_state(number, _meminfo(re.sub(r"(?m)^Node [0-9]+ ", "", text)), pools)


def _node_state(number: int, meminfo: t.Mapping[str, int], pools: tuple[PoolState, ...]) -> NodeState:
    # /proc/meminfo and the nodes' files share these names; one half, because not all of a cache can go.
    reclaimable = sum(meminfo.get(name, 0) for name in ("Active(file)", "Inactive(file)", "SReclaimable"))
    return NodeState(number, meminfo.get("MemTotal", 0), meminfo.get("MemFree", 0) + reclaimable // 2, pools)


def _read_pools(root: Root, directory: str, sizes: t.Sequence[int]) -> tuple[PoolState, ...]:
    pools: list[PoolState] = []
    for size in sizes:
        files = f"{directory}/hugepages-{size}kB"
        surplus = _read_count(root, f"{files}/surplus_hugepages")
        total = _read_count(root, f"{files}/nr_hugepages") - surplus
        pools.append(PoolState(size, total, min(total, _read_count(root, f"{files}/free_hugepages"))))
    return tuple(pools)


def _read_count(root: Root, path: str) -> int:
    return int(root.read_word(path) or 0)


def _meminfo(text: str) -> dict[str, int]:
    pairs = re.findall(r"(?m)^(\S+):\s+([0-9]+)(?: kB)?\s*$", text)
    return {name: int(number) for name, number in pairs}

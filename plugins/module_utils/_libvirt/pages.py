# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""Huge pages that a domain needs against those that are free: the kernel only counts them when it is too late."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import DomainSpec
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.units import format_size

_NODES = "/sys/devices/system/node"

# Page size in KiB → NUMA node → pages, both as text, the way JSON keeps keys.
Pages = t.Mapping[str, t.Mapping[str, int]]


def read_free_pages(root: Root) -> dict[str, dict[str, int]]:
    """Free huge pages by size (KiB) and NUMA node (Documentation/admin-guide/mm/hugetlbpage.rst)."""
    free: dict[str, dict[str, int]] = {}
    for node in root.listdir(_NODES):
        if not node.startswith("node") or not node[4:].isdigit():
            continue
        for pool in root.listdir(f"{_NODES}/{node}/hugepages"):
            count = root.read_word(f"{_NODES}/{node}/hugepages/{pool}/free_hugepages")
            if count is not None:
                free.setdefault(pool[len("hugepages-") : -len("kB")], {})[node[4:]] = int(count)
    return free


def shortage(spec: DomainSpec, free: Pages) -> str | None:
    """Why the domain's memory does not fit into the free pages, in numbers; ``None`` when it does."""
    if spec.hugepages is None:
        return None
    needed = spec.memory // spec.hugepages
    nodes = free.get(str(spec.hugepages), {})
    if spec.memory_node is None:
        available, where = sum(nodes.values()), "on this host"
    else:
        available, where = nodes.get(str(spec.memory_node), 0), f"on NUMA node {spec.memory_node}"
    if available >= needed:
        return None
    elsewhere = ", ".join(f"node {node}: {count}" for node, count in sorted(nodes.items()))
    return (
        f"domain '{spec.name}' needs {needed} huge pages of {format_size(spec.hugepages)} for its "
        f"{format_size(spec.memory)} {where}, but {available} are free "
        f"({elsewhere or 'the host has none of this size'})"
    )

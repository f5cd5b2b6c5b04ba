# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""How many huge pages each pool has, shall have, and may be brought to while the host runs. Pure.

Only pages that this collection added are ever given back: the ledger's section ``hugepages`` says how many
there were before, and in which boot that was. After a reboot the pages that our kernel arguments reserved
are ours, provided that the running command line carries those arguments.

``pools`` in that section: name → ``size_kb``, ``node``, ``wanted``, ``boot_id``, ``before``, ``got``.
``overcommit``: size in KiB → ``boot_id``, ``before``, ``written``. ``kernel_args``: the arguments that the
pools' counts were handed out as.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import find_block
from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages.pages import (
    NODE_RESERVE_KB,
    HugepagesState,
    Pool,
    amount,
    pool_name,
)


@dataclasses.dataclass(frozen=True)
class Target:
    """One pool now. ``wanted`` is 0 for one that left the list; ``ours`` of the ``current`` pages were added
    by us; ``goal`` is the number to write (``current``: nothing to do); ``left_over`` are pages that should
    go but are in use: only a reboot, or the end of their user, frees them."""

    size_kb: int
    node: int | None
    current: int
    wanted: int
    ours: int
    goal: int
    left_over: int = 0

    @property
    def name(self) -> str:
        return pool_name(self.size_kb, self.node)

    @property
    def short(self) -> int:
        return max(0, self.wanted - self.current)


@dataclasses.dataclass(frozen=True)
class OvercommitTarget:
    """The limit of surplus pages of one size; ``goal`` is the number to write."""

    size_kb: int
    current: int
    goal: int


def targets(
    state: HugepagesState, record: t.Mapping[str, t.Any], running: t.Sequence[str], pools: t.Sequence[Pool]
) -> tuple[Target, ...]:
    """Every pool that is wanted or recorded. ``record`` is the ledger's section, ``running`` the command line."""
    recorded: t.Mapping[str, t.Mapping[str, t.Any]] = record.get("pools", {})
    places = {(pool.size_kb, pool.node): pool.count for pool in pools}
    for entry in recorded.values():
        places.setdefault((entry["size_kb"], entry["node"]), 0)
    found: list[Target] = []
    for (size_kb, node), wanted in places.items():
        current = state.pool(size_kb, node).total
        ours, reached = _ours(recorded.get(pool_name(size_kb, node)), record, state, running)
        ours = min(current, ours)
        goal, left_over = max(wanted, current), 0
        if wanted < current:
            # What somebody else has added since stays, so the step down is counted from what we had reached.
            aim = current - min(ours, max(0, reached - wanted))
            goal = min(current, max(aim, state.in_use(size_kb, node)))
            left_over = goal - aim
        found.append(Target(size_kb, node, current, wanted, ours, goal, left_over))
    return tuple(found)


def overcommit_targets(
    state: HugepagesState, record: t.Mapping[str, t.Any], wanted: t.Mapping[int, int]
) -> tuple[OvercommitTarget, ...]:
    """Every size whose limit is wanted or recorded.

    One that left the list goes back to what it was, unless somebody has changed it since.
    """
    recorded: t.Mapping[str, t.Mapping[str, t.Any]] = record.get("overcommit", {})
    found = [OvercommitTarget(size, state.overcommit.get(size, 0), number) for size, number in wanted.items()]
    for text, entry in recorded.items():
        size = int(text)
        if size not in wanted:
            current = state.overcommit.get(size, 0)
            before = entry["before"] if entry["boot_id"] == state.boot_id else 0
            found.append(OvercommitTarget(size, current, before if current == entry["written"] else current))
    return tuple(found)


def affordable(
    wishes: t.Sequence[Target], state: HugepagesState, reserve_kb: int, freed: t.Sequence[Target] = ()
) -> tuple[tuple[Target, ...], tuple[Target, ...]]:
    """Split pools that shall grow now into those that memory has room for and those that would starve the host.

    The kernel reclaims hard to satisfy a request: on a busy host that pushes services into swap. ``freed``
    are the pools that shrink before.
    """
    room = {node.node: node.available_kb - NODE_RESERVE_KB for node in state.nodes}
    total = sum(node.available_kb for node in state.nodes) - reserve_kb
    granted: list[Target] = []
    refused: list[Target] = []
    for wish in (*freed, *wishes):
        needed = (wish.goal - wish.current) * wish.size_kb
        if needed > 0 and (needed > total or (wish.node is not None and needed > room.get(wish.node, 0))):
            refused.append(wish)
            continue
        total -= needed
        if wish.node in room:
            room[wish.node] -= needed
        if needed > 0:
            granted.append(wish)
    return tuple(granted), tuple(refused)


def no_room(wish: Target, state: HugepagesState, reserve_kb: int) -> str:
    """Why a pool cannot grow now, with the numbers."""
    available_kb = sum(node.available_kb for node in state.nodes if wish.node in (None, node.node))
    return (
        f"{wish.name}: {wish.short} more would need {amount(wish.short * wish.size_kb)}, "
        f"{amount(available_kb)} could be had now, and the host keeps {amount(reserve_kb)}"
    )


def no_room_now(wish: Target, state: HugepagesState, reserve_kb: int) -> str:
    """The same where pages are wanted for this boot alone."""
    return f"{no_room(wish, state, reserve_kb)}: use timing=boot or both and reboot"


def others_kb(state: HugepagesState, record: t.Mapping[str, t.Any], pools: t.Sequence[Pool]) -> dict[int, int]:
    """Memory per node in huge pages of sizes that are neither wanted nor recorded: somebody else's."""
    ours = {pool.size_kb for pool in pools} | {entry["size_kb"] for entry in record.get("pools", {}).values()}
    return {
        node.node: sum(pool.total * pool.size_kb for pool in node.pools if pool.size_kb not in ours)
        for node in state.nodes
    }


def was_tried(record: t.Mapping[str, t.Any], target: Target, boot_id: str) -> bool:
    """Whether this boot already refused the same number of pages; asking again would only disturb the host."""
    entry = record.get("pools", {}).get(target.name)
    return bool(entry) and entry["boot_id"] == boot_id and entry["wanted"] == target.wanted and bool(entry["tried"])


def _ours(
    entry: t.Mapping[str, t.Any] | None, record: t.Mapping[str, t.Any], state: HugepagesState, running: t.Sequence[str]
) -> tuple[int, int]:
    """How many pages we added to a pool, and what number it had reached by that."""
    if entry is None:
        return 0, 0
    if entry["boot_id"] == state.boot_id:
        return max(0, entry["got"] - entry["before"]), entry["got"]
    arguments = record.get("kernel_args", [])
    reserved = entry["wanted"] if arguments and find_block(running, arguments) is not None else 0
    return reserved, reserved

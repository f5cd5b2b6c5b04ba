# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The plan's component ``hugepages``: pools and limits against what the host has. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import find_block, key
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages.pages import (
    DROP_IN,
    NODE_FORM_SINCE,
    HugepagesState,
    Pool,
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
    resolve,
    unsupported,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages.targets import (
    Target,
    affordable,
    no_room_now,
    others_kb,
    overcommit_targets,
    targets,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest, obstacle
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.arguments import (
    ArgumentsVerdict,
    judge_arguments,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.foreign import foreign_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    Change,
    HostState,
    Refusal,
    Verdict,
)

OWNER = "hugepages"

# What holds where nothing is said; pools and overcommit have no default, because undefined means unmanaged.
DEFAULTS: t.Mapping[str, t.Any] = {"timing": "both", "reserve": "1G", "default_size": None}

TIMINGS = ("boot", "now", "both")


def decide(wanted: t.Mapping[str, t.Any], host: HostState, selected: t.Mapping[str, tuple[Device, ...]]) -> Verdict:
    """``wanted``: ``pools`` and ``overcommit`` (lists, or ``None`` for unmanaged), ``timing``, ``reserve``,
    ``default_size``. ``apply`` has the options of the module ``hugepages`` and ``kernel_args``.

    Raises :class:`InputError` for a value that cannot be meant.
    """
    options = {**DEFAULTS, **{name: value for name, value in wanted.items() if value is not None}}
    if options["timing"] not in TIMINGS:
        raise InputError(f"hugepages timing is '{options['timing']}': expected one of {', '.join(TIMINGS)}")
    reserve_kb = parse_size(options["reserve"], "reserve")
    default_kb = None if options["default_size"] is None else parse_size(options["default_size"], "default_size")
    state = HugepagesState.from_json(host.facts["hugepages"])
    requests = parse_requests(wanted.get("pools"))
    limits = parse_overcommit(wanted.get("overcommit"))
    near, refusals, warnings = _near_nodes(requests or (), state, selected)
    if refusals:
        return Verdict(refusals=tuple(refusals), warnings=tuple(warnings))
    pools = None if requests is None else resolve(requests, state, near)
    arguments = _arguments(host, pools, options["timing"], default_kb)
    reasons = [*unsupported(pools or (), state), *overcommit_refusals(limits or {}, state)]
    reasons += misfits(pools or (), state, reserve_kb, others_kb(state, host.ledger.section("hugepages"), pools or ()))
    reasons += _clashes(host, arguments) if pools is not None else []
    reasons += _no_room(host, state, pools or (), reserve_kb) if options["timing"] == "now" else []
    reasons += _foreign_drop_in(host, limits, options["timing"])
    form, assumptions = _node_form(host, pools or (), options["timing"])
    refusals += [Refusal(None, reason) for reason in (*reasons, *form)]
    judged = judge_arguments(host, OWNER, arguments)
    refusals += judged.refusals
    changes, pending = _judge_pools(host, state, pools, judged, options["timing"], default_kb)
    changes += _judge_overcommit(host, state, limits, options["timing"])
    return Verdict(
        changes=() if refusals else tuple(changes),
        refusals=tuple(refusals),
        warnings=tuple(warnings),
        assumptions=tuple(assumptions),
        pending_reboot=pending and not refusals,
        apply={
            "pools": None if pools is None else [pool.to_json() for pool in pools],
            "overcommit": None
            if limits is None
            else [{"size": format_size(size), "count": number} for size, number in limits.items()],
            "timing": options["timing"],
            "reserve": options["reserve"],
            "default_size": options["default_size"],
            "kernel_args": arguments,
        },
    )


def _near_nodes(
    requests: t.Iterable[Request], state: HugepagesState, selected: t.Mapping[str, tuple[Device, ...]]
) -> tuple[dict[str, int | None], list[Refusal], list[str]]:
    near: dict[str, int | None] = {}
    refusals: list[Refusal] = []
    warnings: list[str] = []
    for name in sorted({request.near for request in requests if request.near is not None}):
        devices = selected.get(name, ())
        if not devices:
            refusals.append(
                Refusal(
                    None,
                    f"huge pages are wanted near '{name}', and no entry of vfio_devices of that name selects a device",
                )
            )
            continue
        near[name] = next((device.numa_node for device in devices if device.numa_node is not None), None)
        if near[name] is None and len(state.nodes) > 1:
            warnings.append(
                f"the firmware names no NUMA node for '{name}' ({devices[0].address}): "
                f"its huge pages go to node {state.nodes[0].node}"
            )
    return near, refusals, warnings


def _arguments(host: HostState, pools: t.Sequence[Pool] | None, timing: str, default_kb: int | None) -> list[str]:
    if pools is None:
        return list(host.ledger.section("kernel_args").get(OWNER, []))
    return [] if timing == "now" else kernel_args(pools, default_kb)


def _clashes(host: HostState, arguments: t.Sequence[str]) -> list[str]:
    """Arguments of somebody else that would swallow ours or be swallowed by them.

    mm/hugetlb.c: a second ``hugepagesz=`` of one size is ignored together with its count, and so is a
    ``hugepages=`` that does not follow a ``hugepagesz=`` of its own.
    """
    if not arguments:
        return []
    ours = set(arguments)
    reasons: list[str] = []
    for title, line in foreign_arguments(host, arguments):
        for position, token in enumerate(line):
            name = key(token)
            lone = name == "hugepages" and (position == 0 or key(line[position - 1]) != "hugepagesz")
            twice = name == "hugepagesz" and _same_size(token, ours)
            if lone or twice:
                reasons.append(
                    f"'{token}' on the command line of '{title}' was written by somebody else, and the kernel would "
                    f"ignore it or '{' '.join(arguments)}': take it away"
                )
    return reasons


def _same_size(token: str, ours: t.Collection[str]) -> bool:
    sizes = {parse_size(argument.partition("=")[2], "hugepagesz") for argument in ours if key(argument) == "hugepagesz"}
    try:
        return parse_size(token.partition("=")[2], "hugepagesz") in sizes
    except InputError:
        return False


def _no_room(host: HostState, state: HugepagesState, pools: t.Sequence[Pool], reserve_kb: int) -> list[str]:
    """Pages that this boot has no memory for; with any other timing the next boot brings them."""
    found = targets(state, host.ledger.section("hugepages"), host.boot["running"], pools)
    shrinking = [target for target in found if target.goal < target.current]
    growing = [target for target in found if target.goal > target.current]
    _granted, starving = affordable(growing, state, reserve_kb, shrinking)
    return [no_room_now(target, state, reserve_kb) for target in starving]


def _foreign_drop_in(host: HostState, limits: t.Mapping[int, int] | None, timing: str) -> list[str]:
    """A file of somebody else, or one that somebody has edited, where ours is to be."""
    present: str | None = host.facts["hugepages"].get("drop_in")
    if present is None or not limits or timing == "now" or present == drop_in_content(limits):
        return []
    reason = obstacle(DROP_IN, digest(present.encode()), host.ledger.section("files").get(DROP_IN))
    return [] if reason is None else [reason]


def _node_form(host: HostState, pools: t.Iterable[Pool], timing: str) -> tuple[list[str], list[str]]:
    """Refusals and assumptions about ``hugepages=<node>:<count>`` on an older kernel."""
    if (
        timing == "now"
        or all(pool.node is None for pool in pools)
        or kernel_version(host.kernel_release) >= NODE_FORM_SINCE
    ):
        return [], []
    if ".el9" in host.kernel_release:
        assumed = (
            f"kernel {host.kernel_release} takes huge pages per NUMA node at boot only where its maker brought that "
            "back from Linux 5.16; whether it did shows after the reboot"
        )
        return [], [assumed]
    refused = (
        f"kernel {host.kernel_release} cannot reserve huge pages on one NUMA node at boot (Linux 5.16 and later can): "
        "install a newer kernel, use timing 'now', or give the pools no node and no near"
    )
    return [refused], []


def _judge_pools(
    host: HostState,
    state: HugepagesState,
    pools: t.Sequence[Pool] | None,
    judged: ArgumentsVerdict,
    timing: str,
    default_kb: int | None,
) -> tuple[list[Change], bool]:
    """Changes to make, and whether a reboot alone brings what is missing."""
    if pools is None:
        return [], False
    running: list[str] = host.boot["running"]
    found = targets(state, host.ledger.section("hugepages"), running, pools)
    short = [target for target in found if target.short]
    other_default = timing != "now" and default_kb not in (None, state.default_kb)
    arguments = [] if timing == "now" else kernel_args(pools, default_kb)
    # A reboot brings only what this boot was not asked for.
    asked = not arguments or find_block(running, arguments) is not None
    waits = bool(short or other_default) and timing != "now" and not asked
    changes = [dataclasses.replace(change, after_reboot=waits) for change in judged.changes]
    if not waits:
        changes += [_change(target, target.wanted) for target in short]
        if other_default and default_kb is not None:
            changes.append(Change("default huge page size", format_size(state.default_kb), format_size(default_kb)))
    if timing != "boot":
        changes += [_change(target, target.goal) for target in found if target.goal < target.current]
    elif not changes:
        waits = waits or any(target.goal < target.current for target in found)
    left_over = any(target.left_over for target in found)
    return changes, waits or left_over


def _change(target: Target, after: int) -> Change:
    return Change(target.name, str(target.current), str(after))


def _judge_overcommit(
    host: HostState, state: HugepagesState, limits: t.Mapping[int, int] | None, timing: str
) -> list[Change]:
    if limits is None:
        return []
    changes: list[Change] = []
    if timing != "boot":
        changes += [
            Change(f"overcommit of {format_size(limit.size_kb)} pages", str(limit.current), str(limit.goal))
            for limit in overcommit_targets(state, host.ledger.section("hugepages"), limits)
            if limit.goal != limit.current
        ]
    present: str | None = host.facts["hugepages"].get("drop_in")
    content = drop_in_content(limits) if limits and timing != "now" else None
    if content is not None and present != content:
        changes.append(Change("overcommit after a reboot", present, content))
    elif content is None and any(record["owner"] == OWNER for record in host.ledger.section("files").values()):
        changes.append(Change("overcommit after a reboot", present, None))
    return changes

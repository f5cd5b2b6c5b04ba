# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The plans of many hosts as one: a table, a document for machines, an exit code. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.columns import Line, Row, table, wrapped
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    DRIFT,
    IN_SYNC,
    PENDING_REBOOT,
    REFUSED,
)

SCHEMA = 1

CHANGED = "changed"
# The run ended before its turn came.
NOT_BEGUN = "not_begun"
FAILED = "failed"
UNREACHABLE = "unreachable"

# From best to worst, each with its exit code; 2 and 4 are Ansible's own for the same, and in Ansible's order.
# A host that still needs its reboot is not in sync. A host that was changed after its plan speaks for itself no more,
# and one whose turn did not come has another to blame.
EXIT_CODES: t.Final[t.Mapping[str, int]] = {
    IN_SYNC: 0,
    NOT_BEGUN: 0,
    CHANGED: 0,
    PENDING_REBOOT: 10,
    DRIFT: 10,
    REFUSED: 11,
    FAILED: 2,
    UNREACHABLE: 4,
}
_ORDER = tuple(EXIT_CODES)
_WORDS = {
    IN_SYNC: "in sync",
    NOT_BEGUN: "not begun",
    CHANGED: "changed now",
    PENDING_REBOOT: "needs reboot",
    DRIFT: "drift",
    REFUSED: "REFUSED",
    FAILED: "FAILED",
    UNREACHABLE: "UNREACHABLE",
}

# What a plan says to machines; the rest of the module's result is for the roles or for people.
_FOR_MACHINES = (
    "status",
    "reboot_required",
    "reboot",
    "devices",
    "kernel_arguments",
    "owned",
    "boot_id",
    "boot_pending",
)
_OF_A_COMPONENT = ("status", "diff", "refusals", "warnings", "assumptions", "reboot_required")

_NO_ANSWER = "no answer from this host: it was not reached, or the run ended before it was asked"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of one host: a status of :data:`EXIT_CODES`, its plan's JSON if one was made, why it has none."""

    host: str
    status: str
    plan: t.Mapping[str, t.Any] | None = None
    message: str = ""


def worst(statuses: t.Iterable[str]) -> str:
    """The status that counts for a fleet; one without hosts is in sync."""
    return max(statuses, key=_ORDER.index, default=IN_SYNC)


def exit_code(outcomes: t.Iterable[Outcome]) -> int:
    """What the process tells a script."""
    return EXIT_CODES[worst(outcome.status for outcome in outcomes)]


def outcome_of(host: str, result: t.Mapping[str, t.Any] | None) -> Outcome:
    """What a result of ``host_plan`` comes to; ``None``: there is none, and nothing else is known."""
    if result is None:
        return Outcome(host, UNREACHABLE, message=_NO_ANSWER)
    if result.get("unreachable"):
        return Outcome(host, UNREACHABLE, message=str(result.get("msg", "")))
    if "components" not in result:
        return Outcome(host, FAILED, message=str(result.get("msg", "no plan was made")))
    return Outcome(host, result["status"], result)


def document(results: t.Mapping[str, t.Mapping[str, t.Any] | None]) -> dict[str, t.Any]:
    """The fleet for machines, from results of ``host_plan`` by host. ``complete``: every host has a result."""
    outcomes = [outcome_of(host, result) for host, result in results.items()]
    return {
        "schema": SCHEMA,
        "complete": None not in results.values(),
        "status": worst(outcome.status for outcome in outcomes),
        "exit_code": exit_code(outcomes),
        "hosts": {outcome.host: _for_machines(outcome) for outcome in outcomes},
    }


def _for_machines(outcome: Outcome) -> dict[str, t.Any]:
    if outcome.plan is None:
        return {"status": outcome.status, "msg": outcome.message}
    components = {
        name: {key: component[key] for key in _OF_A_COMPONENT} for name, component in outcome.plan["components"].items()
    }
    return {**{key: outcome.plan[key] for key in _FOR_MACHINES}, "components": components}


def fleet_table(outcomes: t.Iterable[Outcome], width: int) -> list[Line]:
    """One row for each host, at most ``width`` wide, and the number of hosts of each status below."""
    ordered = sorted(outcomes, key=lambda outcome: outcome.host)
    rows = [
        Row((outcome.host, _WORDS[outcome.status], _reboot(outcome)), (Line(_words(outcome)),), outcome.status)
        for outcome in ordered
    ]
    statuses = [outcome.status for outcome in ordered]
    counts = ", ".join(f"{statuses.count(status)} {_WORDS[status]}" for status in _ORDER if status in statuses)
    total = _count(len(ordered), "host") or "no host"
    return [*table(("HOST", "STATUS", "REBOOT", "WHAT"), rows, width), *wrapped([Line(f"{total}: {counts}")], width)]


def _reboot(outcome: Outcome) -> str:
    reboot = (outcome.plan or {}).get("reboot")
    if outcome.status == CHANGED or reboot is None:
        return "?"
    if not reboot["required"]:
        return "-"
    domains = reboot["running_domains"]
    return "needed" if domains is None else f"needed, stops {_count(len(domains), 'domain') or 'no domain'}"


def _words(outcome: Outcome) -> str:
    if outcome.plan is None:
        return outcome.message
    reboot = {**outcome.plan["reboot"], "diff": (), "status": IN_SYNC}
    judged = {**outcome.plan["components"], "reboot": reboot}
    found = (_few_words(name, component) for name, component in judged.items())
    changes = ", ".join(words for words in found if words)
    return f"before this run: {changes}" if outcome.status == CHANGED and changes else changes


def _few_words(name: str, component: t.Mapping[str, t.Any]) -> str:
    """``vfio 3 changes, 1 refusal``; empty for a component with nothing to say."""
    numbers = (
        _count(len(component["diff"]), "change"),
        _count(len(component["refusals"]), "refusal"),
        _count(len(component["warnings"]), "warning"),
    )
    words = [number for number in numbers if number]
    if component["status"] == PENDING_REBOOT:
        words.insert(0, "waits for the reboot")
    return f"{name}: {' + '.join(words)}" if words else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number > 1)}" if number else ""

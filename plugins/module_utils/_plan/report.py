# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""A plan as lines and as a table for people. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.record import TRYING
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.columns import Line, Row, table
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    DRIFT,
    IN_SYNC,
    PENDING_REBOOT,
    REFUSED,
)

# The width of a table that nobody asked a terminal about: a log, a web page.
WIDTH = 100

ADDED, REMOVED, CHANGED, ASSUMED, WARNING = "added", "removed", "changed", "assumed", "warning"

_WORDS = {
    IN_SYNC: "in sync",
    DRIFT: "will change",
    PENDING_REBOOT: "written, waits for the reboot",
    REFUSED: "REFUSED",
}
# The same where there is little room.
_SHORT_WORDS = {**_WORDS, PENDING_REBOOT: "needs reboot"}


def summary(plan: t.Mapping[str, t.Any]) -> list[str]:
    """Lines from a plan's JSON: devices, then per component its status, changes, refusals, warnings."""
    lines = [_device(name, addresses) for name, addresses in plan["devices"].items()]
    for name, component in plan["components"].items():
        lines.append(f"{name}: {_WORDS[component['status']]}")
        lines += [f"  {line.text}" for line in _details(component)]
    return [*lines, _reboot(plan["reboot"]), *(f"  {line.text}" for line in _of_the_reboot(plan["reboot"]))]


def host_table(plan: t.Mapping[str, t.Any], width: int = WIDTH) -> list[Line]:
    """The same as a table, at most ``width`` wide."""
    rows = [
        Row((name, _SHORT_WORDS[component["status"]]), tuple(_details(component)), component["status"])
        for name, component in plan["components"].items()
    ]
    devices = [
        Row((f"device {name}", ""), (Line(", ".join(addresses)),)) for name, addresses in plan["devices"].items()
    ]
    return table(("COMPONENT", "STATUS", "WHAT AND WHY"), [*devices, *rows, _reboot_row(plan["reboot"])], width)


def _reboot_row(reboot: t.Mapping[str, t.Any]) -> Row:
    word = "needed" if reboot["required"] else "not needed"
    lines = (Line(_cost(reboot)), *_of_the_reboot(reboot))
    if reboot["refusals"]:
        return Row(("reboot", _WORDS[REFUSED]), lines, REFUSED)
    return Row(("reboot", word), lines)


def _device(name: str, addresses: t.Sequence[str]) -> str:
    return f"device {name}: {', '.join(addresses)}"


def _details(component: t.Mapping[str, t.Any]) -> t.Iterator[Line]:
    for change in component["diff"]:
        yield _change(change)
    yield from _refusals(component)
    for assumption in component["assumptions"]:
        yield Line(f"assumed: {assumption}", ASSUMED)
    yield from _warnings(component)


def _refusals(judged: t.Mapping[str, t.Any]) -> t.Iterator[Line]:
    for refusal in judged["refusals"]:
        yield Line(f"refused: {_refusal(refusal)}", REFUSED)


def _warnings(judged: t.Mapping[str, t.Any]) -> t.Iterator[Line]:
    for warning in judged["warnings"]:
        yield Line(f"warning: {warning}", WARNING)


def _of_the_reboot(reboot: t.Mapping[str, t.Any]) -> t.Iterator[Line]:
    yield from _refusals(reboot)
    yield from _warnings(reboot)


def _change(change: t.Mapping[str, t.Any]) -> Line:
    before, after = change["before"], change["after"]
    if before is None:
        kind, text = ADDED, f"+ {change['setting']}: {after}"
    elif after is None:
        kind, text = REMOVED, f"- {change['setting']}: {before}"
    else:
        kind, text = CHANGED, f"~ {change['setting']}: {before} -> {after}"
    because = f", because {change['why']}" if change["why"] else ""
    return Line(f"{text}{' (after the reboot)' if change['after_reboot'] else ''}{because}", kind)


def _refusal(refusal: t.Mapping[str, t.Any]) -> str:
    named = refusal["device"] is None or refusal["device"] in refusal["reason"]
    device = "" if named else f"{refusal['device']}: "
    allow = f" (allow: [{refusal['allow']}] would permit it)" if refusal["allow"] else ""
    return f"{device}{refusal['reason']}{allow}"


def _reboot(reboot: t.Mapping[str, t.Any]) -> str:
    cost = _cost(reboot)
    return f"reboot: one is needed {cost}" if reboot["required"] else f"reboot: none is needed{cost and '; ' + cost}"


def _cost(reboot: t.Mapping[str, t.Any]) -> str:
    """For whom the reboot is, and what goes down with it."""
    if reboot["trial"]["state"] == TRYING:
        return "this boot is on trial and waits to be kept"
    if not reboot["required"]:
        return ""
    domains = reboot["running_domains"]
    if domains is None:
        stops = f"the domains that it shuts down are not known ({reboot['unknown']})"
    elif domains:
        stops = f"it shuts down {len(domains)} running domain{'s' * (len(domains) > 1)}: {', '.join(domains)}"
    else:
        stops = "no domain is running"
    trial = ", on trial" if reboot["trial"]["wanted"] else ""
    return f"for {', '.join(reboot['components'])}{trial}; {stops}"

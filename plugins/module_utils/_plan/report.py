# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""A plan as lines for people. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    DRIFT,
    IN_SYNC,
    PENDING_REBOOT,
    REFUSED,
)

_WORDS = {
    IN_SYNC: "in sync",
    DRIFT: "will change",
    PENDING_REBOOT: "written, waits for the reboot",
    REFUSED: "REFUSED",
}


def summary(plan: t.Mapping[str, t.Any]) -> list[str]:
    """Lines from a plan's JSON: devices, then per component its status, changes, refusals, warnings."""
    lines = [f"device {name}: {', '.join(addresses)}" for name, addresses in plan["devices"].items()]
    for name, component in plan["components"].items():
        lines.append(f"{name}: {_WORDS[component['status']]}")
        lines += [f"  {_change(change)}" for change in component["diff"]]
        lines += [f"  refused: {_refusal(refusal)}" for refusal in component["refusals"]]
        lines += [f"  assumed: {assumption}" for assumption in component["assumptions"]]
        lines += [f"  warning: {warning}" for warning in component["warnings"]]
    lines.append(f"reboot: {'one is needed' if plan['reboot_required'] else 'none is needed'}")
    return lines


def _change(change: t.Mapping[str, t.Any]) -> str:
    before, after = change["before"], change["after"]
    if before is None:
        text = f"+ {change['setting']}: {after}"
    elif after is None:
        text = f"- {change['setting']}: {before}"
    else:
        text = f"~ {change['setting']}: {before} -> {after}"
    return f"{text} (after the reboot)" if change["after_reboot"] else text


def _refusal(refusal: t.Mapping[str, t.Any]) -> str:
    named = refusal["device"] is None or refusal["device"] in refusal["reason"]
    device = "" if named else f"{refusal['device']}: "
    allow = f" (allow: [{refusal['allow']}] would permit it)" if refusal["allow"] else ""
    return f"{device}{refusal['reason']}{allow}"

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the reboot that a plan needs would cost, from what was read anyway. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState, Verdict


@dataclasses.dataclass(frozen=True)
class RunningDomains:
    """Names of all running domains of a host; ``None`` where ``unknown`` says why nobody knows."""

    names: tuple[str, ...] | None
    unknown: str | None = None


NOT_ASKED = RunningDomains(None, "libvirt was not asked")


def running_domains(host: HostState) -> RunningDomains:
    """The domains that a reboot of this host would shut down."""
    facts = host.facts.get("libvirt_domains")
    if facts is None:
        return RunningDomains(None, "libvirt was not asked, because libvirt_domains_list is undefined")
    if facts["running"] is None:
        return RunningDomains(
            None, facts["reason"] or "libvirt was not asked, because libvirt_domains_list names no domain"
        )
    return RunningDomains(tuple(facts["running"]))


def reboot_json(verdicts: t.Mapping[str, Verdict], running: RunningDomains) -> dict[str, t.Any]:
    """``required``; ``components`` that need it; ``running_domains`` that it stops, or why they are ``unknown``."""
    components = [name for name, verdict in verdicts.items() if verdict.reboot_required]
    return {
        "required": bool(components),
        "components": components,
        "running_domains": None if running.names is None else list(running.names),
        "unknown": running.unknown,
    }

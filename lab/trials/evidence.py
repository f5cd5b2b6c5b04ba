# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host is at in this boot, and what speaks against its being on the old entry, or on the new one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.binding.evidence import differing
from lab.trials.cases import Case, Pace

TRIAL = "virtfleet_passthrough.trial="
# What an armed trial adds to the default entry.
PANIC = "panic="


@dataclass(frozen=True)
class Boot:
    """``line`` is the kernel's, ``drivers`` address to driver, ``groups`` the number of IOMMU groups, ``watchdogs``
    the states of the hardware watchdogs, ``uptime`` in seconds."""

    line: Sequence[str]
    kernel: str
    drivers: Mapping[str, str]
    groups: int
    watchdogs: Sequence[str]
    boot_id: str
    uptime: float


def old_boot_faults(before: Boot, now: Boot) -> list[str]:
    """The same kernel, line and drivers as before everything."""
    faults = differing(before.drivers, now.drivers, ())
    line = [token for token in now.line if not token.startswith(PANIC)]
    if line != list(before.line):
        faults.append(f"the kernel's line is {' '.join(now.line)}, it was {' '.join(before.line)}")
    if now.kernel != before.kernel:
        faults.append(f"the kernel is {now.kernel}, it was {before.kernel}")
    if now.groups != before.groups:
        faults.append(f"there are {now.groups} IOMMU groups, there were {before.groups}")
    return faults + _armed_watchdogs(now)


def _armed_watchdogs(now: Boot) -> list[str]:
    return [f"watchdog {number} is {state}" for number, state in enumerate(now.watchdogs) if state != "inactive"]


def new_boot_faults(now: Boot, wanted: Sequence[str]) -> list[str]:
    """What was asked for runs, and nothing of a trial."""
    faults = [f"{token} is not on the kernel's line" for token in wanted if token not in now.line]
    faults += [f"{token} is still on the kernel's line" for token in now.line if token.startswith(TRIAL)]
    if not now.groups:
        faults.append("there are no IOMMU groups")
    return faults + _armed_watchdogs(now)


def trial_faults(now: Boot, wanted: Sequence[str]) -> list[str]:
    """What would keep a boot on trial from being committed."""
    faults = [f"{token} is not on the kernel's line" for token in wanted if token not in now.line]
    return faults + ([] if now.groups else ["there are no IOMMU groups"])


def told_faults(case: Case, told: Mapping[str, Any], away: float, pace: Pace, deadline: float) -> list[str]:
    """What is said of a trial that failed, and how long it took."""
    faults = []
    if told["state"] != "rolled_back":
        faults.append(f"the trial is said to be {told['state']}")
    if case.logged and not told["last_words"]:
        faults.append("no last words are told")
    limit = pace.limit(deadline)
    if away > limit:
        faults.append(f"the host was away for {away:.0f} s, at most {limit:.0f} s are allowed")
    return faults

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host is at in this boot, and what speaks against its being on the old entry, or on the new one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.binding.evidence import VFIO_PCI, differing
from lab.trials.cases import NIC, WATCHDOG, Case
from lab.trials.converge import Outcome, last_words_of

TRIAL = "virtfleet_passthrough.trial="
GENERATION = "virtfleet_passthrough.generation="
# What an armed trial adds to the default entry.
PANIC = "panic="
# What the operator's variables come to in modprobe.d, and there alone.
OPTIONS_FILE = "/etc/modprobe.d/virtfleet-vfio-options.conf"
IN_EFFECT = frozenset({"Y", "ignore_msrs=1"})
# Of ansible-playbook.
FAILED_HOSTS = 2
# Into the boot on trial, and out of it.
TWO = 2
# How the last lines of a run name what happened.
SAID = ("The boot on trial was not kept", "back on its old boot entry", "failed=1")


@dataclass(frozen=True)
class Boot:
    """``line`` is the kernel's, ``drivers`` address to driver, ``groups`` the number of IOMMU groups, ``watchdogs``
    the states of the hardware watchdogs, ``uptime`` in seconds, ``files`` those of ours that no boot entry can switch
    off, ``options`` words that tell what of them is in effect."""

    line: Sequence[str]
    kernel: str
    drivers: Mapping[str, str]
    groups: int
    watchdogs: Sequence[str]
    boot_id: str
    uptime: float
    files: Sequence[str] = ()
    options: Sequence[str] = ()


def old_boot_faults(before: Boot, now: Boot) -> list[str]:
    """The same kernel, line and drivers as before everything."""
    faults = differing(before.drivers, now.drivers, ())
    if _without_panic(now.line) != _without_panic(before.line):
        faults.append(f"the kernel's line is {' '.join(now.line)}, it was {' '.join(before.line)}")
    if now.kernel != before.kernel:
        faults.append(f"the kernel is {now.kernel}, it was {before.kernel}")
    if now.groups != before.groups:
        faults.append(f"there are {now.groups} IOMMU groups, there were {before.groups}")
    faults += [f"{path} is there" for path in now.files if path not in before.files]
    faults += [f"{word} is in effect" for word in IN_EFFECT.intersection(now.options) - set(before.options)]
    return faults + _armed_watchdogs(now)


def _without_panic(line: Sequence[str]) -> list[str]:
    return [token for token in line if not token.startswith(PANIC)]


def _armed_watchdogs(now: Boot) -> list[str]:
    return [f"watchdog {number} is {state}" for number, state in enumerate(now.watchdogs) if state != "inactive"]


def new_boot_faults(now: Boot, wanted: Sequence[str], held: Sequence[str] = (NIC,)) -> list[str]:
    """What was asked for runs, vfio-pci has the devices ``held``, and nothing of a trial is left."""
    faults = [] if list(now.files) == [OPTIONS_FILE] else [f"of ours are there: {' '.join(now.files) or 'no files'}"]
    faults += [f"{word} is not in effect" for word in sorted(IN_EFFECT.difference(now.options))]
    faults += [f"{token} is not on the kernel's line" for token in wanted if token not in now.line]
    if not any(token.startswith(GENERATION) for token in now.line):
        faults.append(f"{GENERATION} is not on the kernel's line")
    faults += [f"{token} is still on the kernel's line" for token in now.line if token.startswith(TRIAL)]
    faults += [
        f"{address} is held by {now.drivers.get(address) or 'no driver'}"
        for address in held
        if now.drivers.get(address) != VFIO_PCI
    ]
    if not now.groups:
        faults.append("there are no IOMMU groups")
    return faults + _armed_watchdogs(now)


def failure_faults(case: Case, outcome: Outcome, told: Mapping[str, Any], limit: float) -> list[str]:
    """What speaks against a run's having failed as ``case`` must; ``told`` is what ``boot_trial`` says afterwards."""
    faults = []
    if outcome.status != FAILED_HOSTS:
        faults.append(f"the run ended with status {outcome.status}, expected {FAILED_HOSTS}")
    said = last_words_of(outcome.said)
    faults += [f"the run does not end with '{words}'" for words in SAID if words not in said]
    if len(outcome.resets) != TWO:
        faults.append(f"the host was reset {len(outcome.resets)} times, expected {TWO}")
    elif outcome.resets[1].watchdog != (case.ended_by == WATCHDOG):
        faults.append(f"the {'hardware watchdog' if outcome.resets[1].watchdog else 'machine itself'} ended the trial")
    if outcome.away > limit:
        faults.append(f"the host was away for {outcome.away:.0f} s, at most {limit:.0f} s are allowed")
    if told["state"] != case.state:
        faults.append(f"the trial is said to be {told['state']}, expected {case.state}")
    if case.logged and not told["last_words"]:
        faults.append("no last words are told")
    if told["last_words"] and told["last_words"][-1].split()[-1] not in said:
        faults.append("the run does not show the last words")
    return faults

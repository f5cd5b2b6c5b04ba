# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Isolating CPUs: which ones, by which kernel arguments, and what the running kernel made of them. Pure.

Rules from Documentation/admin-guide/kernel-parameters.txt and kernel/sched/isolation.c.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import key
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.cpulist import format_cpulist, parse_cpulist
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.topology import Topology
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError

PARAMETERS = ("isolcpus", "nohz_full", "rcu_nocbs", "irqaffinity")

# managed_irq keeps the interrupts of multi-queue devices away as well (Linux 5.6 and later).
_FLAGS = "managed_irq,domain"


@dataclasses.dataclass(frozen=True)
class Isolation:
    """CPUs taken out of the scheduler's balancing, and what else is kept off them."""

    cpus: tuple[int, ...]
    nohz_full: bool = True
    rcu_nocbs: bool = True
    irqaffinity: bool = True

    def kernel_args(self, topology: Topology) -> list[str]:
        """The tokens in a fixed order; none where no CPU is isolated.

        ``nohz_full`` is left out where the kernel was built without it, because it would ignore it.
        """
        if not self.cpus:
            return []
        cpus = format_cpulist(self.cpus)
        tokens = [f"isolcpus={_FLAGS},{cpus}"]
        if self.nohz_full and topology.nohz_full is not None:
            tokens.append(f"nohz_full={cpus}")
        if self.rcu_nocbs:
            tokens.append(f"rcu_nocbs={cpus}")
        if self.irqaffinity:
            tokens.append(f"irqaffinity={format_cpulist(set(topology.online) - set(self.cpus))}")
        return tokens


def refusals(isolation: Isolation, topology: Topology) -> tuple[str, ...]:
    """Why this set must not be isolated, one reason each."""
    cpus = set(isolation.cpus)
    reasons = [
        f"{reason} and cannot be isolated: this host has {format_cpulist(topology.online)}"
        for reason in topology.unusable(cpus)
    ]
    if cpus and cpus >= set(topology.online):
        reasons.append(
            f"isolating {format_cpulist(cpus)} leaves no CPU for the host: it has {format_cpulist(topology.online)}"
        )
    elif 0 in cpus:
        reasons.append("CPU 0 cannot be isolated: it boots the machine, keeps its time and stays with the host")
    return tuple(reasons)


def torn_cores(isolation: Isolation, topology: Topology) -> tuple[int, ...]:
    """Threads that share a core with an isolated CPU without being isolated: what runs there is felt next door."""
    cpus = set(isolation.cpus)
    return tuple(cpu for core in topology.cores if cpus & set(core.threads) for cpu in core.threads if cpu not in cpus)


def unmet(isolation: Isolation, topology: Topology, running: t.Sequence[str]) -> tuple[str, ...]:
    """What the running kernel does otherwise, compared by meaning; empty when it is as wanted.

    The kernel tells its isolated and tickless CPUs; of the other two only the command line is known.
    """
    cpus = set(isolation.cpus)
    differs: list[str] = []
    if set(topology.isolated) != cpus:
        differs.append(
            f"isolated CPUs are {format_cpulist(topology.isolated) or 'none'}, not {format_cpulist(cpus) or 'none'}"
        )
    if topology.nohz_full is not None:
        tickless = cpus if isolation.nohz_full else set()
        has, wants = format_cpulist(topology.nohz_full) or "none", format_cpulist(tickless) or "none"
        if set(topology.nohz_full) != tickless:
            differs.append(f"nohz_full CPUs are {has}, not {wants}")
    for token in isolation.kernel_args(topology):
        name = key(token)
        if name in ("rcu_nocbs", "irqaffinity") and running_set(name, running) != set(
            parse_cpulist(token.partition("=")[2])
        ):
            differs.append(f"the kernel runs without {token}")
    return tuple(differs)


def running_set(name: str, running: t.Sequence[str]) -> set[int] | None:
    """The CPUs that a parameter names on a command line (the last one counts); ``None`` where it is not there
    or in a form that this collection does not write."""
    found = [token.partition("=")[2] for token in running if key(token) == name and "=" in token]
    if not found:
        return None
    lists = [part for part in found[-1].split(",") if part[:1].isdigit()]
    try:
        return set(parse_cpulist(",".join(lists)))
    except InputError:
        return None

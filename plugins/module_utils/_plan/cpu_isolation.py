# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The plan's component ``cpu_isolation``: CPUs that only guests use. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import find_block, key
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.cpulist import format_cpulist, parse_cpulist
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.isolation import (
    PARAMETERS,
    Isolation,
    refusals,
    torn_cores,
    unmet,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.topology import Topology
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.arguments import judge_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState, Refusal, Verdict
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.values import as_bool

OWNER = "cpu_isolation"

# What holds where nothing is said; cpus has no default, because undefined means unmanaged.
DEFAULTS: t.Mapping[str, t.Any] = {"nohz_full": True, "rcu_nocbs": True, "irqaffinity": True}

# Words that cpus takes instead of a list.
DOMAINS = "domains"
NONE = "none"


def decide(wanted: t.Mapping[str, t.Any], host: HostState, _selected: t.Mapping[str, tuple[Device, ...]]) -> Verdict:
    """``wanted``: ``cpus`` (a CPU list, ``domains`` for the CPUs of all pinned domains, or ``none``),
    ``domain_cpus`` (a CPU list, what ``domains`` stands for) and the switches of :data:`DEFAULTS`.
    ``apply`` has ``cpus`` and ``kernel_args``.

    Raises :class:`InputError` for a value that cannot be meant.
    """
    topology = Topology.from_json(host.facts["cpu_isolation"]["topology"])
    domain_cpus = _cpus(wanted.get("domain_cpus") or "", "domain_cpus")
    cpus = _wanted_cpus(wanted.get("cpus"), domain_cpus)
    if cpus is None:
        reason = f"the CPUs of the pinned domains shall be isolated (cpus is '{DOMAINS}'), and no domain is pinned"
        return Verdict(refusals=(Refusal(None, reason),))
    isolation = Isolation(cpus, **{name: _switch(wanted, name) for name in DEFAULTS})
    arguments = isolation.kernel_args(topology)
    judged = judge_arguments(host, OWNER, arguments)
    reasons = list(refusals(isolation, topology))
    differs = unmet(isolation, topology, host.boot["running"])
    if differs and arguments and not judged.changes and find_block(host.boot["running"], arguments) is not None:
        reasons.append(
            f"the kernel was started with {' '.join(arguments)}, and still {'; '.join(differs)}: "
            "look for what overrides it"
        )
    apply: dict[str, t.Any] = {"cpus": format_cpulist(cpus), "kernel_args": arguments}
    warnings = _warnings(isolation, topology, domain_cpus)
    refused = (*(Refusal(None, reason) for reason in reasons), *judged.refusals)
    if refused:
        return Verdict(refusals=refused, warnings=warnings, apply=apply)
    return Verdict(
        changes=tuple(dataclasses.replace(change, after_reboot=bool(differs)) for change in judged.changes),
        warnings=warnings,
        # CPUs that somebody else isolates, now and after the next boot, are not ours to wait for.
        pending_reboot=bool(differs) and (bool(arguments) or _goes_with_reboot(host)),
        apply=apply,
    )


def _goes_with_reboot(host: HostState) -> bool:
    """Whether the running kernel isolates by arguments that the next boot will not have."""
    return any(key(token) in PARAMETERS and token not in host.boot["next_boot"] for token in host.boot["running"])


def _wanted_cpus(value: t.Any, domain_cpus: tuple[int, ...]) -> tuple[int, ...] | None:
    """The set to isolate; ``None`` for the CPUs of domains where there are none."""
    if value == DOMAINS:
        return domain_cpus or None
    if value == NONE:
        return ()
    cpus = _cpus(value, "cpus")
    if not cpus:
        raise InputError(
            f"cpu_isolation cpus is empty: expected a CPU list such as 2-5, '{DOMAINS}', or '{NONE}' to isolate no CPU"
        )
    return cpus


def _cpus(value: t.Any, option: str) -> tuple[int, ...]:
    # YAML reads a single CPU as a number, and a list of CPUs is as clear as the kernel's form.
    if isinstance(value, bool) or not isinstance(value, (str, int, list, tuple)):
        raise InputError(f"cpu_isolation {option} is '{value}': expected a CPU list such as 2-5,8")
    text = ",".join(str(part) for part in value) if isinstance(value, (list, tuple)) else str(value)
    return parse_cpulist(text)


def _switch(wanted: t.Mapping[str, t.Any], name: str) -> bool:
    value = wanted.get(name)
    return as_bool(DEFAULTS[name] if value is None else value, f"cpu_isolation {name}")


def _warnings(isolation: Isolation, topology: Topology, domain_cpus: tuple[int, ...]) -> tuple[str, ...]:
    warnings: list[str] = []
    if isolation.cpus and isolation.nohz_full and topology.nohz_full is None:
        warnings.append("this kernel was built without CONFIG_NO_HZ_FULL and would ignore nohz_full: it is left out")
    torn = torn_cores(isolation, topology)
    if torn:
        warnings.append(
            f"CPUs {format_cpulist(torn)} share a core with isolated ones and are not isolated: "
            "what runs there slows the guest down"
        )
    if isolation.cpus and domain_cpus and set(domain_cpus) != set(isolation.cpus):
        warnings.append(
            f"CPUs {format_cpulist(isolation.cpus)} are to be isolated, and domains are pinned to "
            f"{format_cpulist(domain_cpus)}: isolation helps only where both agree"
        )
    return tuple(warnings)

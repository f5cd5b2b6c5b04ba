# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The component ``iommu``: on, explicitly, with the parameter of this vendor."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import key
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.groups import AMD, INTEL, TURNED_OFF
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override import PARAMETER
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.arguments import judge_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState, Refusal, Verdict
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.values import as_bool

NAME = "iommu"

DEFAULTS: t.Final = {"passthrough_mode": False}

_KEYS = frozenset({"enabled", *DEFAULTS})
_MANAGED_PARAMETERS = ("intel_iommu", "iommu")


def iommu_vendor(host: HostState) -> str:
    """Whose IOMMU this is: by the firmware's table, which the drivers follow; by the CPU where there is none."""
    by_table: dict[str | None, str] = {"dmar": INTEL, "ivrs": AMD}
    return by_table.get(host.iommu["hardware"], host.cpu_vendor)


def kernel_arguments(vendor: str, passthrough_mode: bool) -> list[str]:
    """What makes the IOMMU explicit: Intel's driver has a parameter for "on"; AMD's is on whenever the firmware
    describes the hardware and knows no such value (drivers/iommu/amd/init.c, parse_amd_iommu_options)."""
    arguments = ["intel_iommu=on"] if vendor == INTEL else []
    return [*arguments, "iommu=pt"] if passthrough_mode else arguments


def decide(wanted: t.Mapping[str, t.Any], host: HostState, _selected: t.Mapping[str, tuple[Device, ...]]) -> Verdict:
    """``wanted``: ``enabled`` (only ``true`` is a state that can be wanted), ``passthrough_mode`` (``iommu=pt``)."""
    unknown = sorted(set(wanted) - _KEYS)
    if unknown:
        raise InputError(f"iommu: unknown key {unknown[0]}; expected {', '.join(sorted(_KEYS))}")
    options = {**DEFAULTS, **wanted}
    if not as_bool(wanted.get("enabled"), "iommu_enabled"):
        raise InputError("iommu_enabled: expected true, or leave it undefined to keep the IOMMU unmanaged")
    passthrough_mode = as_bool(options["passthrough_mode"], "iommu_passthrough_mode")
    arguments = kernel_arguments(iommu_vendor(host), passthrough_mode)
    judged = judge_arguments(host, NAME, arguments, _MANAGED_PARAMETERS)
    refusals = [*judged.refusals, *_turned_off(host), *_impossible(host)]
    assumptions: tuple[str, ...] = ()
    pending = judged.pending_reboot or (not judged.changes and _turned_off_until_reboot(host))
    if not host.iommu["enabled"] and not refusals:
        assumptions = ("the IOMMU is off now: its groups are known only after the reboot",)
        if not judged.changes and not pending:
            refusals.append(Refusal(None, f"the IOMMU is off although nothing asks for that: {host.iommu['reason']}"))
    return Verdict(
        changes=judged.changes,
        refusals=tuple(refusals),
        warnings=(*_without_effect(host), *_override_warnings(host), *_contradictions(host)),
        assumptions=assumptions,
        pending_reboot=pending,
        apply={"kernel_args": arguments},
    )


def _without_effect(host: HostState) -> t.Iterator[str]:
    """Parameters of somebody else that do not do what they say; nothing of theirs is changed."""
    others = {INTEL: "amd_iommu", AMD: "intel_iommu"}
    other = others.get(iommu_vendor(host))
    for argument in dict.fromkeys((*host.boot["running"], *host.boot["next_boot"])):
        if argument == "amd_iommu=on":
            yield "'amd_iommu=on' on the command line is no value that the kernel knows: it can go"
        elif other is not None and key(argument) == other:
            yield f"'{argument}' on the command line has no effect here: this host's IOMMU is of another vendor"


def _override_warnings(host: HostState) -> t.Iterator[str]:
    for when, what in (("running", "the running kernel"), ("next_boot", "the kernel that boots next")):
        support = host.iommu["acs_override"][when]
        if not support["requested"]:
            continue
        words = ",".join(support["requested"])
        if support["effective"]:
            yield (
                f"'{PARAMETER}={words}': {what} takes IOMMU groups apart that only look isolated, their devices may "
                f"reach each other ({support['evidence']})"
            )
        elif support["effective"] is False:
            yield f"'{PARAMETER}={words}' does nothing: {what} ignores it ({support['evidence']})"
        else:
            yield f"'{PARAMETER}={words}': whether {what} knows it cannot be told ({support['evidence']})"


def _contradictions(host: HostState) -> t.Iterator[str]:
    for difference in host.iommu["prediction_differs"]:
        predicted = " and ".join(f"[{', '.join(group)}]" for group in difference["predicted"])
        yield f"IOMMU group [{', '.join(difference['devices'])}] was predicted as {predicted}: {difference['hint']}"


def _turned_off(host: HostState) -> t.Iterator[Refusal]:
    for argument in host.boot["next_boot"]:
        if argument in TURNED_OFF:
            yield Refusal(None, f"'{argument}' on the command line of the next boot turns the IOMMU off: take it away")


def _turned_off_until_reboot(host: HostState) -> bool:
    """Whether what turned the IOMMU off was taken away since this boot."""
    return any(argument in TURNED_OFF and argument not in host.boot["next_boot"] for argument in host.boot["running"])


def _impossible(host: HostState) -> t.Iterator[Refusal]:
    if iommu_vendor(host) not in (INTEL, AMD):
        vendor = f"CPU vendor '{host.cpu_vendor}'" if host.cpu_vendor else "/proc/cpuinfo names no CPU vendor"
        yield Refusal(None, f"{vendor}: only Intel and AMD IOMMUs are supported in this version")
    elif not host.iommu["enabled"] and host.iommu["hardware"] is None:
        yield Refusal(None, f"the IOMMU cannot be turned on from here: {host.iommu['reason']}")

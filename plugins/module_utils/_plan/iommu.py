# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The component ``iommu``: on, explicitly, with the parameter of this vendor."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import key
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.groups import AMD, INTEL
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.options import (
    AMD_PARAMETER,
    INTEL_PARAMETER,
    ignored_words,
    off_switch,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override import (
    PARAMETER,
    Override,
    parameter_values,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import BASE_CLASS_DISPLAY, Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.arguments import judge_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState, Refusal, Verdict
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.values import as_bool, as_list

NAME = "iommu"

DEFAULTS: t.Final[t.Mapping[str, t.Any]] = {
    "passthrough_mode": False,
    "igfx_off": False,
    "acs_override": [],
    "acs_override_accepted": False,
}

IGFX_OFF = "igfx_off"

_KEYS = frozenset({"enabled", *DEFAULTS})
INTEL_VENDOR_ID = "8086"
_MANAGED_PARAMETERS = ("intel_iommu", "iommu", PARAMETER)
# The parameter of the vendor whose IOMMU this is not.
_OTHER_VENDOR: t.Final[t.Mapping[str, str]] = {INTEL: AMD_PARAMETER, AMD: INTEL_PARAMETER}


def iommu_vendor(host: HostState) -> str:
    """Whose IOMMU this is: by the firmware's table, which the drivers follow; by the CPU where there is none."""
    by_table: dict[str | None, str] = {"dmar": INTEL, "ivrs": AMD}
    return by_table.get(host.iommu["hardware"], host.cpu_vendor)


def kernel_arguments(vendor: str, passthrough_mode: bool, igfx_off: bool = False) -> list[str]:
    """What makes the IOMMU explicit: Intel's driver has a parameter for "on"; AMD's is on whenever the firmware
    describes the hardware and knows no such value (drivers/iommu/amd/init.c, parse_amd_iommu_options)."""
    arguments = [f"{INTEL_PARAMETER}=on,{IGFX_OFF}" if igfx_off else f"{INTEL_PARAMETER}=on"] if vendor == INTEL else []
    return [*arguments, "iommu=pt"] if passthrough_mode else arguments


def decide(wanted: t.Mapping[str, t.Any], host: HostState, selected: t.Mapping[str, tuple[Device, ...]]) -> Verdict:
    """``wanted``: ``enabled`` (only ``true`` is a state that can be wanted), ``passthrough_mode`` (``iommu=pt``),
    ``igfx_off`` (Intel's integrated graphics stay outside of the IOMMU), ``acs_override`` (words for
    ``pcie_acs_override=``), ``acs_override_accepted`` (whether its risk is)."""
    unknown = sorted(set(wanted) - _KEYS)
    if unknown:
        raise InputError(f"iommu: unknown key {unknown[0]}; expected {', '.join(sorted(_KEYS))}")
    options = {**DEFAULTS, **wanted}
    if not as_bool(wanted.get("enabled"), "iommu_enabled"):
        raise InputError("iommu_enabled: expected true, or leave it undefined to keep the IOMMU unmanaged")
    passthrough_mode = as_bool(options["passthrough_mode"], "iommu_passthrough_mode")
    igfx_off = as_bool(options["igfx_off"], "iommu_igfx_off")
    override = Override.parse(as_list(options["acs_override"], "iommu_acs_override"))
    accepted = as_bool(options["acs_override_accepted"], "iommu_acs_override_accepted")
    arguments = [
        *kernel_arguments(iommu_vendor(host), passthrough_mode, igfx_off),
        *([str(override)] if override else []),
    ]
    judged = judge_arguments(host, NAME, arguments, _MANAGED_PARAMETERS)
    refusals = [*judged.refusals, *_turned_off(host, judged.refusals), *_impossible(host)]
    refusals += _override_refusals(host, override, accepted)
    refusals += _graphics_refusals(host, selected) if igfx_off else ()
    assumptions: tuple[str, ...] = ()
    pending = judged.pending_reboot or (not judged.changes and _turned_off_until_reboot(host))
    if not host.iommu["enabled"] and not refusals:
        assumptions = ("the IOMMU is off now: its groups are known only after the reboot",)
        if not judged.changes and not pending:
            refusals.append(Refusal(None, f"the IOMMU is off although nothing asks for that: {host.iommu['reason']}"))
    return Verdict(
        changes=judged.changes,
        refusals=tuple(refusals),
        warnings=(
            *_without_effect(host),
            *_override_doubt(host, override),
            *_override_warnings(host),
            *_override_words(host),
            *_contradictions(host),
        ),
        assumptions=assumptions,
        pending_reboot=pending,
        apply={"kernel_args": arguments},
    )


def _without_effect(host: HostState) -> t.Iterator[str]:
    """Parameters of somebody else that do not do what they say; nothing of theirs is changed."""
    other = _OTHER_VENDOR.get(iommu_vendor(host))
    for argument in _arguments(host):
        ignored = ignored_words(argument)
        if ignored:
            words = " and ".join(f"'{word}'" for word in ignored)
            yield f"'{argument}' on the command line: {words} is no value that the kernel knows, it can go"
        elif other is not None and key(argument) == other:
            yield f"'{argument}' on the command line has no effect here: this host's IOMMU is of another vendor"


def _arguments(host: HostState) -> t.Iterable[str]:
    return dict.fromkeys((*host.boot["running"], *host.boot["next_boot"]))


def _override_words(host: HostState) -> t.Iterator[str]:
    """What is less plain about the parameter than whether the kernel has the patch."""
    for when, line in (("running", "the running command line"), ("next_boot", "the command line of the next boot")):
        values = parameter_values(host.boot[when])
        if len(values) > 1:
            together = Override.from_command_line(host.boot[when])
            yield f"{line} has '{PARAMETER}=' {len(values)} times: they add up to '{together or 'nothing'}'"
        for word in dict.fromkeys(word for value in values for word in value.split(",") if word):
            if not Override.from_command_line([f"{PARAMETER}={word}"]):
                yield f"{line} has '{word}' behind '{PARAMETER}=', which is no value that the kernel knows"


def _override_refusals(host: HostState, override: Override, accepted: bool) -> t.Iterator[Refusal]:
    if not override:
        return
    if not accepted:
        yield Refusal(
            None,
            f"'{override}' makes devices look isolated that may reach each other's memory and the host's. Another "
            "slot, or a wider selection, is the first thing to try; iommu_acs_override_accepted: true takes the risk",
        )
    following = host.iommu["acs_override"]["next_boot"]
    if following["patched"] is False:
        yield Refusal(
            None,
            f"'{override}' would do nothing: the kernel that boots next, {following['kernel']}, lacks the patch that "
            f"reads it ({following['evidence']})",
        )


def _graphics_refusals(host: HostState, selected: t.Mapping[str, tuple[Device, ...]]) -> t.Iterator[Refusal]:
    """The IOMMU unit of Intel's integrated graphics is left off, and a device behind no IOMMU goes to no guest
    (disable_igfx_iommu in drivers/iommu/intel/iommu.c)."""
    if iommu_vendor(host) == AMD:
        yield Refusal(None, "iommu_igfx_off is about Intel's integrated graphics, and this host's IOMMU is AMD's")
    for name, functions in selected.items():
        for device in functions:
            # On the root bus there is no other display of Intel's than the one in the processor.
            on_root_bus = device.parent is None and device.identity.vendor_id == INTEL_VENDOR_ID
            if on_root_bus and device.class_code.startswith(BASE_CLASS_DISPLAY):
                reason = f"iommu_igfx_off keeps {device.address} ('{name}') out of the IOMMU, so no guest can have it"
                yield Refusal(str(device.address), reason)


def _override_doubt(host: HostState, override: Override) -> t.Iterator[str]:
    following = host.iommu["acs_override"]["next_boot"]
    if override and following["patched"] is None and not following["requested"]:
        yield (
            f"'{override}': whether the kernel that boots next knows it cannot be told ({following['evidence']}); the "
            "groups after the reboot will show it"
        )


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


def _turned_off(host: HostState, said: t.Sequence[Refusal]) -> t.Iterator[Refusal]:
    argument = _off_switch(host, "next_boot")
    if argument is not None and not any(f"'{argument}'" in refusal.reason for refusal in said):
        yield Refusal(None, f"'{argument}' on the command line of the next boot turns the IOMMU off: take it away")


def _turned_off_until_reboot(host: HostState) -> bool:
    """Whether what turned the IOMMU off was taken away since this boot."""
    return _off_switch(host, "running") is not None and _off_switch(host, "next_boot") is None


def _off_switch(host: HostState, when: str) -> str | None:
    other = _OTHER_VENDOR.get(iommu_vendor(host))
    return off_switch([argument for argument in host.boot[when] if key(argument) != other])


def _impossible(host: HostState) -> t.Iterator[Refusal]:
    if iommu_vendor(host) not in (INTEL, AMD):
        vendor = f"CPU vendor '{host.cpu_vendor}'" if host.cpu_vendor else "/proc/cpuinfo names no CPU vendor"
        yield Refusal(None, f"{vendor}: only Intel and AMD IOMMUs are supported in this version")
    elif not host.iommu["enabled"] and host.iommu["hardware"] is None:
        yield Refusal(None, f"the IOMMU cannot be turned on from here: {host.iommu['reason']}")

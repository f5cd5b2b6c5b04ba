# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What stands against options of modules: for the plan, and for the module right before it writes. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages.pages import kernel_version
from ansible_collections.virtfleet.passthrough.plugins.module_utils._modprobe import Directive, contradictions
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio import resizable_bar
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.module_info import BUILTIN, MISSING
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.options import (
    I2C_NVIDIA_GPU,
    PARAMETERS,
    VENDOR_RESET,
    Options,
    Parameter,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.resizable_bar import WantedBar

UNSAFE_INTERRUPTS = "unsafe_interrupts"


@dataclasses.dataclass(frozen=True)
class Findings:
    """``refusals`` are pairs of a device's address (or ``None``) and a reason; none of them can be allowed."""

    refusals: tuple[tuple[str | None, str], ...] = ()
    warnings: tuple[str, ...] = ()


def judge(
    options: Options,
    facts: t.Mapping[str, t.Any],
    kernel_release: str,
    interrupt_remapping: bool | None,
    patched_kernel: bool,
) -> Findings:
    """``facts`` are what ``_vfio/options_state.py`` read; ``interrupt_remapping`` is ``None`` while the IOMMU is off;
    ``patched_kernel`` says that the kernels carry a patch for the reset of AMD GPUs."""
    parts = (
        _unknown(options, facts["modules"]),
        _contradicted(options, facts["directives"]),
        _unsafe_interrupts(options, interrupt_remapping),
        _vendor_reset(options, facts["modules"], patched_kernel),
        _blacklist(options, facts["modules"]),
        *(_bar(region, facts, kernel_release) for region in options.bars),
    )
    return Findings(
        tuple(refusal for part in parts for refusal in part.refusals),
        tuple(warning for part in parts for warning in part.warnings),
    )


def builtin_arguments(options: Options, modules: t.Mapping[str, t.Any]) -> list[str]:
    """Kernel arguments for the modules that some kernel has built in: modprobe has no say there. Where another kernel
    loads the module, modprobe reads the command line too and gives it the same value."""
    return [
        parameter.argument
        for parameter in options.parameters
        if any(found[parameter.module]["kind"] == BUILTIN for found in modules.values())
    ]


def _unknown(options: Options, modules: t.Mapping[str, t.Any]) -> Findings:
    """A parameter that the kernel does not know is skipped by it with a line in its log and nothing else."""
    if not options.switches:
        return Findings()
    if not modules:
        return Findings(warnings=("no kernel with modules was found: whether it knows these options was not checked",))
    refusals: list[tuple[str | None, str]] = []
    warnings: list[str] = []
    for switch in options.switches:
        troubles = [
            (parameter, kernel, trouble)
            for parameter in PARAMETERS[switch]
            for kernel, found in modules.items()
            if (trouble := _trouble(parameter, found[parameter.module])) is not None
        ]
        texts = [f"kernel {kernel} {trouble}" for _parameter, kernel, trouble in troubles]
        if len(troubles) == len(PARAMETERS[switch]) * len(modules):
            refusals.append((None, f"{switch} would do nothing: {'; '.join(texts)}"))
        else:
            warnings.extend(f"{switch}: {text}, which leaves that part without effect there" for text in texts)
        if any(found[parameter.module]["parameters"] is None for parameter, found in _pairs(switch, modules)):
            warnings.append(f"{switch}: modinfo gave no answer, whether every kernel knows it was not checked")
    return Findings(tuple(refusals), tuple(warnings))


def _pairs(switch: str, modules: t.Mapping[str, t.Any]) -> t.Iterator[tuple[Parameter, t.Mapping[str, t.Any]]]:
    return ((parameter, found) for parameter in PARAMETERS[switch] for found in modules.values())


def _trouble(parameter: Parameter, info: t.Mapping[str, t.Any]) -> str | None:
    if info["kind"] == MISSING:
        return f"has no module {parameter.module}"
    if info["parameters"] is not None and parameter.name not in info["parameters"]:
        return f"has no parameter {parameter.name} in its module {parameter.module}"
    return None


def _contradicted(options: Options, directives: t.Iterable[t.Mapping[str, str]]) -> Findings:
    lines = [Directive(**directive) for directive in directives]
    refusals = [
        (None, _contradiction(parameter, line))
        for parameter in options.parameters
        for line in contradictions(lines, parameter.module, parameter.name, parameter.value)
    ]
    replaced = [
        f"'{line}' in {line.path} replaces the loading of {line.module}: options count only if that command heeds them"
        for line in lines
        if line.command == "install" and any(parameter.module == line.module for parameter in options.parameters)
    ]
    return Findings(tuple(refusals), tuple(replaced))


def _contradiction(parameter: Parameter, line: Directive) -> str:
    return (
        f"'{parameter.line}' contradicts '{line}' in {line.path}, which somebody else wrote: take that line away, or "
        "leave this option out"
    )


def _unsafe_interrupts(options: Options, remapping: bool | None) -> Findings:
    if UNSAFE_INTERRUPTS not in options.switches:
        return Findings()
    if remapping:
        reason = (
            "unsafe_interrupts: the IOMMU of this host remaps interrupts, so nothing needs it, and it would stay in "
            "force if that ever failed. Leave it out"
        )
        return Findings(refusals=((None, reason),))
    unknown = "" if remapping is False else " The IOMMU is off now: whether it is needed at all shows after the reboot."
    return Findings(
        warnings=(f"unsafe_interrupts: a guest with a device can send any interrupt to this host.{unknown}",)
    )


def _vendor_reset(options: Options, modules: t.Mapping[str, t.Any], patched_kernel: bool) -> Findings:
    if not options.vendor_reset:
        return Findings()
    reasons = []
    if patched_kernel:
        reasons.append("the kernels here carry a patch for the reset of AMD GPUs, and both together do harm")
    lacking = [kernel for kernel, found in modules.items() if found[VENDOR_RESET]["kind"] == MISSING]
    if lacking or not modules:
        names = ", ".join(lacking) or "that was found"
        advice = "Install it (it comes by DKMS) and see that it is built for each kernel"
        reasons.append(f"no module vendor-reset for kernel {names}. {advice}")
    return Findings(refusals=tuple((None, f"vendor_reset: {reason}") for reason in reasons))


def _blacklist(options: Options, modules: t.Mapping[str, t.Any]) -> Findings:
    if not options.blacklist:
        return Findings()
    builtin = [kernel for kernel, found in modules.items() if found[I2C_NVIDIA_GPU]["kind"] == BUILTIN]
    return Findings(
        warnings=tuple(
            f"kernel {kernel} has {I2C_NVIDIA_GPU} built in, where blacklisting does nothing" for kernel in builtin
        )
    )


def _bar(wanted: WantedBar, facts: t.Mapping[str, t.Any], kernel_release: str) -> Findings:
    device = str(wanted.address)
    size = resizable_bar.format_bit(wanted.bit)
    if kernel_version(kernel_release) < resizable_bar.SINCE:
        reason = f"{wanted}: kernel {kernel_release} cannot resize BARs, Linux 6.1 and later can"
        return Findings(refusals=((device, reason),))
    state = facts["bars"].get(device, {}).get(str(wanted.number))
    if state is None:
        return Findings(refusals=((device, f"{wanted} is not resizable: the kernel offers no sizes for it"),))
    if wanted.bit not in state["allowed"]:
        offered = ", ".join(resizable_bar.format_bit(bit) for bit in state["allowed"]) or "none"
        return Findings(refusals=((device, f"{wanted} cannot have {size}: the device offers {offered}"),))
    message = facts["bar_messages"].get(f"{device} {wanted.number}")
    if message is not None and state["size"] != wanted.size:
        reason = (
            f"{wanted} has {resizable_bar.format_size(state['size'])}, and {size} was tried in this boot: {message}"
        )
        return Findings(refusals=((device, f"{reason}. Another boot would do the same"),))
    return Findings()

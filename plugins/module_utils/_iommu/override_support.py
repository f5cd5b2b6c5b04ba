# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Whether the running kernel, and the one that boots next, know ``pcie_acs_override``.

A kernel without the patch ignores the parameter without an error. ``None`` for "patched" means that nothing on the
host tells; every answer names its evidence.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot_log import KernelLog, KernelLogReader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.unknown import reported_unknown
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, first_existing
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.kernel_image import kernel_contains
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override import (
    PARAMETER,
    Override,
    parameter_values,
)

# What a patched kernel logs when the override was given and read.
ENABLED_MESSAGE = "PCIe ACS overrides enabled"

# The patch's function, and one beside it in drivers/pci/quirks.c that every kernel with PCI quirks has: where that
# is listed, a list without the first is telling.
_PATCH_SYMBOL = "pcie_acs_overrides"
_NEIGHBOUR_SYMBOL = "pci_dev_specific_acs_enabled"

_IMAGES = ("/boot/vmlinuz-{release}", "/lib/modules/{release}/vmlinuz", "/usr/lib/modules/{release}/vmlinuz")


@dataclasses.dataclass(frozen=True)
class Finding:
    """Whether a kernel has the patch (``None``: cannot be told) and what says so."""

    patched: bool | None
    evidence: str


_NOT_ASKED = Finding(None, f"not looked at, because no '{PARAMETER}=' is requested")


def read_override_support(
    root: Root,
    run: Runner,
    running_args: t.Sequence[str],
    next_args: t.Sequence[str],
    next_release: str,
    read_log: KernelLogReader,
    look_into_image: bool = False,
) -> dict[str, t.Any]:
    """``{"running": {...}, "next_boot": {"kernel": next_release, ...}}``, each with ``requested`` (the words of the
    parameter), ``patched``, ``evidence`` and ``effective`` (whether that kernel acts on the words).

    Reads no log, symbol table or image where no override is requested, unless ``look_into_image`` asks what one
    would do. The image is unpacked only where nothing cheaper tells.
    """
    running_requests, next_requests = bool(parameter_values(running_args)), bool(parameter_values(next_args))
    same_kernel = next_release == root.read_word("/proc/sys/kernel/osrelease")
    ask_running = running_requests or look_into_image or (next_requests and same_kernel)
    running = _running(root, read_log, running_requests) if ask_running else _NOT_ASKED
    following = _NOT_ASKED
    if next_requests or look_into_image:
        known = same_kernel and running.patched is not None
        following = running if known else _installed(root, run, next_release)
    return {
        "running": _report(running, running_args),
        "next_boot": {"kernel": next_release, **_report(following, next_args)},
    }


def _report(finding: Finding, args: t.Sequence[str]) -> dict[str, t.Any]:
    words = [word for value in parameter_values(args) for word in value.split(",") if word]
    understood = Override.from_command_line(args)
    return {
        "requested": words,
        "patched": finding.patched,
        "evidence": finding.evidence,
        "effective": finding.patched if understood else False,
    }


def _running(root: Root, read_log: KernelLogReader, requested: bool) -> Finding:
    if requested:
        finding = judge_log(read_log()) or judge_environment(root.read_text("/proc/1/environ"))
        if finding is not None:
            return finding
    return judge_symbols(root.read_text("/proc/kallsyms"), "/proc/kallsyms") or Finding(
        None, "neither the kernel log nor the kernel's symbol table tells"
    )


def judge_log(log: KernelLog) -> Finding | None:
    """What the log says of a kernel that was started with the parameter."""
    if log.says(ENABLED_MESSAGE):
        return Finding(True, f"the kernel log says '{ENABLED_MESSAGE}'")
    if f"{PARAMETER}=" in reported_unknown(log.text).replace("-", "_"):
        return Finding(False, f"the kernel log names {PARAMETER} among 'Unknown kernel command line parameters'")
    return None


def judge_environment(environ: str | None) -> Finding | None:
    """A kernel hands a parameter that it does not know, and that has a value, on to init as a variable."""
    if parameter_values((environ or "").split("\0")):
        return Finding(False, f"the kernel did not know {PARAMETER} and handed it to init (/proc/1/environ)")
    return None


def judge_symbols(table: str | None, name: str) -> Finding | None:
    """What a symbol table says; Debian's System.map is a stub, and its like says nothing."""
    if table is None:
        return None
    if _PATCH_SYMBOL in table:
        return Finding(True, f"{name} lists {_PATCH_SYMBOL}")
    if _NEIGHBOUR_SYMBOL in table:
        return Finding(False, f"{name} lists {_NEIGHBOUR_SYMBOL} and no {_PATCH_SYMBOL}")
    return None


def _installed(root: Root, run: Runner, release: str) -> Finding:
    system_map = f"/boot/System.map-{release}"
    return judge_symbols(root.read_text(system_map), system_map) or _image(root, run, release)


def _image(root: Root, run: Runner, release: str) -> Finding:
    image = first_existing(root, (path.format(release=release) for path in _IMAGES))
    if image is None:
        return Finding(None, f"no image of kernel {release} was found")
    try:
        found = kernel_contains(root, run, image, PARAMETER.encode())
    except ToolError as exc:
        return Finding(None, str(exc))
    return Finding(found, f"{PARAMETER} {'is' if found else 'is not'} in the unpacked kernel of {image}")

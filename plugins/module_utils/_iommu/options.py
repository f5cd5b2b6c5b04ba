# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The words behind ``intel_iommu=``, ``amd_iommu=`` and ``iommu=``: what they turn off, and which mean nothing. Pure.

The drivers go through every occurrence word by word, in order, and compare only how a word begins:
``intel_iommu_setup`` in drivers/iommu/intel/iommu.c, ``parse_amd_iommu_options`` in drivers/iommu/amd/init.c,
``iommu_setup`` in arch/x86/kernel/pci-dma.c. What they do not know they report at best as "Unknown option".
"""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import Token, kernel_part_length

INTEL_PARAMETER = "intel_iommu"
AMD_PARAMETER = "amd_iommu"
COMMON_PARAMETER = "iommu"

# All that a kernel has known since 5.10; relax_rmrr is a patch that Proxmox VE carries.
_KNOWN: t.Final[t.Mapping[str, tuple[str, ...]]] = {
    INTEL_PARAMETER: (
        "on",
        "off",
        "igfx_off",
        "forcedac",
        "strict",
        "sp_off",
        "sm_on",
        "sm_off",
        "tboot_noforce",
        "nobounce",
        "relax_rmrr",
    ),
    AMD_PARAMETER: (
        "fullflush",
        "off",
        "force_enable",
        "force_isolation",
        "pgtbl_v1",
        "pgtbl_v2",
        "irtcachedis",
        "pgsize_4k",
        "nohugepages",
        "v2_pgsizes_only",
    ),
}


def off_switch(arguments: t.Sequence[str]) -> str | None:
    """The token that turns an IOMMU off, if one does: a later ``intel_iommu=on`` takes Intel's back, nothing the
    others'."""
    intel: str | None = None
    for argument in arguments[: kernel_part_length(arguments)]:
        name = Token(argument).name
        for word in _words(argument):
            if name == INTEL_PARAMETER and word.startswith(("on", "off")):
                intel = None if word.startswith("on") else argument
            elif (name == AMD_PARAMETER and word.startswith("off")) or (
                name == COMMON_PARAMETER and word.startswith(("off", "soft"))
            ):
                return argument
    return intel


def ignored_words(argument: str) -> list[str]:
    """The words that the driver of this parameter does not know; empty for other parameters."""
    known = _KNOWN.get(Token(argument).name)
    return [] if known is None else [word for word in _words(argument) if not word.startswith(known)]


def _words(argument: str) -> list[str]:
    return [word for word in (Token(argument).value or "").split(",") if word]

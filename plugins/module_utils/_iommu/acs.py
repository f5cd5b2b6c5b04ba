# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Access Control Services (ACS): the controls that keep one PCIe function's requests from reaching another. Pure."""

from __future__ import annotations

import typing as t

# Bits of both ACS registers (include/uapi/linux/pci_regs.h; PCIe Base Specification, 7.7.11) that a function needs
# to be isolated: REQ_ACS_FLAGS in drivers/iommu/iommu.c.
SOURCE_VALIDATION = 0x01
REQUEST_REDIRECT = 0x04
COMPLETION_REDIRECT = 0x08
UPSTREAM_FORWARDING = 0x10

REQUIRED: t.Final[t.Mapping[int, str]] = {
    SOURCE_VALIDATION: "source validation",
    REQUEST_REDIRECT: "request redirect",
    COMPLETION_REDIRECT: "completion redirect",
    UPSTREAM_FORWARDING: "upstream forwarding",
}


def offered(bit: int, capability: int) -> bool:
    """Whether a control exists at all: what a function does not implement, it does not need to switch on
    (``pci_acs_flags_enabled`` in drivers/pci/pci.c)."""
    return bool(capability & bit)


def controls_off(capability: int, control: int) -> tuple[str, ...]:
    """The names of required controls that the function offers and that are not switched on."""
    return tuple(name for bit, name in REQUIRED.items() if offered(bit, capability) and not control & bit)

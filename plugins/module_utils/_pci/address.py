# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""PCI addresses in the kernel's form: domain, bus, device and function (BDF)."""

from __future__ import annotations

import dataclasses
import re

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError

# A domain has four digits, or five where the kernel made it up (VMD, Hyper-V); see include/linux/pci.h.
_ADDRESS = re.compile(r"(?:([0-9a-fA-F]{1,8}):)?([0-9a-fA-F]{1,2}):([0-9a-fA-F]{1,2})\.([0-9a-fA-F])")

# How the kernel itself writes one.
_KERNEL_FORM = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")


def is_pci_address(text: str) -> bool:
    """Whether ``text`` is an address exactly as sysfs and the kernel's log write it."""
    return _KERNEL_FORM.fullmatch(text) is not None


@dataclasses.dataclass(frozen=True, order=True)
class Address:
    """One PCI function. Ordered as the kernel enumerates: domain, bus, device, function."""

    domain: int
    bus: int
    device: int
    function: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Accept ``0000:01:00.0``, ``01:00.0`` and ``1:0.0``; refuse numbers that PCI does not have."""
        match = _ADDRESS.fullmatch(text.strip())
        if match is None:
            raise InputError(f"'{text}' is no PCI address: expected domain:bus:device.function such as 0000:01:00.0")
        domain, bus, device, function = (int(part or "0", 16) for part in match.groups())
        if device > 0x1F or function > 7:
            raise InputError(f"'{text}' is no PCI address: device numbers end at 1f and function numbers at 7")
        return cls(domain, bus, device, function)

    def __str__(self) -> str:
        return f"{self.domain:04x}:{self.bus:02x}:{self.device:02x}.{self.function:x}"

    @property
    def slot(self) -> str:
        """``0000:01:00``, what all functions of one slot share."""
        return f"{self.domain:04x}:{self.bus:02x}:{self.device:02x}"

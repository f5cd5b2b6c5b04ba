# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The Xorg configuration that keeps the host's display on the host's GPU. Pure text.

Without it Xorg may take the GPU that is for guests and fail. From xorg.conf(5): the form of a ``BusID`` is
``PCI:bus@domain:device:function`` in decimal digits, where lspci and sysfs write hexadecimal ones.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address

DEFAULT_DRIVER = "modesetting"
_DRIVER = re.compile(r"[a-z0-9_]+", re.ASCII)


@dataclasses.dataclass(frozen=True)
class HostGpu:
    """The host's own GPU and the name of the Xorg driver for it."""

    address: Address
    driver: str = DEFAULT_DRIVER


def parse_driver(value: t.Any, option: str) -> str:
    """The name of an Xorg driver, such as ``modesetting`` or ``amdgpu``."""
    text = DEFAULT_DRIVER if value is None else str(value)
    if _DRIVER.fullmatch(text) is None:
        raise InputError(f"{option} is '{text}': expected the name of an Xorg driver, such as modesetting or amdgpu")
    return text


def bus_id(address: Address) -> str:
    """``PCI:10:0:0`` for ``0000:0a:00.0``."""
    domain = f"@{address.domain}" if address.domain else ""
    return f"PCI:{address.bus}{domain}:{address.device}:{address.function}"


def snippet(gpu: HostGpu) -> str:
    return f"""\
Section "Device"
    Identifier "virtfleet host GPU"
    Driver "{gpu.driver}"
    BusID "{bus_id(gpu.address)}"
EndSection
"""

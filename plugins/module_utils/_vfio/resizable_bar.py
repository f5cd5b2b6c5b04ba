# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Sizes of resizable BARs: as people write them, as the kernel takes them, and set at boot by a udev rule.

From Documentation/ABI/testing/sysfs-bus-pci (``resourceN_resize``, Linux 6.1): reading gives a bitmap of the sizes that
the device supports, writing takes the number of one bit; bit ``n`` stands for ``2^(n+20)`` bytes. The kernel resizes
nothing while a driver is bound (``EBUSY``).
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Identity

SINCE = (6, 1)
BARS = range(6)

_MIB_BITS = 20
# PCI Express 6.0, 7.8.6.2: the capability knows sizes up to 2^63 bytes.
_LARGEST_BIT = 43
_SIZE = re.compile(r"([0-9]+)\s*([MGT])(?:iB|B)?", re.ASCII | re.IGNORECASE)
_RANGE = re.compile(r"^0x([0-9a-f]+) 0x([0-9a-f]+) ", re.MULTILINE)
_UNITS = {"M": 0, "G": 10, "T": 20}


@dataclasses.dataclass(frozen=True)
class BarState:
    """One BAR now: its size in bytes (0 while it is not assigned) and the bits that may be written."""

    size: int
    allowed: tuple[int, ...]

    def to_json(self) -> dict[str, t.Any]:
        return {"size": self.size, "allowed": list(self.allowed)}


@dataclasses.dataclass(frozen=True)
class WantedBar:
    """BAR ``number`` of one function at ``2^(bit+20)`` bytes."""

    address: Address
    identity: Identity
    number: int
    bit: int

    def __str__(self) -> str:
        return f"BAR {self.number} of {self.address}"

    @property
    def size(self) -> int:
        return bytes_of(self.bit)


def parse_size(value: t.Any, option: str) -> int:
    """The bit for a size such as ``16G``, ``16GiB`` or ``256M``."""
    match = _SIZE.fullmatch(str(value).strip())
    number = int(match.group(1)) << _UNITS[match.group(2).upper()] if match else 0
    bit = number.bit_length() - 1
    if number < 1 or number != 1 << bit or bit > _LARGEST_BIT:
        raise InputError(f"{option} is '{value}': expected a power of two with its unit, such as 256M or 16G")
    return bit


def parse_bar(value: t.Any, option: str) -> int:
    """The number of a BAR, 0 to 5."""
    if isinstance(value, bool) or not str(value).strip().isdecimal() or int(value) not in BARS:
        raise InputError(f"{option} is '{value}': expected the number of a BAR, 0 to 5")
    return int(value)


def bytes_of(bit: int) -> int:
    return 1 << (bit + _MIB_BITS)


def format_bit(bit: int) -> str:
    """``16G`` for 14."""
    unit = next(unit for unit in "TGM" if bit >= _UNITS[unit])
    return f"{1 << (bit - _UNITS[unit])}{unit}"


def format_size(size: int) -> str:
    """A size in bytes as :func:`format_bit` writes it; in bytes where it is below a mebibyte."""
    bit = size.bit_length() - 1 - _MIB_BITS
    return format_bit(bit) if bit >= 0 and size == bytes_of(bit) else f"{size} bytes"


def read_bars(root: Root, address: str) -> dict[int, BarState]:
    """The resizable BARs of one function; empty where it has none or the kernel is older than Linux 6.1."""
    directory = f"/sys/bus/pci/devices/{address}"
    sizes = _sizes(root.read_text(f"{directory}/resource") or "")
    found = {}
    for number in BARS:
        bitmap = root.read_word(f"{directory}/resource{number}_resize")
        if bitmap is not None:
            found[number] = BarState(sizes.get(number, 0), _bits(bitmap))
    return found


def _bits(bitmap: str) -> tuple[int, ...]:
    try:
        number = int(bitmap, 16)
    except ValueError:
        return ()
    return tuple(bit for bit in range(number.bit_length()) if number >> bit & 1)


def _sizes(resource: str) -> dict[int, int]:
    """Lines of start, end and flags in hexadecimal, one per BAR; zeros where there is none."""
    ranges = ((int(start, 16), int(end, 16)) for start, end in _RANGE.findall(resource))
    return {number: end - start + 1 if end else 0 for number, (start, end) in zip(BARS, ranges)}


def rule(bars: t.Iterable[WantedBar], script: str) -> str:
    """The udev rule. It comes before the rule that binds, and goes by nothing but address and identity.

    Where the initramfs has bound the device already, ``script`` takes it off vfio-pci for the moment that it needs.
    In an image there is no script, and the rule does nothing.
    """
    lines = [
        'ACTION!="add", GOTO="virtfleet_bars_end"',
        'SUBSYSTEM!="pci", GOTO="virtfleet_bars_end"',
        f'TEST!="{script}", GOTO="virtfleet_bars_end"',
    ]
    for wanted in sorted(bars, key=lambda region: (region.address, region.number)):
        identity = wanted.identity
        ids = (
            ("vendor", identity.vendor_id),
            ("device", identity.device_id),
            ("subsystem_vendor", identity.subsystem_vendor_id),
            ("subsystem_device", identity.subsystem_device_id),
        )
        conditions = "".join(f', ATTR{{{name}}}=="0x{digits}"' for name, digits in ids)
        command = f"{script} {wanted.address} {wanted.number} {wanted.bit}"
        lines.append(f'KERNEL=="{wanted.address}"{conditions}, RUN+="{command}"')
    lines.append('LABEL="virtfleet_bars_end"')
    return "\n".join(lines) + "\n"

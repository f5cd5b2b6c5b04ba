# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Expansion ROMs built by the PCI Firmware Specification, for tests."""

from __future__ import annotations

import struct
from collections.abc import Sequence

_PCIR = 0x1C


def rom_image(
    code_type: int,
    vendor: str,
    device: str,
    *,
    last: bool = False,
    units: int = 2,
    revision: int = 3,
    device_list: Sequence[str] = (),
) -> bytes:
    """One image of ``units`` times 512 bytes for a display (class 030000); an x86 one has a right checksum."""
    data = bytearray(units * 512)
    data[0:2] = b"\x55\xaa"
    if code_type == 3:
        struct.pack_into("<HIHH", data, 2, units, 0x0EF1, 0x0B, 0x8664)
    else:
        data[2] = units
    struct.pack_into("<H", data, 0x18, _PCIR)
    struct.pack_into(
        "<4sHHHHB3sHHBBH",
        data,
        _PCIR,
        b"PCIR",
        int(vendor, 16),
        int(device, 16),
        0x1C if device_list else 0,
        0x1C,
        revision,
        b"\x00\x00\x03",
        units,
        0,
        code_type,
        0x80 if last else 0,
        units,
    )
    for number, listed in enumerate(device_list):
        struct.pack_into("<H", data, _PCIR + 0x1C + 2 * number, int(listed, 16))
    if code_type == 0:
        data[-1] = -sum(data) % 256
    return bytes(data)

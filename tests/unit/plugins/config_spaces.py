# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configuration spaces put together from their parts, as a test needs them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

CAP_POWER_MANAGEMENT = 0x01
CAP_PCIE = 0x10
CAP_MSI_X = 0x11
EXT_CAP_AER = 0x0001
EXT_CAP_SERIAL = 0x0003
EXT_CAP_ACS = 0x000D
EXT_CAP_SRIOV = 0x0010
EXT_CAP_RESIZABLE_BAR = 0x0015

ENDPOINT, ROOT_PORT = 0, 4

_FIRST = 0x40
_FIRST_EXTENDED = 0x100


def pcie(port_type: int) -> tuple[int, bytes]:
    """The PCI Express capability with this Device/Port Type."""
    return CAP_PCIE, struct.pack("<H", 2 | port_type << 4).ljust(58, b"\0")


def acs(capability: int, control: int) -> tuple[int, bytes]:
    return EXT_CAP_ACS, struct.pack("<HH", capability, control)


def serial(digits: str) -> tuple[int, bytes]:
    return EXT_CAP_SERIAL, struct.pack("<II", int(digits[8:], 16), int(digits[:8], 16))


def config_space(
    standard: Sequence[tuple[int, bytes]] = (),
    extended: Sequence[tuple[int, bytes]] = (),
    *,
    header_type: int = 0,
    bars: Sequence[int] = (),
    size: int = 4096,
) -> bytes:
    """``standard`` and ``extended`` are capabilities in the order of their lists: id and what follows its header.

    A header is two bytes in the standard list and four in the extended one. ``size`` cuts the result.
    """
    config = bytearray(4096)
    config[0x0E] = header_type
    struct.pack_into(f"<{len(bars)}I", config, 0x10, *bars)
    if standard:
        config[0x06] = 0x10
        config[0x34] = _FIRST
    offset = _FIRST
    for number, (identifier, body) in enumerate(standard):
        following = (offset + 2 + len(body) + 3) & ~3
        config[offset : offset + 2] = bytes([identifier, following if number + 1 < len(standard) else 0])
        config[offset + 2 : offset + 2 + len(body)] = body
        offset = following
    offset = _FIRST_EXTENDED
    for number, (identifier, body) in enumerate(extended):
        following = (offset + 4 + len(body) + 3) & ~3
        next_offset = following if number + 1 < len(extended) else 0
        struct.pack_into("<I", config, offset, identifier | 1 << 16 | next_offset << 20)
        config[offset + 4 : offset + 4 + len(body)] = body
        offset = following
    return bytes(config[:size])

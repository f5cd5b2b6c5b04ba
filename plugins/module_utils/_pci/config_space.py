# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""PCI configuration space as the bytes that sysfs ``config`` gives (64 to others than root, up to 4096)."""

from __future__ import annotations

import dataclasses
import struct

# include/uapi/linux/pci_regs.h
_HEADER_TYPE = 0x0E
_EXTENDED_START = 0x100
EXT_CAP_DEVICE_SERIAL = 0x0003

_MAX_EXTENDED_CAPABILITIES = (4096 - 256) // 8


@dataclasses.dataclass(frozen=True)
class ConfigSpace:
    """Read-only view; offsets beyond the data read as zero, as an absent capability does."""

    data: bytes

    def _unpack(self, form: str, offset: int) -> int:
        size = struct.calcsize(form)
        chunk = self.data[offset : offset + size].ljust(size, b"\0")
        number: int = struct.unpack(form, chunk)[0]
        return number

    def u8(self, offset: int) -> int:
        return self._unpack("<B", offset)

    def u32(self, offset: int) -> int:
        return self._unpack("<I", offset)

    @property
    def header_type(self) -> int:
        """0 endpoint, 1 PCI-to-PCI bridge, 2 CardBus bridge."""
        return self.u8(_HEADER_TYPE) & 0x7F

    def extended_capability(self, wanted: int) -> int | None:
        """Offset of an extended capability, or ``None``; a looping list ends the search."""
        offset = _EXTENDED_START
        for _step in range(_MAX_EXTENDED_CAPABILITIES):
            header = self.u32(offset)
            if header in (0, 0xFFFFFFFF):
                return None
            if header & 0xFFFF == wanted:
                return offset
            offset = header >> 20 & 0xFFC
            if offset < _EXTENDED_START:
                return None
        return None

    @property
    def serial(self) -> str | None:
        """PCIe Device Serial Number (PCIe Base Specification, 7.9.3) as sixteen hex digits, upper half first."""
        offset = self.extended_capability(EXT_CAP_DEVICE_SERIAL)
        if offset is None:
            return None
        lower, upper = self.u32(offset + 4), self.u32(offset + 8)
        return f"{upper:08x}{lower:08x}"

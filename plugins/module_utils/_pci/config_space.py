# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""PCI configuration space: what its header and capabilities say, whatever bytes it holds."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import PCIE_TYPES

# include/uapi/linux/pci_regs.h
_STATUS = 0x06
_STATUS_CAPABILITY_LIST = 0x10
_HEADER_TYPE = 0x0E
_HEADER_MULTIFUNCTION = 0x80
_BARS = 0x10
_BAR_TYPE = 0x07
_BAR_MEMORY_64 = 0x04
_CAPABILITY_LIST = 0x34
_CARDBUS_CAPABILITY_LIST = 0x14
_HEADER_END = 0x40
_EXTENDED_START = 0x100
CAP_PCIE = 0x10
EXT_CAP_DEVICE_SERIAL = 0x0003
EXT_CAP_ACS = 0x000D
EXT_CAP_SRIOV = 0x0010
EXT_CAP_RESIZABLE_BAR = 0x0015

# By header type; a CardBus bridge (2) has its one BAR in 32 bits.
_BAR_COUNT: t.Final[t.Mapping[int, int]] = {0: 6, 1: 2}
_NO_ANSWER = 0xFF

# Within the SR-IOV capability (PCI_SRIOV_VF_OFFSET and what follows it).
_SRIOV_OFFSET = 0x14
_SRIOV_STRIDE = 0x16
_SRIOV_DEVICE_ID = 0x1A


def _ids(*ranges: tuple[int, int]) -> frozenset[tuple[str, str]]:
    return frozenset(("8086", f"{number:04x}") for first, last in ranges for number in range(first, last + 1))


# Their ACS registers are double words: capability at +4, control at +8 (drivers/pci/quirks.c, INTEL_SPT_ACS_CTRL).
SUNRISE_POINT_ROOT_PORTS: t.Final = _ids(
    (0xA110, 0xA11F), (0xA167, 0xA16A), (0xA290, 0xA29F), (0xA2E7, 0xA2EE), (0x9D10, 0x9D1B)
)


class Content(t.Protocol):
    """Bytes by offset; fewer than asked for, or none, where there are no more. ``bytes`` is one."""

    def __getitem__(self, part: slice, /) -> bytes: ...


@dataclasses.dataclass(frozen=True)
class _Capabilities:
    """Capability id to the offset of its first occurrence; ``gap`` says why the list may be longer than that."""

    offsets: t.Mapping[int, int]
    gap: str | None = None


@dataclasses.dataclass(frozen=True)
class ConfigSpace:
    """Read-only view; offsets beyond the data read as zero, as an absent capability does."""

    data: Content

    def u8(self, offset: int) -> int:
        return int.from_bytes(self.data[offset : offset + 1], "little")

    def u16(self, offset: int) -> int:
        return int.from_bytes(self.data[offset : offset + 2], "little")

    def u32(self, offset: int) -> int:
        return int.from_bytes(self.data[offset : offset + 4], "little")

    def _reaches(self, offset: int, size: int) -> bool:
        return len(self.data[offset : offset + size]) == size

    @functools.cached_property
    def answers(self) -> bool:
        """Whether a header is there: not where nothing could be read, nor of a function that fell off its bus or
        sleeps in D3cold, which reads as all ones (the "header type 127" of messages)."""
        return self._reaches(_HEADER_TYPE, 1) and self.u8(_HEADER_TYPE) != _NO_ANSWER

    @property
    def header_type(self) -> int:
        """0 endpoint, 1 PCI-to-PCI bridge, 2 CardBus bridge."""
        return self.u8(_HEADER_TYPE) & 0x7F

    @property
    def multifunction(self) -> bool:
        """Bit 7 of the header type, which only function 0 has to tell truly."""
        return self.answers and bool(self.u8(_HEADER_TYPE) & _HEADER_MULTIFUNCTION)

    @functools.cached_property
    def _standard(self) -> _Capabilities:
        """The list in the first 256 bytes (PCI Local Bus Specification 3.0, 6.7)."""
        offsets: dict[int, int] = {}
        if not self.answers or not self.u16(_STATUS) & _STATUS_CAPABILITY_LIST:
            return _Capabilities(offsets)
        visited: set[int] = set()
        offset = self.u8(_CARDBUS_CAPABILITY_LIST if self.header_type == 2 else _CAPABILITY_LIST) & 0xFC
        while offset:
            if offset < _HEADER_END:
                return _Capabilities(offsets, "the capability list points into the header")
            if offset in visited:
                return _Capabilities(offsets, "the capability list loops")
            header = self.data[offset : offset + 2]
            if len(header) < 2:
                return _Capabilities(offsets, f"the capability list goes on at byte {offset}, which cannot be read")
            visited.add(offset)
            identifier, following = header[0], header[1]
            if identifier == _NO_ANSWER:
                break
            offsets.setdefault(identifier, offset)
            offset = following & 0xFC
        return _Capabilities(offsets)

    @functools.cached_property
    def _extended(self) -> _Capabilities:
        """The list from byte 256 on (PCI Express Base Specification, 7.6.3)."""
        offsets: dict[int, int] = {}
        if not self.answers or (CAP_PCIE not in self._standard.offsets and not self._reaches(_EXTENDED_START, 4)):
            return _Capabilities(offsets)
        visited: set[int] = set()
        offset = _EXTENDED_START
        while offset >= _EXTENDED_START:
            if offset in visited:
                return _Capabilities(offsets, "the extended capability list loops")
            raw = self.data[offset : offset + 4]
            if len(raw) < 4:
                return _Capabilities(
                    offsets, f"the extended capability list goes on at byte {offset}, which cannot be read"
                )
            visited.add(offset)
            header = int.from_bytes(raw, "little")
            if header in (0, 0xFFFFFFFF):
                break
            offsets.setdefault(header & 0xFFFF, offset)
            offset = header >> 20 & 0xFFC
        return _Capabilities(offsets)

    @property
    def gaps(self) -> tuple[str, ...]:
        """Why capabilities may be missing here, in words."""
        if self._reaches(_HEADER_TYPE, 1) and not self.answers:
            return ("the function does not answer: its configuration space reads as all ones",)
        found = [self._standard.gap, self._extended.gap]
        if self.acs_offset is not None and self.acs is None:
            found.append("the ACS registers cannot be read")
        return tuple(gap for gap in found if gap is not None)

    def capability(self, wanted: int) -> int | None:
        """Offset of a capability in the first 256 bytes."""
        return self._standard.offsets.get(wanted)

    def extended_capability(self, wanted: int) -> int | None:
        """Offset of an extended capability."""
        return self._extended.offsets.get(wanted)

    @property
    def pcie_type(self) -> str | None:
        """One of :data:`PCIE_TYPES`; ``None`` for conventional PCI and for types that no specification names."""
        offset = self.capability(CAP_PCIE)
        if offset is None or not self._reaches(offset + 2, 2):
            return None
        return PCIE_TYPES.get(self.u16(offset + 2) >> 4 & 0xF)

    @property
    def acs_offset(self) -> int | None:
        return self.extended_capability(EXT_CAP_ACS)

    @property
    def acs(self) -> tuple[int, int] | None:
        """ACS capability and control register; ``None`` without them, for registers that read as zero ask nothing."""
        offset = self.acs_offset
        if offset is None or not self._reaches(offset + 4, 4):
            return None
        return self.u16(offset + 4), self.u16(offset + 6)

    @property
    def acs_double_words(self) -> tuple[int, int] | None:
        """The same two registers where they have the layout of :data:`SUNRISE_POINT_ROOT_PORTS`."""
        offset = self.acs_offset
        if offset is None or not self._reaches(offset + 4, 8):
            return None
        return self.u32(offset + 4), self.u32(offset + 8)

    @property
    def serial(self) -> str | None:
        """PCIe Device Serial Number (PCIe Base Specification, 7.9.3) as sixteen hex digits, upper half first."""
        offset = self.extended_capability(EXT_CAP_DEVICE_SERIAL)
        if offset is None or not self._reaches(offset + 4, 8):
            return None
        lower, upper = self.u32(offset + 4), self.u32(offset + 8)
        return f"{upper:08x}{lower:08x}"

    @property
    def sriov(self) -> bool:
        return self.extended_capability(EXT_CAP_SRIOV) is not None

    @property
    def vf_layout(self) -> tuple[int, int, str] | None:
        """First VF Offset, VF Stride and VF Device ID (PCI Express Base Specification, 9.3.3); ``None`` without."""
        offset = self.extended_capability(EXT_CAP_SRIOV)
        if offset is None or not self._reaches(offset + _SRIOV_OFFSET, _SRIOV_DEVICE_ID + 2 - _SRIOV_OFFSET):
            return None
        device_id = self.u16(offset + _SRIOV_DEVICE_ID)
        return self.u16(offset + _SRIOV_OFFSET), self.u16(offset + _SRIOV_STRIDE), f"{device_id:04x}"

    @property
    def resizable_bar(self) -> bool:
        return self.extended_capability(EXT_CAP_RESIZABLE_BAR) is not None

    @property
    def bars_above_4g(self) -> bool:
        """Whether a 64-bit BAR points above 4 GiB. VFs have none here: sysfs ``resource`` knows theirs."""
        # The upper half of a 64-bit BAR that is read as one itself is zero here: another value has decided before.
        end = _BARS + 4 * _BAR_COUNT.get(self.header_type, 0) if self.answers else _BARS
        return any(
            self.u32(offset) & _BAR_TYPE == _BAR_MEMORY_64 and self.u32(offset + 4) != 0
            for offset in range(_BARS, end - 4, 4)
        )

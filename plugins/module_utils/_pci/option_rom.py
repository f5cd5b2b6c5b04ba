# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Expansion ROMs of PCI functions: which images are in one, and for which devices. Pure.

Layout from the PCI Firmware Specification 3.3, chapter 5: images follow one another, each begins with 55 AA, points at
offset 0x18 to its PCI data structure (``PCIR``), which has the length in units of 512 bytes and the mark of the last
one. An EFI image has the signature 0x0EF1 at offset 4 and its machine type at offset 10 (UEFI Specification, chapter
on PCI bus support).
"""

from __future__ import annotations

import dataclasses
import struct
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError

X86, OPEN_FIRMWARE, HP_PA_RISC, EFI = "x86", "open_firmware", "hp_pa_risc", "efi"
_CODE_TYPES: t.Mapping[int, str] = {0: X86, 1: OPEN_FIRMWARE, 2: HP_PA_RISC, 3: EFI}
_MACHINES: t.Mapping[int, str] = {0x014C: "ia32", 0x0200: "ia64", 0x8664: "x64", 0x01C2: "arm", 0xAA64: "aa64"}

_UNIT = 512
_SIGNATURE = b"\x55\xaa"
_DATA_STRUCTURE = b"PCIR"
# Signature, vendor, device, device list, length, revision, class (3 bytes), image length, revision of the code,
# type of the code, indicator.
_PCIR = struct.Struct("<4sHHHHB3sHHBB")
_PCIR_POINTER = 0x18
_HEADER_SIZE = 0x1A
_LAST_IMAGE = 0x80
# The device list came with PCI Firmware 3.0; before that the field pointed to vital product data.
_REVISION_WITH_DEVICE_LIST = 3
_EFI_SIGNATURE = 0x0EF1
# What flash images of NVIDIA cards begin with; the ROM as a guest sees it comes later in them.
_NVIDIA_FLASH = b"NVGI"


@dataclasses.dataclass(frozen=True)
class RomImage:
    """One image. Ids have four and the class six hexadecimal digits; ``device_ids`` holds all that it is for, its own
    one first. ``machine`` is ``None`` for what is no EFI image. ``checksum_ok`` is known of x86 images only: a copy
    that the firmware has worked with often fails it."""

    offset: int
    length: int
    code_type: str
    vendor_id: str
    device_ids: tuple[str, ...]
    class_code: str
    machine: str | None
    checksum_ok: bool | None

    def is_for(self, vendor_id: str, device_id: str) -> bool:
        return self.vendor_id == vendor_id and device_id in self.device_ids

    def to_json(self) -> dict[str, t.Any]:
        data = dataclasses.asdict(self)
        data["device_ids"] = list(self.device_ids)
        data["class"] = data.pop("class_code")
        return data


@dataclasses.dataclass(frozen=True)
class OptionRom:
    """A whole ROM; ``length`` is where its last image ends, in bytes."""

    images: tuple[RomImage, ...]
    length: int

    @property
    def uefi(self) -> bool:
        """Whether a guest with UEFI can show anything with it before its own driver is loaded."""
        return any(image.code_type == EFI for image in self.images)

    def is_for(self, vendor_id: str, device_id: str) -> bool:
        return any(image.is_for(vendor_id, device_id) for image in self.images)

    @property
    def ids(self) -> tuple[str, ...]:
        """``vendor:device`` of all images, each once."""
        pairs = (f"{image.vendor_id}:{device}" for image in self.images for device in image.device_ids)
        return tuple(dict.fromkeys(pairs))


def parse(data: bytes, name: str) -> OptionRom:
    """The ROM in ``data``. Raises :class:`InputError` that begins with ``name`` for what is cut off or none."""
    images: list[RomImage] = []
    offset = 0
    while True:
        image, last = _image(data, offset, name)
        images.append(image)
        offset += image.length
        if last:
            return OptionRom(tuple(images), offset)
        if offset >= len(data):
            raise InputError(f"{name} is cut off: it ends after {len(images)} images, and the last one is yet to come")


def _image(data: bytes, offset: int, name: str) -> tuple[RomImage, bool]:
    if data[offset : offset + 2] != _SIGNATURE:
        raise InputError(_no_signature(data, offset, name))
    if len(data) < offset + _HEADER_SIZE:
        raise InputError(f"{name} is cut off in the header of the image at byte {offset}")
    start = offset + int.from_bytes(data[offset + _PCIR_POINTER : offset + _HEADER_SIZE], "little")
    if len(data) < start + _PCIR.size:
        raise InputError(f"{name} is cut off before the data structure of the image at byte {offset}")
    signature, vendor, device, devices, _size, revision, class_code, units, _level, code, indicator = _PCIR.unpack_from(
        data, start
    )
    if signature != _DATA_STRUCTURE:
        raise InputError(f"{name}: the image at byte {offset} has no PCI data structure (PCIR)")
    length = units * _UNIT
    if not length or len(data) < offset + length:
        there = len(data) - offset
        raise InputError(f"{name} is cut off: the image at byte {offset} has {length} bytes, {there} are there")
    code_type = _CODE_TYPES.get(code, f"unknown ({code})")
    listed = devices if revision >= _REVISION_WITH_DEVICE_LIST else 0
    more = _device_list(data, start + listed, offset + length) if listed else ()
    image = RomImage(
        offset=offset,
        length=length,
        code_type=code_type,
        vendor_id=f"{vendor:04x}",
        device_ids=tuple(dict.fromkeys((f"{device:04x}", *more))),
        class_code=class_code[::-1].hex(),
        machine=_machine(data, offset) if code_type == EFI else None,
        checksum_ok=_checksum_ok(data, offset, length) if code_type == X86 else None,
    )
    return image, bool(indicator & _LAST_IMAGE)


def _no_signature(data: bytes, offset: int, name: str) -> str:
    if not data:
        return f"{name} is empty"
    if offset:
        return f"{name}: no image begins at byte {offset}, where the one before it ends"
    if data.startswith(_NVIDIA_FLASH):
        return f"{name} is the content of an NVIDIA card's flash: cut off what stands before the first bytes 55 aa"
    return f"{name} is no expansion ROM: expected 55 aa at its start, found {data[:2].hex(' ')}"


def _device_list(data: bytes, start: int, end: int) -> tuple[str, ...]:
    """Up to the first zero, and never beyond the image."""
    found = []
    for position in range(start, end - 1, 2):
        device = int.from_bytes(data[position : position + 2], "little")
        if not device:
            break
        found.append(f"{device:04x}")
    return tuple(found)


def _machine(data: bytes, offset: int) -> str | None:
    signature, _subsystem, machine = struct.unpack_from("<IHH", data, offset + 4)
    return _MACHINES.get(machine, f"{machine:04x}") if signature == _EFI_SIGNATURE else None


def _checksum_ok(data: bytes, offset: int, length: int) -> bool:
    # The third byte has the length that the firmware copies and sums up.
    size = data[offset + 2] * _UNIT or length
    return sum(data[offset : offset + min(size, length)]) % 256 == 0

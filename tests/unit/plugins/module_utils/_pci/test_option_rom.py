# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.option_rom import parse
from tests.unit.plugins.option_roms import rom_image

LEGACY = rom_image(0, "10de", "1184")
UEFI = rom_image(3, "10de", "1184", last=True)


def test_a_card_of_both_worlds() -> None:
    rom = parse(LEGACY + UEFI + b"\xff" * 100, "card.rom")
    assert rom.uefi
    assert rom.ids == ("10de:1184",)
    assert [(image.code_type, image.offset, image.machine, image.checksum_ok) for image in rom.images] == [
        ("x86", 0, None, True),
        ("efi", 1024, "x64", None),
    ]
    assert rom.images[0].class_code == "030000"
    # What stands behind the last image is not part of it.
    assert rom.length == 2048


def test_a_card_without_uefi() -> None:
    assert not parse(rom_image(0, "10de", "1184", last=True), "card.rom").uefi


def test_the_list_of_devices_counts_from_revision_3() -> None:
    listed = rom_image(3, "1002", "73bf", last=True, device_list=("73a5", "73df"))
    rom = parse(listed, "card.rom")
    assert rom.images[0].device_ids == ("73bf", "73a5", "73df")
    assert rom.is_for("1002", "73df")
    assert not rom.is_for("10de", "73df")
    old = rom_image(3, "1002", "73bf", last=True, device_list=("73a5",), revision=0)
    assert not parse(old, "card.rom").is_for("1002", "73a5")


def test_a_list_that_never_ends_stays_inside_its_image() -> None:
    endless = [f"{number:04x}" for number in range(1, 485)]
    rom = parse(rom_image(0, "1002", "73bf", device_list=endless) + UEFI, "card.rom")
    # The checksum is in the last byte, so the last id of the list is another one.
    assert rom.images[0].device_ids[:-1] == ("73bf", *endless[:-1])
    assert len(rom.images[0].device_ids) == 485


def test_a_copy_that_was_worked_with() -> None:
    changed = bytearray(rom_image(0, "10de", "1184", last=True))
    changed[100] ^= 1
    assert parse(bytes(changed), "card.rom").images[0].checksum_ok is False


def test_an_unknown_type() -> None:
    assert parse(rom_image(9, "10de", "1184", last=True), "card.rom").images[0].code_type == "unknown (9)"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "card.rom is empty"),
        (b"\x7fELF", "no expansion ROM: expected 55 aa at its start, found 7f 45"),
        (b"NVGI" + LEGACY, "content of an NVIDIA card's flash"),
        (LEGACY[:10], "cut off in the header"),
        (LEGACY[:30], "cut off before the data structure"),
        (LEGACY[:600], "has 1024 bytes, 600 are there"),
        (LEGACY, "ends after 1 images, and the last one is yet to come"),
        (LEGACY + b"\0" * 600, "no image begins at byte 1024"),
        (LEGACY.replace(b"PCIR", b"ABCD"), "has no PCI data structure"),
    ],
)
def test_what_is_no_whole_rom(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(data, "card.rom")


def test_an_image_of_no_length_does_not_go_on_for_ever() -> None:
    data = bytearray(LEGACY)
    start = data.index(b"PCIR")
    data[start + 16 : start + 18] = struct.pack("<H", 0)
    with pytest.raises(InputError, match="has 0 bytes"):
        parse(bytes(data), "card.rom")


@given(st.binary(max_size=600))
def test_anything_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(InputError):
        parse(data, "card.rom")


@given(st.integers(0, 2047), st.binary(min_size=1, max_size=8))
def test_any_damage_is_read_or_refused(position: int, noise: bytes) -> None:
    data = bytearray(LEGACY + UEFI)
    data[position : position + len(noise)] = noise
    with contextlib.suppress(InputError):
        rom = parse(bytes(data), "card.rom")
        assert rom.length <= len(data)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading PE files that are whole, cut off or something else."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.portable_executable import read_pe
from tests.unit.plugins.unified_images import pe_file, unified_image

IMAGE = unified_image("6.12.43", " root=/dev/vda2 ro\n\0")


def test_sections_without_their_padding(tmp_path: Path) -> None:
    path = tmp_path / "a.efi"
    path.write_bytes(IMAGE)
    image = read_pe(str(path))
    assert image is not None
    assert image.names() == [".text", ".osrel", ".cmdline", ".uname", ".linux", ".initrd"]
    assert image.read(".linux") == b"kernel 6.12.43" * 99
    assert (image.text(".cmdline"), image.text(".uname"), image.text(".dtb")) == ("root=/dev/vda2 ro", "6.12.43", None)
    assert not image.signed


def test_a_signature_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.efi"
    path.write_bytes(pe_file({".text": b"x"}, signed=True))
    image = read_pe(str(path))
    assert image is not None
    assert image.signed


def test_what_is_no_pe_file(tmp_path: Path) -> None:
    path = tmp_path / "a.efi"
    assert read_pe(str(path)) is None
    assert read_pe(str(tmp_path)) is None
    for data in (b"", b"MZ", b"\x7fELF" + IMAGE[4:], IMAGE[:0x40] + b"NE\0\0" + IMAGE[0x44:]):
        path.write_bytes(data)
        assert read_pe(str(path)) is None


def test_no_cut_gives_a_file_with_less_in_it(tmp_path: Path) -> None:
    path = tmp_path / "a.efi"
    whole = len(IMAGE.rstrip(b"\0"))
    for size in range(0, whole, 97):
        path.write_bytes(IMAGE[:size])
        assert read_pe(str(path)) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.integers(0, 0x400), st.binary(min_size=1, max_size=12))
def test_damaged_headers_never_raise(tmp_path: Path, place: int, damage: bytes) -> None:
    path = tmp_path / "a.efi"
    path.write_bytes(IMAGE[:place] + damage + IMAGE[place + len(damage) :])
    image = read_pe(str(path))
    if image is not None:
        for name in image.names():
            image.read(name)

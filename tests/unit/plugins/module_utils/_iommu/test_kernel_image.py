# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu import kernel_image as tested
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.kernel_image import kernel_contains
from tests.unit.plugins.kernel_images import kernel_image, run_program

WANTED = b"pcie_acs_override"
NOISE = os.urandom((1 << 20) + 1000)
# The words lie across the border of two pieces that are read.
KERNEL = NOISE[: (1 << 20) - 5] + WANTED + NOISE[1 << 20 :]


def by_zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-c"], input=data, check=True, capture_output=True, timeout=30).stdout


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: kernel_image(gzip.compress(data, 1), appended_size=False),
    "xz": lambda data: kernel_image(lzma.compress(data, check=lzma.CHECK_CRC32, preset=0)),
    "lzma": lambda data: kernel_image(lzma.compress(data, format=lzma.FORMAT_ALONE, preset=0)),
    "bzip2": lambda data: kernel_image(bz2.compress(data)),
    "zstd": lambda data: kernel_image(by_zstd(data)),
    "gzip, setup_sects 0": lambda data: kernel_image(gzip.compress(data, 1), 0, appended_size=False),
}


def look(base: Path, image: bytes) -> bool:
    (base / "vmlinuz").write_bytes(image)
    return kernel_contains(Root(str(base)), run_program, "/vmlinuz", WANTED)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "scratch"
    directory.mkdir()
    monkeypatch.setattr(tested, "SCRATCH", str(directory))
    return directory


@pytest.mark.parametrize("packing", sorted(PACKINGS))
def test_words_in_a_kernel_are_found_and_only_those(tmp_path: Path, scratch: Path, packing: str) -> None:
    assert look(tmp_path, PACKINGS[packing](KERNEL))
    assert not look(tmp_path, PACKINGS[packing](NOISE))
    assert list(scratch.iterdir()) == []


DAMAGED = {
    "no kernel": b"MZ" + bytes(4096),
    "too short": b"MZ",
    "no payload": kernel_image(b"", appended_size=False) + gzip.compress(WANTED),
    "a size and no payload": kernel_image(b""),
    "unknown packing": kernel_image(b"\x02\x21\x4c\x18" + NOISE),
    "gzip cut": PACKINGS["gzip"](NOISE)[:60000],
    "xz cut": PACKINGS["xz"](NOISE)[:60000],
    "zstd cut": PACKINGS["zstd"](NOISE)[:60000],
}


@pytest.mark.parametrize("damage", sorted(DAMAGED))
def test_what_cannot_be_read_is_never_a_no(tmp_path: Path, scratch: Path, damage: str) -> None:
    with pytest.raises(ToolError, match="/vmlinuz cannot be looked into: "):
        look(tmp_path, DAMAGED[damage])
    assert list(scratch.iterdir()) == []


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "_ZSTD_PROGRAMS", ("/nowhere/zstd",))
    with pytest.raises(ToolError, match="no zstd on the host"):
        look(tmp_path, PACKINGS["zstd"](KERNEL))

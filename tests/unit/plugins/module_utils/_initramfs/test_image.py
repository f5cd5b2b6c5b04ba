# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import Listing, read_image
from tests.unit.plugins.cpio_images import archive, closed, member

TABLE = "etc/virtfleet-passthrough/vfio-devices"
FILES = {"init": b"#!/bin/sh\n", TABLE: b"generation 1\n", "bin/sh": b"\x7fELF" * 1000}
MICROCODE = archive({"kernel/x86/microcode/GenuineIntel.bin": b"microcode" * 99})


def program(*argv: str) -> Callable[[bytes], bytes]:
    def pack(data: bytes) -> bytes:
        return subprocess.run(argv, input=data, check=True, capture_output=True, timeout=30).stdout

    return pack


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda data: data,
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
    "zstd": program("zstd", "-q", "-c"),
    "lz4 legacy": program("lz4", "-l", "-c"),
    "lz4": program("lz4", "-c"),
}


class Host:
    """A root with an image in it; ``commands`` are the programs that were started."""

    def __init__(self, base: Path, data: bytes) -> None:
        self.root = Root(str(base))
        self.commands: list[str] = []
        self._base = base
        (base / "var/tmp").mkdir(parents=True, exist_ok=True)
        (base / "image").write_bytes(data)

    def run(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        self.commands.append(argv[0])
        inside = [str(self._base) + word if word.startswith("/") else word for word in argv]
        done = subprocess.run(inside, check=False, capture_output=True, text=True, timeout=30)
        return CommandResult(tuple(argv), done.returncode, done.stdout, done.stderr)

    def read(self, *patterns: str) -> Listing:
        return read_image(self.root, self.run, "/image", patterns)

    @property
    def leftovers(self) -> list[str]:
        return [path.name for path in (self._base / "var/tmp").iterdir()]


@pytest.mark.parametrize("packing", sorted(PACKINGS))
@pytest.mark.parametrize("before", [b"", MICROCODE], ids=["alone", "behind microcode"])
def test_every_packing_that_the_kernel_knows(tmp_path: Path, packing: str, before: bytes) -> None:
    host = Host(tmp_path, before + PACKINGS[packing](archive(FILES)))
    listing = host.read(TABLE, "bin/*")
    assert set(FILES) <= set(listing.names)
    assert ("kernel/x86/microcode/GenuineIntel.bin" in listing.names) == bool(before)
    assert listing.contents == {TABLE: FILES[TABLE], "bin/sh": FILES["bin/sh"]}
    assert len(host.commands) <= 1
    assert host.leftovers == []


def test_several_archives_in_one_image(tmp_path: Path) -> None:
    host = Host(tmp_path, MICROCODE + archive({"a": b"1"}) + gzip.compress(archive({"b": b"2"}) + archive({"c": b"3"})))
    assert {"a", "b", "c"} <= set(host.read().names)


def test_hard_links_carry_their_content_in_the_last_name(tmp_path: Path) -> None:
    members = member("first", b"", inode=7, links=2) + member("second", b"same", inode=7, links=2)
    assert Host(tmp_path, closed(members)).read("*").contents == {"first": b"same", "second": b"same"}


def test_names_are_normal_whatever_they_begin_with(tmp_path: Path) -> None:
    assert Host(tmp_path, archive({"./etc/a": b"", "/etc/b": b""})).read().names == ("etc/a", "etc/b")


def test_links_and_directories_have_no_content(tmp_path: Path) -> None:
    members = member("lib", b"usr/lib", mode=0o120777) + member("etc", b"", mode=0o040755)
    listing = Host(tmp_path, closed(members)).read("*")
    assert (listing.names, listing.contents) == (("etc", "lib"), {})


def test_modules_by_the_kernels_names(tmp_path: Path) -> None:
    directory = "usr/lib/modules/6.12.1-amd64/kernel/drivers"
    names = (f"{directory}/vfio/pci/vfio-pci.ko.xz", f"{directory}/net/e1000e.ko", f"{directory}/vfio/a.ko.zst", "b.ko")
    listing = Host(tmp_path, archive(dict.fromkeys(names, b""))).read()
    assert listing.modules == {"vfio_pci", "e1000e", "a"}


DAMAGES: dict[str, bytes] = {
    "empty": b"",
    "zeros": b"\0" * 4096,
    "text": b"This is no initramfs at all.",
    "cut in a file": archive(FILES)[:500],
    "cut before the trailer": archive(FILES)[:-600],
    "cut in gzip": gzip.compress(archive(FILES))[:-40],
    "cut in xz": lzma.compress(archive(FILES))[:-40],
    "cut in zstd": PACKINGS["zstd"](archive(FILES))[:-9],
    "cut in lz4": PACKINGS["lz4"](archive(FILES))[:-60],
    "bad header": archive(FILES)[:6] + b"XXXXXXXX" + archive(FILES)[14:],
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_a_damaged_image_is_never_taken_for_whole(tmp_path: Path, damage: str) -> None:
    host = Host(tmp_path, DAMAGES[damage])
    with pytest.raises(ToolError, match="/image"):
        host.read("*")
    assert host.leftovers == []


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    host = Host(tmp_path, b"")
    with pytest.raises(ToolError, match="/nothing cannot be read"):
        read_image(host.root, host.run, "/nothing")


@given(
    st.dictionaries(
        st.text("abc/", min_size=1, max_size=9).filter(lambda name: name.strip("/") == name and "//" not in name),
        st.binary(max_size=70),
        min_size=1,
        max_size=5,
    )
)
def test_what_was_packed_is_found(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    listing = Host(tmp_path_factory.mktemp("image"), archive(files)).read("*")
    assert listing.contents == files
    assert listing.names == tuple(sorted(files))


def test_the_programs_for_these_tests_are_there() -> None:
    assert shutil.which("zstd")
    assert shutil.which("lz4")

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small PE files with the sections of a unified kernel image, and a stand-in for ukify that makes them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

_ALIGNMENT = 512
_HEADERS = 0x400
_OPTIONAL_SIZE = 240
OS_RELEASE = b'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID="13"\n'

# ukify's options and the sections that they fill.
_SECTIONS = {
    "--linux": ".linux",
    "--initrd": ".initrd",
    "--microcode": ".ucode",
    "--os-release": ".osrel",
    "--uname": ".uname",
    "--cmdline": ".cmdline",
    "--splash": ".splash",
}


def pe_file(sections: Mapping[str, bytes], signed: bool = False) -> bytes:
    """A PE32+ file; the contents are padded as a linker does it."""
    optional = bytearray(_OPTIONAL_SIZE)
    struct.pack_into("<H", optional, 0, 0x20B)
    if signed:
        struct.pack_into("<II", optional, 112 + 8 * 4, 0x1000, 64)
    table, bodies, offset = b"", b"", _HEADERS
    for name, content in sections.items():
        raw = -(-len(content) // _ALIGNMENT) * _ALIGNMENT
        table += struct.pack("<8sIIII16x", name.encode(), len(content), offset, raw, offset)
        bodies += content.ljust(raw, b"\0")
        offset += raw
    header = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    coff = b"PE\0\0" + struct.pack("<HH12xHH", 0x8664, len(sections), _OPTIONAL_SIZE, 0x22)
    return (header + coff + bytes(optional) + table).ljust(_HEADERS, b"\0") + bodies


def unified_image(release: str, line: str, **sections: bytes) -> bytes:
    """What kernel-install and ukify make for one kernel; keywords add sections."""
    content = {
        ".text": b"stub",
        ".osrel": OS_RELEASE,
        ".cmdline": line.encode(),
        ".uname": release.encode(),
        ".linux": f"kernel {release}".encode() * 99,
        ".initrd": f"initramfs {release}".encode() * 99,
    }
    return pe_file({**content, **{f".{name}": data for name, data in sections.items()}})


class FakeUkify:
    """Checks its arguments, makes the image, and fails in the ``failure`` way."""

    def __init__(self, failure: str | None = None, signs: bool = False) -> None:
        self.failure = failure
        self.signs = signs

    def __call__(self, argv: Sequence[str], cwd: str | None) -> tuple[int, str]:
        assert cwd is not None
        directory = Path(cwd)
        if argv[0] == "/usr/bin/sbctl":
            assert list(argv[1:]) == ["sign", "image.efi"]
            return 0, ""
        assert list(argv[:2]) == ["/usr/bin/ukify", "build"]
        options = {argv[index]: argv[index + 1] for index in range(2, len(argv), 2)}
        output = directory / options.pop("--output")
        options.pop("--config", None)
        sections = {".text": b"newer stub"}
        for option, value in options.items():
            name = value.removeprefix("@")
            literal = option == "--uname"
            sections[_SECTIONS[option]] = value.encode() if literal else (directory / name).read_bytes()
        if self.failure == "another initramfs":
            sections[".initrd"] += b"more"
        if self.failure == "another line":
            sections[".cmdline"] += b" quiet"
        image = pe_file(sections, self.signs)
        if self.failure == "truncated":
            image = image[: len(image) // 2]
        if self.failure != "nothing":
            output.write_bytes(b"" if self.failure == "empty" else image)
        return (1, "no such stub") if self.failure == "exit status" else (0, "")

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The sections of a PE file, which is what a unified kernel image is: only headers and what is asked for is read.

Source: Microsoft's "PE Format" (headers, section table, data directories); UAPI.5 for the sections' meaning.
"""

from __future__ import annotations

import dataclasses
import struct
import typing as t

_POINTER_TO_HEADER = 0x3C
_MAGIC = {0x10B: 96, 0x20B: 112}
_SECTION = struct.Struct("<8sIIII16x")
_SECURITY_DIRECTORY = 4
# More than any linker makes; a damaged header must not make us read for long.
_MOST_SECTIONS = 256


@dataclasses.dataclass(frozen=True)
class Section:
    """Where the content lies in the file, without the padding that aligns it."""

    name: str
    offset: int
    size: int


@dataclasses.dataclass(frozen=True)
class PeFile:
    """A file's sections in order, at ``path`` (a real path), and whether it carries a signature."""

    path: str
    sections: tuple[Section, ...]
    signed: bool

    def names(self) -> list[str]:
        return [section.name for section in self.sections]

    def read(self, name: str) -> bytes | None:
        """The content of the first section ``name``, ``None`` where there is none or the file ends before it does."""
        section = next((section for section in self.sections if section.name == name), None)
        if section is None:
            return None
        with open(self.path, "rb") as stream:
            stream.seek(section.offset)
            content = stream.read(section.size)
        return content if len(content) == section.size else None

    def text(self, name: str) -> str | None:
        """A section of text, without the zero bytes and blanks that end it."""
        content = self.read(name)
        return None if content is None else content.decode("utf-8", "surrogateescape").rstrip("\0").strip()


def read_pe(path: str) -> PeFile | None:
    """The file at ``path`` (a real path); ``None`` where it is missing, cut off or no PE file."""
    try:
        with open(path, "rb") as stream:
            return _read(path, stream)
    except (OSError, struct.error):
        return None


def _read(path: str, stream: t.BinaryIO) -> PeFile | None:
    if stream.read(2) != b"MZ":
        return None
    stream.seek(_POINTER_TO_HEADER)
    start = struct.unpack("<I", stream.read(4))[0]
    stream.seek(start)
    if stream.read(4) != b"PE\0\0":
        return None
    _machine, count, optional_size = struct.unpack("<HH12xH2x", stream.read(20))
    optional = stream.read(optional_size)
    if count > _MOST_SECTIONS or len(optional) != optional_size:
        return None
    sections = tuple(_section(stream.read(_SECTION.size)) for _number in range(count))
    end = stream.seek(0, 2)
    if any(section.offset + section.size > end for section in sections):
        return None
    return PeFile(path, sections, _is_signed(optional))


def _section(header: bytes) -> Section:
    name, virtual_size, _address, raw_size, offset = _SECTION.unpack(header)
    # Uninitialised data has no bytes in the file.
    size = min(virtual_size, raw_size) if virtual_size else raw_size
    return Section(name.rstrip(b"\0").decode("ascii", "replace"), offset if size else 0, size)


def _is_signed(optional: bytes) -> bool:
    directories = _MAGIC.get(struct.unpack_from("<H", optional)[0], 0) if len(optional) >= 2 else 0
    place = directories + 8 * _SECURITY_DIRECTORY
    return bool(directories) and len(optional) >= place + 8 and struct.unpack_from("<II", optional, place)[1] > 0

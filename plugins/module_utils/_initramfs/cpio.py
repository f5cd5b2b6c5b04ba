# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Reading cpio archives in the kernel's "newc" form, as a stream.

Format: Documentation/driver-api/early-userspace/buffer-format.rst. An initramfs is a sequence of
archives with zero bytes between them; any of them may be compressed.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError

MAGICS = (b"070701", b"070702")
TRAILER = "TRAILER!!!"

_HEADER_SIZE = 110
_S_IFMT = 0o170000
_S_IFREG = 0o100000
_SKIP_CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Member:
    """One name in an archive; ``content`` only where it was asked for. ``inode`` ties hard links together:
    all but the last of them come without content."""

    name: str
    is_regular: bool
    size: int
    inode: tuple[int, int, int]
    links: int
    content: bytes | None


def read_archive(stream: t.BinaryIO, wanted: t.Callable[[str], bool]) -> t.Iterator[Member]:
    """The members of one archive, its magic being next in ``stream``; leaves the stream behind its trailer.

    ``wanted`` tells from a name (without leading ``/`` or ``./``) whether the content is to be read.
    """
    while True:
        header = stream.read(_HEADER_SIZE)
        if len(header) != _HEADER_SIZE or header[:6] not in MAGICS:
            raise ToolError("the archive breaks off or is damaged: no cpio header where one must be")
        try:
            numbers = [int(header[start : start + 8], 16) for start in range(6, _HEADER_SIZE, 8)]
        except ValueError as exc:
            raise ToolError("the archive is damaged: a cpio header holds no numbers") from exc
        inode, mode, _uid, _gid, links, _mtime, size, major, minor, _rmajor, _rminor, name_size, _check = numbers
        raw = _read_exactly(stream, name_size + -(_HEADER_SIZE + name_size) % 4)
        name = raw[: name_size - 1].decode("utf-8", "surrogateescape")
        if name == TRAILER:
            return
        name = name[2:] if name.startswith("./") else name.lstrip("/")
        is_regular = mode & _S_IFMT == _S_IFREG
        content = None
        if is_regular and wanted(name):
            content = _read_exactly(stream, size)
            _skip(stream, -size % 4)
        else:
            _skip(stream, size + -size % 4)
        yield Member(name, is_regular, size, (inode, major, minor), links, content)


def skip_zeros(stream: t.BinaryIO) -> bytes:
    """Go past the zero bytes between archives and give the next six bytes, short at the end of the stream."""
    while True:
        word = stream.read(4)
        if not word.strip(b"\0"):
            if len(word) < 4:
                return b""
            continue
        return word + stream.read(2)


def _read_exactly(stream: t.BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise ToolError("the archive breaks off in the middle of a file")
    return data


def _skip(stream: t.BinaryIO, size: int) -> None:
    # By reading, because a seek would go past the end of a truncated file without a word.
    while size > 0:
        data = stream.read(min(size, _SKIP_CHUNK))
        if not data:
            raise ToolError("the archive breaks off in the middle of a file")
        size -= len(data)

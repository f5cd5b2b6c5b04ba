# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Whether a kernel image for x86 holds a string: the image unpacks itself, so its content is packed.

Layout: Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header". Read in pieces: an image has 60 MiB and more
once it is unpacked.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import struct
import tempfile
import typing as t
import zlib

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, first_existing

# The unpacked kernel is too large for a file system in memory.
SCRATCH = os.path.join("/var", "tmp")

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_PROGRAMS = ("/usr/bin/zstd", "/bin/zstd", "/usr/local/bin/zstd")

_HEADER_SIZE = 0x250
_PIECE = 1 << 20
# The kernel's build appends the unpacked size, except to what ends with it anyway (gzip); programs and libraries
# take that for the beginning of something broken (scripts/Makefile.lib, size_append).
_APPENDED_SIZE = 4

# First bytes of the payload; gzip, xz and zstd are what distributions use.
_READERS: t.Mapping[bytes, t.Callable[[t.BinaryIO], t.Any]] = {
    _GZIP_MAGIC: lambda stream: gzip.GzipFile(fileobj=stream),
    b"\xfd7zXZ\x00": lzma.open,
    b"\x5d\x00\x00": lzma.open,
    b"BZh": bz2.open,
}


def kernel_contains(root: Root, run: Runner, path: str, wanted: bytes) -> bool:
    """Whether the unpacked kernel in ``path`` (as the host sees it) holds ``wanted``.

    Raises :class:`ToolError`, with what is missing, where that cannot be told.
    """
    try:
        with open(root.path(path), "rb") as image:
            payload = _Payload.find(image)
            return _search(run, image, payload, wanted)
    except (OSError, EOFError, lzma.LZMAError, zlib.error, ToolError) as exc:
        raise ToolError(f"{path} cannot be looked into: {exc}") from exc


class _Payload(t.NamedTuple):
    """Where the packed kernel lies in the image, in bytes."""

    offset: int
    length: int

    @classmethod
    def find(cls, image: t.BinaryIO) -> _Payload:
        header = image.read(_HEADER_SIZE)
        if len(header) < _HEADER_SIZE or header[0x202:0x206] != b"HdrS":
            raise ToolError("it is no kernel image for x86")
        # Zero stands for four here; the sector with the boot code comes on top.
        setup_sectors = (header[0x1F1] or 4) + 1
        offset, length = struct.unpack_from("<II", header, 0x248)
        if length <= _APPENDED_SIZE:
            # Boot protocols before 2.08 do not say where it is.
            raise ToolError("its header names no packed kernel")
        return cls(setup_sectors * 512 + offset, length)


def _search(run: Runner, image: t.BinaryIO, payload: _Payload, wanted: bytes) -> bool:
    image.seek(payload.offset)
    magic = image.read(6)
    image.seek(payload.offset)
    length = payload.length if magic.startswith(_GZIP_MAGIC) else payload.length - _APPENDED_SIZE
    packed = t.cast(t.BinaryIO, io.BufferedReader(_Window(image, length)))
    if magic.startswith(_ZSTD_MAGIC):
        return _search_zstd(run, packed, wanted)
    for start, reader in _READERS.items():
        if magic.startswith(start):
            with reader(packed) as unpacked:
                return _holds(unpacked, wanted)
    raise ToolError(f"the kernel in it is packed in a way that is not known here, it begins with {magic.hex(' ')}")


def _search_zstd(run: Runner, packed: t.BinaryIO, wanted: bytes) -> bool:
    if first_existing(Root(), _ZSTD_PROGRAMS) is None:
        raise ToolError("the kernel in it is packed with zstd, and there is no zstd on the host")
    directory = tempfile.mkdtemp(prefix="virtfleet-kernel-", dir=SCRATCH)
    try:
        source, target = os.path.join(directory, "packed"), os.path.join(directory, "unpacked")
        with open(source, "wb") as stream:
            shutil.copyfileobj(packed, stream)
        run_checked(run, ("zstd", "-d", "-q", "-f", source, "-o", target), "Unpacking the kernel failed")
        with open(target, "rb") as unpacked:
            return _holds(unpacked, wanted)
    finally:
        shutil.rmtree(directory)


class _Window(io.RawIOBase):
    """The next ``length`` bytes of a stream, after which it seems to end."""

    def __init__(self, stream: t.BinaryIO, length: int) -> None:
        self._stream = stream
        self._left = length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        data = self._stream.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


def _holds(stream: t.BinaryIO, wanted: bytes) -> bool:
    rest = b""
    while True:
        piece = stream.read(_PIECE)
        if not piece:
            return False
        window = rest + piece
        if wanted in window:
            return True
        rest = window[-(len(wanted) - 1) :]

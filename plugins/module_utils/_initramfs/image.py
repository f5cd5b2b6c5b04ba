# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Looking into an initramfs image: every name in it, and the content of chosen files.

One pass, at most one process. The generators' own listing programs unpack the image through a chain of
processes for every question asked.
"""

from __future__ import annotations

import bz2
import contextlib
import dataclasses
import fnmatch
import gzip
import lzma
import os
import re
import shutil
import tempfile
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.portable_executable import read_pe
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.cpio import (
    MAGICS,
    Member,
    read_archive,
    skip_zeros,
)

# Unpacked images are too large for a file system in memory.
SCRATCH = os.path.join("/var", "tmp")

# booster has them without the release and the directories of the kernel's tree.
_MODULE = re.compile(r"(?:.*/)?lib/modules/(?:.*/)?([^/]+)\.ko(?:\.[a-z0-9]+)?")

# First bytes of what lib/decompress.c in the kernel knows.
_PYTHON_READERS: t.Mapping[bytes, t.Callable[[t.BinaryIO], t.Any]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream),
    b"\xfd7zXZ\x00": lzma.open,
    b"\x5d\x00\x00": lzma.open,
    b"BZh": bz2.open,
}
_PROGRAMS: t.Mapping[bytes, tuple[str, ...]] = {
    b"\x28\xb5\x2f\xfd": ("zstd", "-d", "-q", "-f", "{source}", "-o", "{target}"),
    b"\x02\x21\x4c\x18": ("lz4", "-d", "-q", "-f", "{source}", "{target}"),
    b"\x04\x22\x4d\x18": ("lz4", "-d", "-q", "-f", "{source}", "{target}"),
    b"\x89LZO": ("lzop", "-d", "-q", "-f", "-o", "{target}", "{source}"),
}


@dataclasses.dataclass(frozen=True)
class Listing:
    """``names`` is every name in the image, sorted; ``contents`` the files that were asked for."""

    names: tuple[str, ...]
    contents: t.Mapping[str, bytes]

    @property
    def modules(self) -> frozenset[str]:
        """The kernel modules in the image, with underscores as the kernel names them."""
        return frozenset(
            match.group(1).replace("-", "_") for name in self.names if (match := _MODULE.fullmatch(name)) is not None
        )


def read_image(root: Root, run: Runner, path: str, patterns: t.Collection[str] = ()) -> Listing:
    """List the image at ``path`` (as the host sees it) and read the files whose names match ``patterns``. Of a unified
    kernel image, the initramfs inside.

    Names have no leading ``/``. Raises :class:`ToolError` for an image that is empty, breaks off, or is
    packed in a way that the kernel does not know.
    """
    collector = _Collector(patterns)
    try:
        with _inside(root, path) as (inner_path, stream):
            _walk(root, run, inner_path, stream, collector)
    except ToolError as exc:
        raise ToolError(f"{path}: {exc}") from exc
    except (OSError, EOFError, lzma.LZMAError) as exc:
        raise ToolError(f"{path} cannot be read as an initramfs: {exc}") from exc
    if not collector.names:
        raise ToolError(f"{path} holds nothing: it is no initramfs")
    return Listing(tuple(sorted(collector.names)), collector.contents)


class _Collector:
    def __init__(self, patterns: t.Collection[str]) -> None:
        # Compiled into one, because every name of the image is asked for.
        self._pattern = re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns)) if patterns else None
        self.names: set[str] = set()
        self.contents: dict[str, bytes] = {}
        self._links: dict[tuple[int, int, int], list[str]] = {}

    def wanted(self, name: str) -> bool:
        return self._pattern is not None and self._pattern.match(name) is not None

    def add(self, member: Member) -> None:
        self.names.add(member.name)
        if not member.is_regular or not self.wanted(member.name):
            return
        content = member.content or b""
        self.contents[member.name] = content
        if member.links > 1:
            same = self._links.setdefault(member.inode, [])
            same.append(member.name)
            if content:
                self.contents.update(dict.fromkeys(same, content))


@contextlib.contextmanager
def _inside(root: Root, path: str) -> t.Iterator[tuple[str, t.BinaryIO]]:
    """The file itself, or what a unified kernel image has in its section ``.initrd``, in a file of its own."""
    unified = read_pe(root.path(path))
    if unified is None:
        with open(root.path(path), "rb") as stream:
            yield path, stream
        return
    content = unified.read(".initrd")
    if content is None:
        raise ToolError("it is a unified kernel image without an initramfs")
    directory = tempfile.mkdtemp(prefix="virtfleet-initramfs-", dir=root.path(SCRATCH))
    try:
        with open(os.path.join(directory, "initrd"), "w+b") as stream:
            stream.write(content)
            stream.flush()
            stream.seek(0)
            yield f"{SCRATCH}/{os.path.basename(directory)}/initrd", stream
    finally:
        shutil.rmtree(directory)


def _walk(root: Root, run: Runner, path: str, stream: t.BinaryIO, collector: _Collector) -> None:
    """Go through the archives in ``stream``; ``path`` is the file that it reads, as the host sees it."""
    while True:
        magic = skip_zeros(stream)
        if not magic:
            return
        stream.seek(-len(magic), os.SEEK_CUR)
        if magic in MAGICS:
            for member in read_archive(stream, collector.wanted):
                collector.add(member)
            continue
        with _unpacked(root, run, path, stream, magic) as (inner_path, inner):
            _walk(root, run, inner_path, inner, collector)
        return


@contextlib.contextmanager
def _unpacked(
    root: Root, run: Runner, path: str, stream: t.BinaryIO, magic: bytes
) -> t.Iterator[tuple[str, t.BinaryIO]]:
    for start, opener in _PYTHON_READERS.items():
        if magic.startswith(start):
            with opener(stream) as inner:
                yield path, inner
            return
    command = next((command for start, command in _PROGRAMS.items() if magic.startswith(start)), None)
    if command is None:
        raise ToolError(f"unknown packing, it begins with {magic.hex(' ')}")
    directory = tempfile.mkdtemp(prefix="virtfleet-initramfs-", dir=root.path(SCRATCH))
    try:
        source = _remainder(path, stream, directory)
        target = f"{SCRATCH}/{os.path.basename(directory)}/unpacked"
        argv = [word.format(source=source, target=target) for word in command]
        run_checked(run, argv, f"Unpacking {path} failed")
        with open(root.path(target), "rb") as inner:
            yield target, inner
    finally:
        shutil.rmtree(directory)


def _remainder(path: str, stream: t.BinaryIO, directory: str) -> str:
    """A file that holds what is left in ``stream``: the image itself where nothing stands before it."""
    if stream.tell() == 0:
        return path
    with open(os.path.join(directory, "packed"), "wb") as target:
        shutil.copyfileobj(stream, target)
    return f"{SCRATCH}/{os.path.basename(directory)}/packed"

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The initramfs of a booted topology: busybox, one module and one script, packed without any tool."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab.fuzz.kernel import PF_MODULE, Kernel

INIT = Path(__file__).resolve().parent / "guest/init"
_DIRECTORY, _REGULAR, _LINK = 0o040755, 0o100755, 0o120777


def build(kernel: Kernel) -> bytes:
    """Give the archive for a kernel; the same content gives the same bytes."""
    return archive(
        {
            "init": INIT.read_bytes(),
            "bin/busybox": kernel.busybox.read_bytes(),
            PF_MODULE: kernel.pf_module.read_bytes(),
        },
        {"bin/sh": "busybox"},
    )


def archive(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    """Pack executable files and symbolic links, with the directories that they need, as cpio ("newc") and gzip."""
    names = {Path(name) for name in (*files, *links)}
    directories = sorted({parent.as_posix() for name in names for parent in name.parents if parent.name})
    entries: list[tuple[str, int, bytes]] = [(name, _DIRECTORY, b"") for name in directories]
    entries += [(name, _REGULAR, content) for name, content in files.items()]
    entries += [(name, _LINK, target.encode()) for name, target in links.items()]
    packed = b"".join(_entry(number, *entry) for number, entry in enumerate(entries, start=1))
    return gzip.compress(packed + _entry(0, "TRAILER!!!", 0, b""), mtime=0)


def _entry(inode: int, name: str, mode: int, content: bytes) -> bytes:
    """One entry (Documentation/driver-api/early-userspace/buffer-format.rst): eight hex digits for each number."""
    path = name.encode() + b"\0"
    user = group = time = device = check = 0
    # A link counts itself; the trailer is nothing that could have links.
    links = 1
    numbers = (inode, mode, user, group, links, time, len(content), *[device] * 4, len(path), check)
    header = b"070701" + b"".join(b"%08X" % number for number in numbers)
    return b"".join(_padded([header + path, content]))


def _padded(parts: list[bytes]) -> Iterator[bytes]:
    for part in parts:
        yield part + b"\0" * (-len(part) % 4)

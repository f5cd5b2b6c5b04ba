# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logs of writes for the tests: made by hand, and recorded by QEMU's own tool."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

SECTOR = 512
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8


def superblock(magic: int = 0x6A736677736872, version: int = 1, sector: int = SECTOR) -> bytes:
    return struct.pack("<QQQI", magic, version, 0, sector).ljust(SECTOR, b"\0")


def header(first: int, sectors: int, flags: int = 0, extra: int = 0) -> bytes:
    return struct.pack("<QQQQ", first, sectors, flags, extra).ljust(SECTOR, b"\0")


def write(first: int, *fill: int, flags: int = 0) -> bytes:
    """A write of one sector for each byte of ``fill``."""
    return header(first, len(fill), flags) + b"".join(bytes([byte]) * SECTOR for byte in fill)


def flush() -> bytes:
    return header(0, 0, FLUSH)


def recorded(directory: Path, size: int, *commands: str) -> tuple[Path, Path]:
    """Let ``qemu-io`` do ``commands`` on an empty disk; give the disk and the log."""
    disk, log = directory / "disk.raw", directory / "writes.log"
    disk.write_bytes(bytes(size))
    log.write_bytes(b"")
    options = f"driver=blklogwrites,file.driver=file,file.filename={disk},log.driver=file,log.filename={log}"
    words = [word for command in commands for word in ("-c", command)]
    subprocess.run(["qemu-io", "-c", f"open -o discard=unmap,{options}", *words], check=True, timeout=60)
    return disk, log

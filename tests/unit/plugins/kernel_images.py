# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel images for x86 as far as their packing goes, and real programs to unpack them."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult


def kernel_image(packed: bytes, setup_sectors: int = 30, *, appended_size: bool = True) -> bytes:
    """A bzImage around a packed kernel; something follows the payload, as in real ones."""
    payload = packed + (struct.pack("<I", 0x40001) if appended_size else b"")
    image = bytearray(((setup_sectors or 4) + 1) * 512)
    image[0x1F1] = setup_sectors
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", image, 0x248, 700, len(payload))
    return bytes(image) + b"\xcc" * 700 + payload + b"\xcc" * 5000


def run_program(argv: Sequence[str], cwd: str | None = None) -> CommandResult:
    result = subprocess.run(list(argv), check=False, cwd=cwd, capture_output=True, text=True, timeout=30)
    return CommandResult(tuple(argv), result.returncode, result.stdout, result.stderr)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""EFI variables as the kernel shows them in efivarfs, put into a tree."""

from __future__ import annotations

import struct
import uuid
from pathlib import Path

_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
_LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
# Non-volatile, boot service and run time access.
_ATTRIBUTES = b"\x07\0\0\0"
_END = b"\x7f\xff\x04\x00"
MAC = struct.pack("<BBH", 3, 11, 37) + bytes(33)
IPV4 = struct.pack("<BBH", 3, 12, 27) + bytes(23)


def hard_drive(guid: str, signature_type: int = 2) -> bytes:
    """The device path node of a GPT partition."""
    head = struct.pack("<BBHIQQ", 4, 1, 42, 1, 2048, 1048576)
    return head + uuid.UUID(guid).bytes_le + bytes((2, signature_type))


def file_path(path: str) -> bytes:
    data = path.encode("utf-16-le") + b"\0\0"
    return struct.pack("<BBH", 4, 4, 4 + len(data)) + data


def load_option(*nodes: bytes, description: str = "Linux") -> bytes:
    """The value of a ``Boot####`` variable."""
    path = b"".join(nodes) + _END
    return struct.pack("<IH", 1, len(path)) + description.encode("utf-16-le") + b"\0\0" + path


def set_variable(base: Path, name: str, value: bytes, vendor: str = _GLOBAL) -> None:
    directory = base / "sys/firmware/efi/efivars"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}-{vendor}").write_bytes(_ATTRIBUTES + value)


def set_loader_variable(base: Path, name: str, text: str) -> None:
    """A variable of the Boot Loader Interface."""
    set_variable(base, name, text.encode("utf-16-le") + b"\0\0", _LOADER)


def set_boot_current(base: Path, option: bytes, number: int = 0x1A) -> None:
    """The firmware started this."""
    set_variable(base, "BootCurrent", struct.pack("<H", number))
    set_variable(base, f"Boot{number:04X}", option)

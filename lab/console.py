# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The serial console: its log as a person can read it, and its keyboard."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path

from lab.sockets import connected

KEYBOARD = "console.sock"
_TYPING = 5.0

_PLACE = re.compile(r"\x1b\[[0-9;]*[Hf]")
_ESCAPE = re.compile(r"\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[=>cM78])")
_OTHER = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def clean(raw: str) -> str:
    """Drop the terminal's control sequences; moving the cursor becomes a new line."""
    text = _PLACE.sub("\n", raw.replace("\r", "\n"))
    text = _OTHER.sub("", _ESCAPE.sub("", text))
    lines = (line.rstrip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def read(path: Path) -> str:
    try:
        return clean(path.read_bytes().decode("utf-8", errors="replace"))
    except FileNotFoundError:
        return ""


def last_line(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            handle.seek(0, 2)
            handle.seek(max(0, handle.tell() - 8192))
            tail = clean(handle.read().decode("utf-8", errors="replace"))
    except FileNotFoundError:
        return ""
    return tail.rpartition("\n")[2].strip()[:100]


def type_line(directory: Path, text: str) -> None:
    """Type on the console of the host with this directory; OSError when its QEMU does not take it."""
    with connected(directory, KEYBOARD, 10) as keyboard:
        keyboard.sendall(f"{text}\n".encode())
        # Its serial port takes a few characters at a time, and what it has not taken goes with the connection.
        keyboard.settimeout(1)
        begun = time.monotonic()
        with suppress(TimeoutError):
            while time.monotonic() - begun < _TYPING and keyboard.recv(4096):
                pass

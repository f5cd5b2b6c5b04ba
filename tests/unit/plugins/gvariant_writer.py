# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Serialised GVariant values, as GLib writes them (the test compares with a file that GLib wrote)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def string(text: str) -> bytes:
    return text.encode() + b"\0"


def strings(texts: Sequence[str]) -> bytes:
    return _array([string(text) for text in texts], alignment=1)


def dictionary(members: Mapping[str, tuple[str, bytes]]) -> bytes:
    """``a{sv}``: name → type string and serialised value."""
    return _array([_entry(name, kind, data) for name, (kind, data) in members.items()], alignment=8)


def _entry(name: str, kind: str, data: bytes) -> bytes:
    key = string(name)
    body = key + bytes(-len(key) % 8) + data + b"\0" + kind.encode()
    return _with_offsets(body, [len(key)])


def _array(members: Sequence[bytes], alignment: int) -> bytes:
    body, ends = b"", []
    for member in members:
        body += bytes(-len(body) % alignment) + member
        ends.append(len(body))
    return _with_offsets(body, ends)


def _with_offsets(body: bytes, offsets: Sequence[int]) -> bytes:
    size = next(size for size in (1, 2, 4) if len(body) + size * len(offsets) < 1 << (8 * size))
    return body + b"".join(offset.to_bytes(size, "little") for offset in offsets)

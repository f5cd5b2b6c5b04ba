# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes initramfs images: archives in the kernel's form, one after the other, packed as the kernel can unpack them."""

from __future__ import annotations

from collections.abc import Mapping


def header(name: str, size: int, mode: int, inode: int, links: int = 1) -> bytes:
    numbers = (inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, len(name) + 1, 0)
    raw = b"070701" + b"".join(b"%08X" % number for number in numbers) + name.encode() + b"\0"
    return raw + b"\0" * (-len(raw) % 4)


def member(name: str, content: bytes = b"", mode: int = 0o100644, inode: int = 1, links: int = 1) -> bytes:
    data = header(name, len(content), mode, inode, links) + content
    return data + b"\0" * (-len(content) % 4)


def archive(files: Mapping[str, bytes], *, block: int = 512) -> bytes:
    """A whole archive, padded with zeros as cpio does."""
    members = (member(name, content, inode=inode) for inode, (name, content) in enumerate(files.items(), 1))
    return closed(b"".join(members), block=block)


def closed(members: bytes, *, block: int = 512) -> bytes:
    data = members + header("TRAILER!!!", 0, 0, 0)
    return data + b"\0" * (-len(data) % block)

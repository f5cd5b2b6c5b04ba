# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The archive that a topology boots: read back by the code that reads a host's images."""

from __future__ import annotations

import gzip
import io

from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.cpio import Member, read_archive
from lab.fuzz import initramfs

FILES = {"init": b"#!/bin/sh\n", "lib/deep/module.ko": b"\x7fELF and five"}


def members() -> list[Member]:
    packed = gzip.decompress(initramfs.archive(FILES, {"bin/sh": "busybox"}))
    return list(read_archive(io.BytesIO(packed), lambda _name: True))


def test_everything_is_in_it_and_directories_come_first() -> None:
    names = [member.name for member in members()]
    assert names == ["bin", "lib", "lib/deep", "init", "lib/deep/module.ko", "bin/sh"]


def test_content_survives() -> None:
    assert {member.name: member.content for member in members() if member.is_regular} == FILES


def test_same_content_same_bytes() -> None:
    assert initramfs.archive(FILES, {}) == initramfs.archive(FILES, {})

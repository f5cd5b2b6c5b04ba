# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the ledger remembers of images that were looked into, so that an unchanged image costs one ``stat``."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.proof import Found
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

SECTION = "images"


def image_stamp(root: Root, path: str) -> dict[str, int] | None:
    """By what a replaced or rewritten image is told from the one that was looked into; ``None`` where there is none."""
    try:
        status = os.stat(root.path(path))
    except OSError:
        return None
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "inode": status.st_ino}


def recall(ledger: Ledger, path: str, stamp: t.Mapping[str, int] | None) -> Found | None:
    """What was found in the very image that lies at ``path`` now, or ``None`` if nobody has looked yet."""
    record = ledger.section(SECTION).get(path)
    if record is None or stamp is None or record["stamp"] != dict(stamp):
        return None
    return Found.from_json(record)


def is_known(ledger: Ledger, path: str) -> bool:
    """Whether some image at ``path`` was looked into: then it may hold files of ours."""
    return path in ledger.section(SECTION)


def remember(ledger: Ledger, path: str, kernel: str, stamp: t.Mapping[str, int], found: Found) -> None:
    ledger.section(SECTION)[path] = {"kernel": kernel, "stamp": dict(stamp), **found.to_json()}


def suspect(ledger: Ledger, path: str, kernel: str) -> None:
    """Note that the image at ``path`` may hold files of ours although nobody has looked into it."""
    ledger.section(SECTION).setdefault(path, {"kernel": kernel, "stamp": {}, "files": {}, "modules": []})


def forget_removed(root: Root, ledger: Ledger, installed: t.Collection[str]) -> tuple[list[str], list[str]]:
    """Forget the images of kernels that are no longer ``installed``: nobody can build them again.

    Gives what was forgotten, and which of those still lie there with what we put into them.
    """
    section = ledger.section(SECTION)
    forgotten = [path for path, entry in section.items() if entry["kernel"] not in installed]
    for path in forgotten:
        del section[path]
    return forgotten, [path for path in forgotten if image_stamp(root, path) is not None]


def forget(ledger: Ledger, path: str) -> None:
    ledger.section(SECTION).pop(path, None)

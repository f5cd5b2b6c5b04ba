# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Whether building an image fits on the disk: one image beside the old one, and the work on it.

The plan and the writer judge alike, from sizes and free bytes that were read before.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import SCRATCH

# Sizes in bytes for a kernel that has no image yet, and what may be added to one.
_USUAL_IMAGE = 96 << 20
_GROWTH = 8 << 20
# Unpacked once by the generator, packed again, and unpacked once more for the proof.
_SCRATCH_FACTOR = 6
# What is left free beside a copy for a boot loader, for the files that are written after it.
RESERVE: t.Final = 4 << 20


def image_size(root: Root, path: str) -> int:
    """The image's size in bytes, 0 where there is none."""
    try:
        return os.path.getsize(root.path(path))
    except OSError:
        return 0


def read_free(root: Root, paths: t.Iterable[str]) -> dict[str, int]:
    """Free bytes in the directories of the images ``paths`` and in the one where images are worked on."""
    directories = dict.fromkeys((*(os.path.dirname(path) for path in paths), SCRATCH))
    return {name: shutil.disk_usage(root.path(name)).free for name in directories if root.exists(name)}


def needed_for(root: Root, path: str) -> int:
    """The bytes that a new image in place of the one at ``path`` takes."""
    return new_size(image_size(root, path))


def new_size(size: int) -> int:
    """The bytes that a new image in place of one of ``size`` takes at most; 0 is for one that is not there."""
    return (size or _USUAL_IMAGE) + _GROWTH


def scratch_size(size: int) -> int:
    """The bytes that the work on it takes meanwhile."""
    return (size or _USUAL_IMAGE) * _SCRATCH_FACTOR


@dataclasses.dataclass(frozen=True)
class Step:
    """``size`` bytes come to ``directory``, or go from there where it is negative."""

    directory: str
    size: int


def worst_moment(steps: t.Iterable[Step], file_systems: t.Mapping[str, str]) -> dict[str, int]:
    """The most that ``steps``, one after the other, take of each file system; ``file_systems`` names that of each
    directory, and a directory that is not in it does not count."""
    taken: dict[str, int] = {}
    most: dict[str, int] = {}
    for step in steps:
        name = file_systems.get(step.directory)
        if name is not None:
            taken[name] = taken.get(name, 0) + step.size
            most[name] = max(most.get(name, 0), taken[name])
    return most


def shortages(kernel: str, path: str, size: int, free: t.Mapping[str, int]) -> list[str]:
    """Why the image at ``path`` (now ``size`` bytes) cannot be built, with the numbers; ``free`` as :func:`read_free`
    gives it."""
    needs = (
        (os.path.dirname(path), new_size(size), f"the new image of {kernel}"),
        (SCRATCH, scratch_size(size), f"building the image of {kernel}"),
    )
    return [
        f"{directory} has {free[directory] >> 20} MiB free, {purpose} needs {-(-needed >> 20)} MiB: make room there. "
        "Nothing was changed"
        for directory, needed, purpose in needs
        if directory in free and free[directory] < needed
    ]

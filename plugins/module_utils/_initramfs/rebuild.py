# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Building an image beside the old one, proving it, and only then moving it into place."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import (
    Root,
    file_meta,
    move_into_place,
    sync_boot_filesystem,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import read_image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.interface import Generator
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.proof import (
    Found,
    Need,
    our_patterns,
    shortfalls,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.space import (
    image_size,
    read_free,
    shortages,
)

SUFFIX = ".virtfleet-new"


@dataclasses.dataclass(frozen=True)
class Job:
    """One image to build: for ``kernel``, at ``path`` as the host sees it, holding ``need``."""

    kernel: str
    path: str
    need: Need


def new_name(path: str) -> str:
    """A name beside the image that no boot loader takes for one (they look for names that begin with it)."""
    directory, name = os.path.split(path)
    return f"{directory}/.{name}{SUFFIX}"


def check_space(root: Root, jobs: t.Sequence[Job]) -> None:
    """Refuse before the first build where one image beside the old one, or the work on it, would not fit."""
    if not jobs:
        return
    free = read_free(root, [job.path for job in jobs])
    for job in jobs:
        reasons = shortages(job.kernel, job.path, image_size(root, job.path), free)
        if reasons:
            raise HostStateError(reasons[0])


def rebuild(root: Root, run: Runner, generator: Generator, job: Job) -> Found:
    """Build, prove and move into place; gives what the new image holds.

    Raises :class:`ToolError` when the generator fails or its image lacks something; the old image then
    stands as before.
    """
    output = new_name(job.path)
    _discard(root, output)
    try:
        generator.build(run, job.kernel, output)
        found = prove(root, run, output, job)
        # The generator's own mode: an image may hold keys, and the old one need not have.
        move_into_place(root.path(output), root.path(job.path), file_meta(root.path(output)))
    except BaseException:
        _discard(root, output)
        raise
    sync_boot_filesystem(root.path("/boot"))
    generator.installed(root, run, job.kernel, job.path)
    return found


def prove(root: Root, run: Runner, image: str, job: Job) -> Found:
    """Read ``image`` back and compare; raises :class:`ToolError` naming everything that is not as it must be."""
    if not image_size(root, image):
        raise ToolError(
            f"The new image for {job.kernel} is empty although its generator reported success: {job.path} is unchanged"
        )
    listing = read_image(root, run, image, our_patterns() | set(job.need.files))
    found = Found.in_listing(listing, job.need.modules)
    troubles = shortfalls(job.need, found)
    if "init" not in listing.names:
        troubles.append("has no /init to start")
    if troubles:
        raise ToolError(f"The new image for {job.kernel} " + ", ".join(troubles) + f": {job.path} is unchanged")
    return found


def _discard(root: Root, path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(root.path(path))

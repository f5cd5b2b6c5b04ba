# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Building an image beside the old one, proving it, and only then moving it into place."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline import unified_image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.boot_partition import MOUNT_POINTS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.portable_executable import read_pe
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import split
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import (
    Root,
    file_meta,
    switch_boot_file,
    sync_boot_filesystem,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.booster_image import racing_drivers
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.examine import open_image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import SCRATCH, read_image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.interface import Generator, Image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.proof import Found, Need, shortfalls
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.space import (
    image_size,
    read_free,
    shortages,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.unlocking import lost_means

SUFFIX = ".virtfleet-new"
WORK_PREFIX = "virtfleet-new-image-"


@dataclasses.dataclass(frozen=True)
class Job:
    """One image to build, holding ``need``."""

    image: Image
    need: Need

    @property
    def kernel(self) -> str:
        return self.image.kernel

    @property
    def path(self) -> str:
        return self.image.path


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
    if job.image.delivered:
        return _deliver(root, run, generator, job)
    found = build_and_prove(root, run, generator, job)
    sync_boot_filesystem(root.path("/boot"))
    generator.installed(root, run, job.image)
    return found


def build_and_prove(root: Root, run: Runner, generator: Generator, job: Job, build_with: Runner | None = None) -> Found:
    """A new image at the path of ``job``, without a word to anybody; raises as :func:`rebuild`. ``build_with`` starts
    the generator, if not ``run``."""
    output = new_name(job.path)
    _discard(root, output)
    try:
        generator.build(build_with or run, job.image, output)
        found = prove(root, run, output, job)
        # The generator's own mode: an image may hold keys, and the old one need not have.
        switch_boot_file(root.path(output), root.path(job.path), file_meta(root.path(output)))
    except BaseException:
        _discard(root, output)
        raise
    return found


def _deliver(root: Root, run: Runner, generator: Generator, job: Job) -> Found:
    """The image to where a boot loader reads it; from the generator's own, which was proven before, if it keeps one."""
    work = tempfile.mkdtemp(prefix=WORK_PREFIX, dir=root.path(SCRATCH))
    try:
        source = job.image.source
        if source is None:
            source = f"{SCRATCH}/{os.path.basename(work)}/image"
            generator.build(run, job.image, source)
        found = prove(root, run, source, job)
        unified_image.switch(root, _packed(root, run, job, source, work))
    finally:
        shutil.rmtree(work)
    points = (point for point in MOUNT_POINTS if job.path.startswith(f"{point}/"))
    sync_boot_filesystem(root.path(max(points, key=len, default="/boot")))
    return found


def _packed(root: Root, run: Runner, job: Job, source: str, work: str) -> unified_image.NewImage:
    """The finished file for ``job.path``: the image itself, or the unified image of before with the new one in it."""
    old = read_pe(root.path(job.path))
    if old is None:
        if job.path.lower().endswith(".efi"):
            raise ToolError(f"{job.path} is missing or damaged, so there is no image to put the initramfs into")
        return unified_image.NewImage(job.path, root.path(source))
    missing = _early_parts(root, run, job.path) - _early_parts(root, run, source)
    if missing:
        raise ToolError(
            f"{job.path} has {', '.join(sorted(missing))} in its initramfs, which the generator's image has not: it is "
            "unchanged. Build it by hand once"
        )
    args = split(old.text(".cmdline") or "")
    initrd = root.read_bytes(source)
    return unified_image.build(root, run, job.path, old, args, work, initrd=initrd)


def _early_parts(root: Root, run: Runner, path: str) -> set[str]:
    """Microcode and ACPI tables, which may come from other files than the generator's image."""
    return {name for name in read_image(root, run, path).names if name.startswith("kernel/") and name.count("/") > 2}


def sweep(root: Root) -> None:
    """Take away what a power cut has left of earlier work; only while no other writer can be at it."""
    for name in root.listdir(SCRATCH):
        if name.startswith(WORK_PREFIX):
            shutil.rmtree(root.path(f"{SCRATCH}/{name}"))


def prove(root: Root, run: Runner, image: str, job: Job) -> Found:
    """Read ``image`` back and compare; raises :class:`ToolError` naming everything that is not as it must be."""
    if not image_size(root, image):
        raise ToolError(
            f"The new image for {job.kernel} is empty although its generator reported success: {job.path} is unchanged"
        )
    listing = open_image(root, run, image, job.need)
    found = Found.in_listing(listing, job.need.modules)
    troubles = [*shortfalls(job.need, found), *racing_drivers(root, listing)]
    if "init" not in listing.names:
        troubles.append("has no /init to start")
    if troubles:
        raise ToolError(f"The new image for {job.kernel} " + ", ".join(troubles) + f": {job.path} is unchanged")
    lost = lost_means(root, run, job.path, image)
    if lost:
        raise ToolError(
            f"The new image for {job.kernel} lacks {', '.join(lost)}, which the old one has, and that is what unlocks "
            f"the root file system: {job.path} is unchanged. If it is meant to be so, build it by hand once"
        )
    return found


def _discard(root: Root, path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(root.path(path))

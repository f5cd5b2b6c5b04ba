# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Images that are built and proven, and that nothing boots with until a boot on trial takes them.

They lie apart from the images that the machine boots with, where no tool of the distribution looks. What was proven
of them goes into the ledger as for any other image, and with them to the names that a commit gives them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, modified, remove
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs import record
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.as_kept import seeing_what_waits
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.interface import Generator, Image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.proof import Found, Need, shortfalls
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.rebuild import (
    WORK_PREFIX,
    Job,
    build_and_prove,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.space import needed_for
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import DIRECTORY as STATE
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

DIRECTORY: t.Final = f"{STATE}/images"
_SUFFIX: t.Final = ".img"


def staged_path(kernel: str) -> str:
    return f"{DIRECTORY}/{kernel}{_SUFFIX}"


def staged_job(kernel: str, images: t.Iterable[Image], need: Need) -> Job:
    """The build of one image that serves for all of ``images``, which are those of ``kernel``.

    Raises :class:`RefusedError` where kernel and initramfs are one file.
    """
    # One with options of its own is a fallback.
    main = min(images, key=lambda image: (image.delivered, len(image.options)))
    if main.path.lower().endswith(".efi"):
        raise RefusedError(
            f"{main.path} is a unified kernel image, which is built as a whole: its initramfs cannot be staged"
        )
    return Job(dataclasses.replace(main, path=staged_path(kernel), delivered=False, source=None), need)


def reusable(root: Root, ledger: Ledger, job: Job, images: t.Iterable[Image]) -> Found | None:
    """What the image of an earlier run holds, where it is whole, right and newer than those that the kernel boots with;
    else ``None``."""
    found = known(root, ledger, job.kernel, [image.path for image in images])
    return None if found is None or shortfalls(job.need, found) else found


def known(root: Root, ledger: Ledger, kernel: str, images: t.Iterable[str]) -> Found | None:
    """What the staged image of ``kernel`` holds, where it is whole and newer than ``images``, else ``None``."""
    path = staged_path(kernel)
    found = record.recall(ledger, path, record.image_stamp(root, path))
    made = modified(root.path(path)) or 0
    newer = any((modified(root.path(image)) or 0) > made for image in images)
    return None if newer else found


def stage(root: Root, run: Runner, ledger: Ledger, generator: Generator, job: Job) -> Found:
    """Build and prove; raises :class:`ToolError` and leaves nothing when that fails."""
    os.makedirs(root.path(DIRECTORY), mode=0o700, exist_ok=True)
    with seeing_what_waits(root, run, ledger, WORK_PREFIX) as build_with:
        found = build_and_prove(root, run, generator, job, build_with)
    stamp = record.image_stamp(root, job.path)
    if stamp is not None:
        record.remember(ledger, job.path, job.kernel, stamp, found)
    ledger.save()
    return found


def check_room(root: Root, presents: t.Sequence[str]) -> None:
    """Refuse before the first build where images as large as ``presents`` do not fit."""
    needed = sum(needed_for(root, path) for path in presents)
    place = DIRECTORY if root.exists(DIRECTORY) else os.path.dirname(STATE)
    free = shutil.disk_usage(root.path(place)).free
    if free < needed:
        raise HostStateError(
            f"{place} has {free >> 20} MiB free, {len(presents)} images to be tried need {-(-needed >> 20)} MiB: make "
            "room there. Nothing was changed"
        )


def hand_over(root: Root, ledger: Ledger, staged: str, kernel: str, targets: t.Iterable[str]) -> None:
    """Let the ledger know that the bytes of ``staged`` now are the images ``targets``, so that none is unpacked."""
    found = record.recall(ledger, staged, record.image_stamp(root, staged))
    for target in targets:
        stamp = record.image_stamp(root, target)
        if found is not None and stamp is not None:
            record.remember(ledger, target, kernel, stamp, found)
        else:
            record.suspect(ledger, target, kernel)


def discard(root: Root, ledger: Ledger, keep: t.Container[str] = ()) -> None:
    """Remove every staged image that is not in ``keep``, unfinished ones too; the caller saves the ledger."""
    for name in root.listdir(DIRECTORY):
        path = f"{DIRECTORY}/{name}"
        if path not in keep:
            remove(root.path(path))
            record.forget(ledger, path)
    with contextlib.suppress(OSError):
        os.rmdir(root.path(DIRECTORY))

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The initramfs on trial: digests, room for a copy, the copy, and its way to the name that the kernel boots from."""

from __future__ import annotations

import hashlib
import os
import shutil

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.record import TriedImage
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    RefusedError,
    ToolError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import (
    FileMeta,
    Root,
    copy_private,
    file_meta,
    move_into_place,
    remove,
    switch_boot_file,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.space import RESERVE

# No tool takes it for the image of a kernel: it holds no release.
NAME = "virtfleet-passthrough-trial.img"
_UNFINISHED = f".{NAME}.new"

_CHUNK = 1 << 20


def file_digest(root: Root, path: str) -> str | None:
    """SHA-256 of a file of any size, ``None`` where there is none."""
    found = hashlib.sha256()
    try:
        with open(root.path(path), "rb") as stream:
            for chunk in iter(lambda: stream.read(_CHUNK), b""):
                found.update(chunk)
    except FileNotFoundError:
        return None
    return found.hexdigest()


def require_image(root: Root, path: str) -> str:
    """The digest of an image that shall be tried; raises :class:`HostStateError` for none and for an empty one."""
    found = file_digest(root, path)
    if found is None or not os.path.getsize(root.path(path)):
        raise HostStateError(f"{path} is {'not there' if found is None else 'empty'}: build the image first")
    return found


def check_space(root: Root, source: str, directory: str, freed: int) -> None:
    """Refuse where a copy of ``source`` does not fit into ``directory``, once ``freed`` bytes went from there."""
    needed = os.path.getsize(root.path(source)) + RESERVE
    free = shutil.disk_usage(root.path(directory)).free + freed
    if free < needed:
        raise RefusedError(
            f"{directory} has {free >> 20} MiB free, a second initramfs beside the present one needs "
            f"{-(-needed >> 20)} MiB: make room there, for instance by removing old kernels. Nothing was changed"
        )


def copy_image(root: Root, source: str, directory: str, digest: str) -> str:
    """Copy ``source`` to the trial's own name in ``directory`` and give its path; what is read back has ``digest``."""
    unfinished, path = f"{directory}/{_UNFINISHED}", f"{directory}/{NAME}"
    copy_private(root.path(source), root.path(unfinished))
    move_into_place(root.path(unfinished), root.path(path), _meta(root, source))
    if file_digest(root, path) != digest:
        remove(root.path(path))
        raise ToolError(f"{path} is not the same as {source} after copying: look at the disk below {directory}")
    return path


def _meta(root: Root, path: str) -> FileMeta:
    """The mode that its generator gave an image, which may hold keys; the owner is root, as of every boot file."""
    meta = file_meta(root.path(path))
    return FileMeta(meta.mode if meta is not None else 0o600)


def promote(root: Root, image: TriedImage) -> list[str]:
    """Give the image that was tried the names that its kernel boots from; these very bytes, or nothing happens. Gives
    the names that it did not get, because another image lies there than when it was armed: that one was made with what
    an update of the kernel brought, or went with the kernel."""
    present = {target: file_digest(root, target) for target in image.targets}
    others = [target for target in image.targets if present[target] != image.digest]
    left = [target for target in others if image.replaces.get(target, present[target]) != present[target]]
    missing = [target for target in others if target not in left]
    sources = [image.path, *(target for target in image.targets if target not in missing)]
    for target in missing:
        source = next((path for path in sources if file_digest(root, path) == image.digest), None)
        if source is None:
            raise HostStateError(
                f"{image.path} is no longer the image that was tried: arm the trial again. {target} is unchanged"
            )
        directory = os.path.dirname(target)
        if source != image.path or os.path.dirname(source) != directory:
            source = copy_image(root, source, directory, image.digest)
        # Renamed, because there may be no room for a third image.
        switch_boot_file(root.path(source), root.path(target), _meta(root, source))
        sources.append(target)
    return left


def discard(root: Root, directory: str, digests: frozenset[str]) -> None:
    """Remove the trial's own copy in ``directory``, finished or not; another file of that name stays."""
    remove(root.path(f"{directory}/{_UNFINISHED}"))
    path = f"{directory}/{NAME}"
    if file_digest(root, path) in digests:
        remove(root.path(path))

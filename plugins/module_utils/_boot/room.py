# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The part of the one read that is about room for a boot on trial: its images lie beside those that are there."""

from __future__ import annotations

import os
import shutil
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.early_watchdog import wanted_early_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.images import NAME
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.record import read_record
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.mounts import Mount, mount_of, read_mounts
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs import staged
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import SCRATCH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.space import image_size
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest


def read_room(
    root: Root, ledger: Ledger, base: t.Mapping[str, t.Any], initramfs: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """``directories`` that a trial writes images to, each with the name of its file system, and ``file_systems`` with
    ``point`` and ``free`` bytes. ``staged``: per kernel what the image that an earlier run has staged holds
    (``content``) and its ``size``, where it may be used again. ``copy``: the bytes of the copy that an earlier trial
    has left. ``early_files``: digests by path of what every image to be tried gets besides.

    ``base`` is as :func:`read_trial` gives it, ``initramfs`` as the reader of that component does.
    """
    images: dict[str, list[str]] = {}
    for image in initramfs["images"]:
        images.setdefault(image["kernel"], []).append(image["path"])
    known = {kernel: staged.known(root, ledger, kernel, paths) for kernel, paths in images.items()}
    places = [os.path.dirname(path) for paths in images.values() for path in paths]
    mounts = read_mounts(root)
    directories, file_systems = {}, {}
    for place in dict.fromkeys((staged.DIRECTORY, SCRATCH, base["directory"], *places)):
        name, point = _file_system(root, place, mounts)
        directories[place] = name
        if name not in file_systems:
            file_systems[name] = {"point": point, "free": shutil.disk_usage(root.path(_there(root, place))).free}
    early = wanted_early_files(root, [initramfs["generator"]])
    return {
        "directories": directories,
        "file_systems": file_systems,
        "staged": {
            kernel: {"content": found.to_json(), "size": image_size(root, staged.staged_path(kernel))}
            for kernel, found in known.items()
            if found is not None
        },
        "copy": _copy_size(root, ledger, base["directory"]),
        "early_files": {file.path: digest(file.content) for file in early},
    }


def _file_system(root: Root, directory: str, mounts: t.Iterable[Mount]) -> tuple[str, str]:
    """A name that all directories of one file system share, and where it is mounted. The volumes of Btrfs have one:
    mountinfo names the whole where stat names each."""
    mount = mount_of(os.path.realpath(directory) if root.is_live else directory, mounts)
    return (directory, directory) if mount is None else (mount.device, mount.point)


def _there(root: Root, directory: str) -> str:
    """``directory``, or where it will be made."""
    while not root.exists(directory):
        directory = os.path.dirname(directory)
    return directory


def _copy_size(root: Root, ledger: Ledger, directory: str) -> int:
    record = read_record(ledger)
    path = f"{directory}/{NAME}"
    return image_size(root, path) if record is not None and record.copied == path else 0

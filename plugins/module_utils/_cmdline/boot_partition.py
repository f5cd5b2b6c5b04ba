# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The partitions that an EFI boot loader reads its menu from: the EFI system partition and XBOOTLDR (UAPI.1)."""

from __future__ import annotations

import fnmatch
import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.install_conf import install_settings
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.mounts import read_mounts

# Where distributions mount them; the first that kernel-install would take comes first.
MOUNT_POINTS: t.Final[tuple[str, ...]] = ("/boot", "/efi", "/boot/efi")

ENTRIES = "loader/entries"
LOADER_CONF = "loader/loader.conf"
IMAGES = "EFI/Linux"


def mount_points(root: Root) -> tuple[str, ...]:
    """:data:`MOUNT_POINTS`, after the one that kernel-install(8) was told (``BOOT_ROOT`` in install.conf)."""
    told = install_settings(root).get("BOOT_ROOT", "").rstrip("/")
    return tuple(dict.fromkeys((told, *MOUNT_POINTS))) if told.startswith("/") else MOUNT_POINTS


def find_boot_partitions(root: Root) -> list[str]:
    """Mount points that hold entries or unified images, each partition once.

    A directory that is no mount point counts only where none is: ``/boot`` on the root file system may hold
    entries for GRUB, which no EFI loader sees.
    """
    holding: dict[str, str] = {}
    for point in mount_points(root):
        if root.listdir(f"{point}/{ENTRIES}") or listdir_no_case(root, point, IMAGES)[1]:
            holding.setdefault(os.path.realpath(root.path(point)), point)
    mounted = {mount.point for mount in read_mounts(root)}
    return [point for point in holding.values() if point in mounted] or list(holding.values())


def has_systemd_boot(root: Root, points: t.Iterable[str]) -> bool:
    """Whether systemd-boot was put there, by ``bootctl`` or by hand."""
    return any(
        root.exists(f"{point}/{LOADER_CONF}")
        or root.exists(f"{point}/loader/entries.srel")
        or fnmatch.filter(listdir_no_case(root, point, "EFI/systemd")[1], "*systemd-boot*.efi")
        for point in points
    )


def listdir_no_case(root: Root, point: str, path: str) -> tuple[str, list[str]]:
    """The directory as it is written, and the names in it; FAT knows no case, a captured copy of it does."""
    directory = point
    for part in path.split("/"):
        names = root.listdir(directory)
        directory = f"{directory}/{next((name for name in names if name.lower() == part.lower()), part)}"
    return directory, root.listdir(directory)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Images where systemd-boot and the firmware read them: beside type 1 entries, and inside unified kernel images.

``kernel-install`` puts them there when a kernel is installed. Nobody does when an image is built anew later.
"""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline import unified_image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.boot_partition import find_boot_partitions
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.portable_executable import read_pe
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.started_by import (
    SYSTEMD_BOOT,
    UNIFIED_KERNEL,
    read_started,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.systemd_menu import MenuItem, read_menu
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.interface import MODULES_DIRECTORY, Image


def delivered_images(root: Root, kept: t.Sequence[Image]) -> list[Image]:
    """One for each entry of this system's kernels that does not load one of ``kept``, sorted by kernel and path."""
    programs = read_started(root).programs
    if programs and not programs & {SYSTEMD_BOOT, UNIFIED_KERNEL}:
        # Entries that are left over from another boot loader boot nothing.
        return []
    known = {image.path for image in kept}
    found: dict[str, Image] = {}
    for item in read_menu(root, find_boot_partitions(root)):
        path = _image_of(item)
        entry = item.entry
        if path is None or path in known or not entry.takes_arguments:
            continue
        # Without its modules nobody builds for that kernel, and an entry without its image boots nothing.
        if not root.exists(f"{MODULES_DIRECTORY}/{entry.kernel}") or not root.exists(path):
            continue
        found[path] = Image(entry.kernel, path, delivered=True, source=_source(root, entry.kernel, kept))
    return sorted(found.values(), key=lambda image: (image.kernel, image.path))


def _image_of(item: MenuItem) -> str | None:
    if item.image is not None:
        return item.path
    initrd = item.entry.initrd
    return None if initrd is None else f"{item.point}/{initrd.lstrip('/')}"


def _source(root: Root, kernel: str, kept: t.Sequence[Image]) -> str | None:
    found = [image for image in kept if image.kernel == kernel and not image.delivered and root.exists(image.path)]
    # One with options of its own is a fallback.
    return min(found, key=lambda image: len(image.options)).path if found else None


def unified_obstacle(root: Root, images: t.Iterable[Image]) -> str | None:
    """Why the unified images among ``images`` cannot be built anew with another initramfs; ``None`` if they can."""
    opened = [read_pe(root.path(image.path)) for image in images if image.delivered]
    unified = [image for image in opened if image is not None]
    return unified_image.obstacle(root, unified) if unified else None

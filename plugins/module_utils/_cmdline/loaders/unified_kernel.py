# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Unified kernel images (``EFI/Linux/*.efi``) that systemd-boot or the firmware itself starts."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline import boot_partition
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.efi_menu import EfiMenuLoader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.systemd_menu import read_menu
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

NAME: t.Final = "unified-kernel"


def detect(root: Root, looked_for: list[str]) -> EfiMenuLoader | None:
    """A unified image as what boots next."""
    points = boot_partition.find_boot_partitions(root)
    items = read_menu(root, points)
    if not any(item.entry.default and item.image is not None for item in items):
        looked_for.append(
            f"{NAME}: no {boot_partition.IMAGES}/*.efi with a kernel boots next below "
            f"{', '.join(points or boot_partition.mount_points(root))}"
        )
        return None
    return EfiMenuLoader(root, NAME, points, items)

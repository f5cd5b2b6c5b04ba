# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""systemd-boot where a type 1 entry boots next: ``loader/entries/*.conf``, made by ``kernel-install`` or by people."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline import boot_partition
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.firmware import loader_variable
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.efi_menu import EfiMenuLoader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.systemd_menu import read_menu
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

NAME: t.Final = "systemd-boot"


def detect(root: Root, looked_for: list[str]) -> EfiMenuLoader | None:
    """systemd-boot on a mounted EFI system partition, with an entry file as what boots next."""
    points = boot_partition.find_boot_partitions(root)
    if not points:
        looked_for.append(
            f"{NAME}: no {boot_partition.ENTRIES}/*.conf below {', '.join(boot_partition.mount_points(root))} "
            "(is the EFI system partition mounted?)"
        )
        return None
    started = (loader_variable(root, "LoaderInfo") or "").startswith(NAME)
    if not started and not boot_partition.has_systemd_boot(root, boot_partition.mount_points(root)):
        looked_for.append(
            f"{NAME}: below {', '.join(points)} no {boot_partition.LOADER_CONF}, no EFI/systemd/systemd-boot*.efi, "
            "and no EFI variable LoaderInfo"
        )
        return None
    items = read_menu(root, points)
    following = next((item for item in items if item.entry.default), None)
    if following.image is not None if following is not None else all(item.image is not None for item in items):
        looked_for.append(f"{NAME}: what boots next from {', '.join(points)} is no entry file of a Linux kernel")
        return None
    return EfiMenuLoader(root, NAME, points, items)

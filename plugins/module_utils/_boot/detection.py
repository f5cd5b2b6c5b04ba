# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which kind of trial this machine's boot loader allows."""

from __future__ import annotations

import os

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.grub import GrubTrial
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.interface import TrialLoader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.systemd_boot import SystemdBootTrial
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline import boot_partition
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders import grubby, systemd_boot
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import find_loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.grub_generated import (
    find_generated_menu,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, first_existing


def find_trial_loader(root: Root) -> TrialLoader:
    """Raises :class:`RefusedError` for a loader with which no trial is supported, and what :func:`find_loader`
    raises."""
    loader = find_loader(root)
    if isinstance(loader, grubby.GrubbyLoader):
        configuration = loader.configuration
        beside = f"{os.path.dirname(configuration)}/grubenv"
        environment = first_existing(root, (beside, grubby.ENVIRONMENT)) or beside
        return GrubTrial(root, loader.name, configuration, environment, grubby.read_entries(root))
    if loader.name == "grub":
        menu = find_generated_menu(root, [])
        if menu is not None:
            return GrubTrial(root, loader.name, menu.configuration, menu.environment_path)
    if loader.name == systemd_boot.NAME:
        return SystemdBootTrial(root, loader.name, boot_partition.find_boot_partitions(root))
    raise RefusedError(
        f"a boot on trial is not supported with {loader.name}: nothing there boots one entry once and returns by "
        "itself in a way that this collection knows. Boot without a trial"
    )

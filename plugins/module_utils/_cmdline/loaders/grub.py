# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""GRUB with a generated menu: which of the two ways to configure it this host has."""

from __future__ import annotations

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.grub_defaults import (
    GrubDefaultsLoader,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.grub_generated import (
    find_generated_menu,
    reads_drop_ins,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.grub_mkconfig import (
    GrubMkconfigLoader,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root


def detect(root: Root, looked_for: list[str]) -> Loader | None:
    """The loader for a menu of ``grub-mkconfig``."""
    menu = find_generated_menu(root, looked_for)
    if menu is None:
        return None
    return GrubMkconfigLoader(root, menu) if reads_drop_ins(root, menu) else GrubDefaultsLoader(root, menu)

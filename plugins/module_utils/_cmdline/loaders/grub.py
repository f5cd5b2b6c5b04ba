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
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import (
    Loader,
    Unsupported,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root


def detect(root: Root, looked_for: list[str]) -> Loader | Unsupported | None:
    """The loader for a menu of ``grub-mkconfig``."""
    menu = find_generated_menu(root, looked_for)
    if menu is None:
        return None
    if menu.outside_block is not None:
        return Unsupported(
            "GRUB with an environment block outside of every file",
            f"{menu.environment_path} says env_block={menu.outside_block}",
            "Which entry boots next may stand there and cannot be read. Take the variable away "
            f"(grub2-editenv {menu.environment_path} unset env_block) and choose the entry anew, or add the arguments "
            "by hand to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub and run grub2-mkconfig",
        )
    return GrubMkconfigLoader(root, menu) if reads_drop_ins(root, menu) else GrubDefaultsLoader(root, menu)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""GRUB's menu as it comes about at boot: its configuration, the environment block, and the files that it sources."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.interface import ENTRY_NAME
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.firmware import EFI
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_menu import (
    GrubMenu,
    MenuEntry,
    default_entry,
    parse_environment,
    parse_menu,
    to_entries,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root


def read_menu(
    root: Root,
    configuration: str,
    environment: str,
    listed: t.Sequence[MenuEntry] = (),
    text: str | None = None,
) -> GrubMenu:
    """The menu of the file ``configuration`` with the block in the file ``environment``; ``text`` stands in for the
    file's own. ``listed`` are the entries that the command ``blscfg`` finds."""
    directory = os.path.dirname(configuration)
    variables = parse_environment(root.read_text(environment) or "")
    if variables.get("next_entry") == ENTRY_NAME:
        # A boot on trial is over after one start; what counts is the one behind it.
        del variables["next_entry"]
    variables.update(prefix=directory, config_directory=directory, grub_platform="efi" if root.exists(EFI) else "pc")
    text = text if text is not None else root.read_text(configuration) or ""
    return parse_menu(text, variables, listed, root.read_text)


def refuse_another_default(menu: GrubMenu) -> None:
    """Where what boots next would not get the arguments of this system's entries."""
    entry = next((entry for entry in to_entries(menu) if entry.default), None)
    chosen = default_entry(menu)
    if chosen is not None and (entry is None or not entry.takes_arguments):
        raise RefusedError(
            f"what boots next is '{chosen.title}', which is for recovery or was not made for this system's kernels, so "
            "this one would not see its arguments: make another entry the default (grub-set-default or "
            "grub2-set-default, GRUB_DEFAULT in /etc/default/grub)"
        )

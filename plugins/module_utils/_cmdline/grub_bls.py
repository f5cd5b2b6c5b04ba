# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Boot Loader Specification entries as GRUB's ``blscfg`` makes menu entries of them. Pure.

GRUB replaces variables in ``options`` by those of ``grub.cfg`` and of the environment block: ``$kernelopts`` holds
the whole line on hosts that were upgraded from Enterprise Linux 8, ``$tuned_params`` what TuneD adds. Of several
``options`` lines it takes the first (grub-core/commands/blscfg.c, bls_get_val), and without one the variable
``default_kernelopts``.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls import BlsEntry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls_order import in_blscfg_order
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_menu import MenuEntry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import split

_VARIABLE = re.compile(r"\$(\w+)")
# Both distributions' dracut-config-rescue: <machine-id>-0-rescue.conf with vmlinuz-0-rescue-<machine-id>.
_RESCUE = re.compile(r"(^|-)0-rescue(-|$)")


def expand(options: str, variables: t.Mapping[str, str]) -> str:
    """What GRUB hands to the kernel for an ``options`` line; an unknown variable is nothing."""
    return _VARIABLE.sub(lambda name: variables.get(name.group(1), ""), options)


def kernel_arguments(entry: BlsEntry, variables: t.Mapping[str, str]) -> tuple[str, ...]:
    """The tokens that the kernel gets from an entry."""
    options = entry.first("options")
    return tuple(split(expand("$default_kernelopts" if options is None else options, variables)))


def is_rescue(entry: BlsEntry) -> bool:
    """Whether it is the entry that stays for the day on which the others fail."""
    return _RESCUE.search(entry.identifier) is not None or "rescue" in (entry.linux or "")


def menu_entries(entries: t.Iterable[BlsEntry], variables: t.Mapping[str, str]) -> list[MenuEntry]:
    """Entries in GRUB's order; those without a kernel are left out, as GRUB does."""
    return [
        MenuEntry(
            # "saved_entry" holds the file's name without or, when people set it, with ".conf", or the title.
            names=frozenset({entry.stem, entry.file_name, entry.title or entry.linux or ""}),
            title=entry.title or entry.linux or "",
            kernel_path=entry.linux,
            args=kernel_arguments(entry, variables),
            initrd=next((path for path in reversed(entry.initrds) if not path.startswith("$")), None),
            managed=True,
            rescue=is_rescue(entry),
        )
        for entry in in_blscfg_order(entries)
        if entry.linux is not None
    ]

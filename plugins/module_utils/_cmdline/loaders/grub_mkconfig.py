# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""GRUB as Debian and its family configure it: ``/etc/default/grub.d`` and ``grub-mkconfig``."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.carriage import Carriage
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.grub_generated import (
    DEFAULTS,
    GeneratedMenu,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry, Loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

# The last name in its directory, so that what stands in the files before it is complete.
DROP_IN = f"{DEFAULTS}.d/zz-virtfleet-passthrough.cfg"

OWNER = "kernel_cmdline"


class GrubMkconfigLoader(Loader):
    """See :class:`Loader`; arguments go to GRUB_CMDLINE_LINUX_DEFAULT, which recovery entries do not use."""

    name = "grub"

    def __init__(self, root: Root, menu: GeneratedMenu) -> None:
        self._root = root
        self._menu = menu

    @property
    def carriage(self) -> Carriage:
        # GRUB puts quotes around a word with blanks again (grub-core/lib/cmdline.c); "$", "\\" and the like would be
        # read by the shell, by grub-mkconfig's scripts and by GRUB's own language, each in another way.
        return Carriage(
            "a shell, grub-mkconfig's scripts and GRUB's own language read the configuration before the kernel, so "
            "that only letters, digits, blanks in double quotes and _ . , : = @ % + / - arrive as written",
            blanks=True,
        )

    def entries(self) -> tuple[Entry, ...]:
        return self._menu.entries()

    def preview(self, ledger: Ledger, arguments: t.Sequence[str]) -> tuple[_owned.FileChange, ...]:
        if not arguments:
            return (_owned.preview_release(self._root, ledger, DROP_IN),)
        self._menu.refuse_arguments()
        return (_owned.preview(self._root, ledger, _drop_in(arguments)),)

    def write(
        self, run: Runner, ledger: Ledger, arguments: t.Sequence[str], expected: t.Sequence[Entry]
    ) -> tuple[_owned.FileChange, ...]:
        before = self._root.read_bytes(DROP_IN)
        change = _place_drop_in(self._root, ledger, arguments)
        try:
            self._menu.generate(run, expected, by_hand="update-grub")
        except BaseException:
            _restore_drop_in(self._root, ledger, before)
            raise
        return (change,)


def _place_drop_in(root: Root, ledger: Ledger, arguments: t.Sequence[str]) -> _owned.FileChange:
    if not arguments:
        return _owned.release(root, ledger, DROP_IN)
    return _owned.install(root, ledger, OWNER, _drop_in(arguments))


def _drop_in(arguments: t.Sequence[str]) -> _owned.OwnedFile:
    return _owned.OwnedFile(DROP_IN, render_drop_in(arguments))


def _restore_drop_in(root: Root, ledger: Ledger, before: bytes | None) -> None:
    if before is None:
        _owned.release(root, ledger, DROP_IN)
    else:
        _owned.install(root, ledger, OWNER, _owned.OwnedFile(DROP_IN, before))


def render_drop_in(arguments: t.Sequence[str]) -> bytes:
    """The shell fragment that ``grub-mkconfig`` sources. ``carriage`` was asked: only double quotes need care."""
    text = " ".join(arguments).replace('"', '\\"')
    return (
        "# Written by virtfleet.passthrough (module kernel_cmdline); changes are undone by its revert playbook.\n"
        f'GRUB_CMDLINE_LINUX_DEFAULT="${{GRUB_CMDLINE_LINUX_DEFAULT:-}} {text}"\n'
    ).encode()

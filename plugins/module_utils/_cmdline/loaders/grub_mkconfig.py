# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""GRUB as Debian and its family configure it: ``/etc/default/grub.d`` and ``grub-mkconfig``."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_menu import (
    GrubMenu,
    parse_environment,
    parse_menu,
    to_entries,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry, Loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import kernel_part_length
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError, ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import (
    Root,
    move_into_place,
    remove,
    sync_boot_filesystem,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

CONFIGURATION = "/boot/grub/grub.cfg"
ENVIRONMENT = "/boot/grub/grubenv"
DEFAULTS = "/etc/default/grub"
# The last name in its directory, so that what stands in the files before it is complete.
DROP_INS = "/etc/default/grub.d"
DROP_IN = f"{DROP_INS}/zz-virtfleet-passthrough.cfg"
GRUB_MKCONFIG = "/usr/sbin/grub-mkconfig"

OWNER = "kernel_cmdline"

_KEPT = f"{CONFIGURATION} stays as it was."


class GrubMkconfigLoader(Loader):
    """See :class:`Loader`; arguments go to GRUB_CMDLINE_LINUX_DEFAULT, which recovery entries do not use."""

    name = "grub"

    def __init__(self, root: Root, menu: GrubMenu) -> None:
        self._root = root
        self._menu = menu

    def entries(self) -> tuple[Entry, ...]:
        return to_entries(self._menu, self._environment())

    def _environment(self) -> dict[str, str]:
        return parse_environment(self._root.read_text(ENVIRONMENT) or "")

    def preview(self, ledger: Ledger, arguments: t.Sequence[str]) -> tuple[_owned.FileChange, ...]:
        if not arguments:
            return (_owned.preview_release(self._root, ledger, DROP_IN),)
        self._refuse_init_arguments()
        return (_owned.preview(self._root, ledger, _drop_in(arguments)),)

    def _refuse_init_arguments(self) -> None:
        for entry in self.entries():
            if entry.takes_arguments and kernel_part_length(entry.args) < len(entry.args):
                raise RefusedError(
                    f"the command line of '{entry.title}' has '--', which ends the kernel's arguments, and what this "
                    f"collection adds stands behind what {DEFAULTS} sets: take '--' and what follows away there"
                )

    def write(
        self, run: Runner, ledger: Ledger, arguments: t.Sequence[str], expected: t.Sequence[Entry]
    ) -> tuple[_owned.FileChange, ...]:
        before = self._root.read_bytes(DROP_IN)
        change = _place_drop_in(self._root, ledger, arguments)
        try:
            self._generate(run, expected)
        except BaseException:
            _restore_drop_in(self._root, ledger, before)
            raise
        return (change,)

    def _generate(self, run: Runner, expected: t.Sequence[Entry]) -> None:
        # The name may be a link into another file system, and GRUB reads what it leads to.
        configuration = os.path.realpath(self._root.path(CONFIGURATION))
        generated = f"{configuration}.virtfleet-passthrough"
        try:
            run_checked(run, [GRUB_MKCONFIG, "-o", generated], "Generating the GRUB configuration")
            _compare(to_entries(_read_menu(generated), self._environment()), expected)
            move_into_place(generated, configuration)
        finally:
            remove(generated)
            remove(f"{generated}.new")
        sync_boot_filesystem(self._root.path("/boot"))


def detect(root: Root, looked_for: list[str]) -> GrubMkconfigLoader | None:
    """GRUB with a generated configuration and the tool that generates it."""
    missing = [path for path in (CONFIGURATION, DEFAULTS, GRUB_MKCONFIG) if not root.exists(path)]
    if missing:
        looked_for.append(f"GRUB with grub-mkconfig: no {', no '.join(missing)}")
        return None
    menu = parse_menu(root.read_text(CONFIGURATION) or "")
    if menu.uses_boot_loader_spec:
        looked_for.append(f"GRUB with grub-mkconfig: {CONFIGURATION} reads boot loader specification entries (blscfg)")
        return None
    return GrubMkconfigLoader(root, menu)


def _read_menu(path: str) -> GrubMenu:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return parse_menu(stream.read())
    except FileNotFoundError:
        return parse_menu("")


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
    """The shell fragment that ``grub-mkconfig`` sources; ``carries`` was asked: they need no quoting."""
    return (
        "# Written by virtfleet.passthrough (module kernel_cmdline); changes are undone by its revert playbook.\n"
        f'GRUB_CMDLINE_LINUX_DEFAULT="${{GRUB_CMDLINE_LINUX_DEFAULT:-}} {" ".join(arguments)}"\n'
    ).encode()


def _compare(found: t.Sequence[Entry], expected: t.Sequence[Entry]) -> None:
    """Every entry that was there must be there with the expected arguments; new kernels may have joined."""
    if not found:
        raise ToolError(f"grub-mkconfig ended well and generated no boot entry. {_KEPT}")
    present = {(entry.title, entry.kernel): entry for entry in found}
    for entry in expected:
        generated = present.get((entry.title, entry.kernel))
        if generated is None:
            raise ToolError(
                f"grub-mkconfig generated no entry '{entry.title}' for kernel {entry.kernel}. {_KEPT} "
                "If that kernel was removed, run update-grub by hand once."
            )
        if generated.args != entry.args:
            raise ToolError(
                f"grub-mkconfig gave the entry '{entry.title}' other arguments than expected. {_KEPT} "
                f"Expected: {' '.join(entry.args)}. Generated: {' '.join(generated.args)}. "
                f"Most likely {DEFAULTS} or a file in {DROP_INS} was edited and update-grub not run since."
            )

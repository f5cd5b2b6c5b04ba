# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""U-Boot's ``extlinux.conf`` as Debian's package u-boot-menu writes it: ``u-boot-update`` and its settings.

The tool cannot be told to write elsewhere: it makes ``extlinux.conf.tmp`` and renames it over. So the old file is
kept in memory, the new one read back, and the old one put in place again where the new one is not as expected.

The tool gives its recovery entries the same U_BOOT_PARAMETERS, takes the first ``quiet`` out and adds ``single``.
Nothing tells the two apart, so that with this loader recovery entries carry our arguments as well.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.carriage import Carriage
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.extlinux_menu import parse_entries
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.limits import refuse_init_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.line_file import LineFile
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import (
    Entry,
    Loader,
    Unsupported,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.read_back import Generation
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import (
    Root,
    remove,
    sync_boot_filesystem,
    write_boot_file,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

CONFIGURATION = "/boot/extlinux/extlinux.conf"
UNFINISHED = f"{CONFIGURATION}.tmp"
U_BOOT_UPDATE = "/usr/sbin/u-boot-update"
DEFAULTS = "/etc/default/u-boot"
VARIABLE = "U_BOOT_PARAMETERS"
# Read by u-boot-update itself in 4.2.0 to 4.2.2, by a part of its own later; before 4.2 there were none.
DROP_INS = "/etc/u-boot-menu/conf.d"
_SETTINGS_READERS = (U_BOOT_UPDATE, "/usr/share/u-boot-menu/read-config")
# The last name in its directory, so that what stands in the files before it is complete.
DROP_IN = f"{DROP_INS}/zz-virtfleet-passthrough.conf"

OWNER = "kernel_cmdline"
_BACK = f"{CONFIGURATION} is as it was."
_GENERATION = Generation(
    tool="u-boot-update",
    kept=_BACK,
    by_hand="u-boot-update",
    when_missing=(
        f"If that kernel was removed, or U_BOOT_UPDATE is not 'true' in {DEFAULTS}, run u-boot-update by hand once."
    ),
    sources=f"{DEFAULTS}, /etc/fstab or /etc/kernel/cmdline",
)
_LINE = LineFile(DEFAULTS, variable=VARIABLE)


class ExtlinuxLoader(Loader):
    """See :class:`Loader`."""

    name = "extlinux"

    def __init__(self, root: Root) -> None:
        self._root = root
        self._has_drop_ins = any(DROP_INS in (root.read_text(path) or "") for path in _SETTINGS_READERS)

    @property
    def carriage(self) -> Carriage:
        advice = "u-boot-update takes 'quiet' out of its recovery entries: set it in /etc/default/u-boot yourself"
        return dataclasses.replace(super().carriage, apart={"quiet": advice})

    def entries(self) -> tuple[Entry, ...]:
        return parse_entries(self._root.read_text(CONFIGURATION) or "")

    def preview(self, ledger: Ledger, arguments: t.Sequence[str]) -> tuple[_owned.FileChange, ...]:
        if arguments:
            self._refuse_entries_that_cannot_carry()
        if not self._has_drop_ins:
            self._refuse_unset_variable(arguments)
            return (_LINE.preview(self._root, ledger, arguments),)
        if not arguments:
            return (_owned.preview_release(self._root, ledger, DROP_IN),)
        return (_owned.preview(self._root, ledger, _drop_in(arguments)),)

    def _refuse_entries_that_cannot_carry(self) -> None:
        for entry in self.entries():
            if not entry.managed:
                raise RefusedError(
                    f"{CONFIGURATION} has the entry '{entry.title}', which u-boot-update did not write and will drop "
                    "the next time it runs: take it away, or keep it in a configuration of its own"
                )
        refuse_init_arguments(self.entries(), DEFAULTS)

    def _refuse_unset_variable(self, arguments: t.Sequence[str]) -> None:
        if arguments and _LINE.tokens(self._root) is None:
            raise RefusedError(
                f"{DEFAULTS} sets no {VARIABLE}, and u-boot-menu before 4.2 reads no drop-in: once it is set, its "
                f'defaults do not count any more. Write {VARIABLE}="ro quiet" there, or what the entries shall have'
            )

    def write(
        self, run: Runner, ledger: Ledger, arguments: t.Sequence[str], expected: t.Sequence[Entry]
    ) -> tuple[_owned.FileChange, ...]:
        if not self._root.exists(U_BOOT_UPDATE):
            raise HostStateError(f"{U_BOOT_UPDATE} is missing: install the package u-boot-menu")
        before = self._root.read_bytes(CONFIGURATION)
        settings = self.preview(ledger, arguments)[0]
        self._place(ledger, arguments)
        try:
            run_checked(run, [U_BOOT_UPDATE], "Generating the U-Boot menu")
            _GENERATION.check(self.entries(), expected)
        except BaseException:
            self._restore(ledger, settings, before)
            raise
        finally:
            remove(self._root.path(UNFINISHED))
        # The tool syncs nothing.
        sync_boot_filesystem(self._root.path("/boot"))
        return (settings,)

    def _place(self, ledger: Ledger, arguments: t.Sequence[str]) -> None:
        if not self._has_drop_ins:
            _LINE.write(self._root, ledger, arguments)
        elif arguments:
            _owned.install(self._root, ledger, OWNER, _drop_in(arguments))
        else:
            _owned.release(self._root, ledger, DROP_IN)

    def _restore(self, ledger: Ledger, settings: _owned.FileChange, configuration: bytes | None) -> None:
        real = os.path.realpath(self._root.path(CONFIGURATION))
        if configuration is not None and self._root.read_bytes(CONFIGURATION) != configuration:
            write_boot_file(real, configuration)
            sync_boot_filesystem(self._root.path("/boot"))
        if not self._has_drop_ins:
            _LINE.restore(self._root, ledger, settings)
        elif settings.before is None:
            _owned.release(self._root, ledger, DROP_IN)
        else:
            _owned.install(self._root, ledger, OWNER, _owned.OwnedFile(DROP_IN, settings.before))


def detect(root: Root, looked_for: list[str]) -> ExtlinuxLoader | Unsupported | None:
    """An ``extlinux.conf`` and a sign of u-boot-menu; one that a person or another tool wrote is not ours."""
    text = root.read_text(CONFIGURATION)
    if text is None:
        looked_for.append(f"extlinux with u-boot-menu: no {CONFIGURATION}")
        return None
    if "u-boot-update" in text or root.exists(U_BOOT_UPDATE) or root.exists(DEFAULTS):
        return ExtlinuxLoader(root)
    return Unsupported(
        "an extlinux.conf that u-boot-menu did not write",
        f"{CONFIGURATION} is there, {U_BOOT_UPDATE} and {DEFAULTS} are not",
        f"Add the arguments by hand to the 'append' line of every label in {CONFIGURATION}, or install u-boot-menu",
    )


def _drop_in(arguments: t.Sequence[str]) -> _owned.OwnedFile:
    return _owned.OwnedFile(DROP_IN, render_drop_in(arguments))


def render_drop_in(arguments: t.Sequence[str]) -> bytes:
    """The shell fragment that ``u-boot-update`` sources; ``carriage`` was asked: they need no quoting.

    Where nothing set the variable, the tool would take ``/etc/kernel/cmdline``, or ``ro quiet``, and with that file
    the root file system as well. The fragment sets the variable, so it has to do the same before.
    """
    return (
        "# Written by virtfleet.passthrough (module kernel_cmdline); changes are undone by its revert playbook.\n"
        'if [ -z "${U_BOOT_PARAMETERS:-}" ] && [ -f /etc/kernel/cmdline ]\n'
        "then\n"
        "\tU_BOOT_PARAMETERS=\"$(sed 's/root=[^[:space:]]*//' /etc/kernel/cmdline)\"\n"
        "\tU_BOOT_ROOT=\"${U_BOOT_ROOT:-$(sed -E 's/.*(root=[^[:space:]]*).*/\\1/' /etc/kernel/cmdline)}\"\n"
        "fi\n"
        f'U_BOOT_PARAMETERS="${{U_BOOT_PARAMETERS:-ro quiet}} {" ".join(arguments)}"\n'
    ).encode()

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""GRUB as upstream configures it, on Arch, SUSE and Enterprise Linux without blscfg: all in ``/etc/default/grub``.

Upstream's ``grub-mkconfig`` reads that one file and no drop-ins, so our run of arguments stands inside somebody
else's GRUB_CMDLINE_LINUX_DEFAULT. ``10_linux`` puts the variable into every entry but those for recovery, and
SUSE's kernel packages generate the menu anew, so that later kernels get it too. Arch's kernels keep their file
names and thereby their entries.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.line_file import LineFile
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.grub_generated import (
    DEFAULTS,
    GeneratedMenu,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry, Loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, first_existing
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

TEMPLATE = LineFile(DEFAULTS, "GRUB_CMDLINE_LINUX_DEFAULT")

_TRANSACTIONAL_UPDATE = ("/usr/sbin/transactional-update", "/usr/bin/transactional-update")
_ROOT_MOUNT = re.compile(r"(?m)^[ \t]*[^#\s]\S*[ \t]+/[ \t]+\S+[ \t]+(\S+)")


class GrubDefaultsLoader(Loader):
    """See :class:`Loader`."""

    name = "grub"

    def __init__(self, root: Root, menu: GeneratedMenu) -> None:
        self._root = root
        self._menu = menu

    def entries(self) -> tuple[Entry, ...]:
        return self._menu.entries()

    def preview(self, ledger: Ledger, arguments: t.Sequence[str]) -> tuple[_owned.FileChange, ...]:
        if arguments:
            self._menu.refuse_arguments()
        change = TEMPLATE.preview(self._root, ledger, arguments)
        if change.changed and has_read_only_root(self._root):
            raise RefusedError(
                f"{DEFAULTS} lies on a read-only root that only transactional-update changes: run "
                "'transactional-update shell', add the arguments to GRUB_CMDLINE_LINUX_DEFAULT there, leave it, run "
                "'transactional-update --continue grub.cfg' and reboot"
            )
        return (change,)

    def write(
        self, run: Runner, ledger: Ledger, arguments: t.Sequence[str], expected: t.Sequence[Entry]
    ) -> tuple[_owned.FileChange, ...]:
        change = TEMPLATE.write(self._root, ledger, arguments)
        try:
            self._menu.generate(run, expected)
        except BaseException:
            TEMPLATE.restore(self._root, ledger, change)
            raise
        return (change,)


def has_read_only_root(root: Root) -> bool:
    """Whether this is a transactional system (MicroOS, SLE Micro): the next snapshot is changed, never this one."""
    mount = _ROOT_MOUNT.search(root.read_text("/etc/fstab") or "")
    return (
        first_existing(root, _TRANSACTIONAL_UPDATE) is not None
        and mount is not None
        and "ro" in mount.group(1).split(",")
    )

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The files of ``early_files.py`` on a host: wanted where a hardware watchdog is, installed, taken away again."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.early_files import SERVED, early_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.watchdog import present_kinds
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import FileChange, OwnedFile

OWNER: t.Final = "boot_watchdog"


def wanted_early_files(root: Root, generators: t.Iterable[str]) -> tuple[OwnedFile, ...]:
    """What the host needs so that the images of ``generators`` can start its watchdog; empty where it has none that is
    known, and where none of them runs scripts of this kind."""
    served = [generator for generator in generators if generator in SERVED]
    kinds = present_kinds(root)
    return early_files(served, kinds) if served and kinds else ()


def install_early_files(
    root: Root, ledger: Ledger, generators: t.Iterable[str], check_mode: bool = False
) -> list[FileChange]:
    """Bring what is wanted onto the host; gives what differs.

    Where no watchdog is seen any more, what an earlier run has installed stays: the images hold it, and its driver may
    only not be loaded in this boot. :func:`release_early_files` takes it away. Refuses, before the first write, where
    a file is somebody else's.
    """
    wanted = wanted_early_files(root, generators)
    if not wanted:
        return []
    changes = [_owned.preview(root, ledger, file) for file in wanted]
    paths = {file.path for file in wanted}
    # Of a generator that is installed no more.
    old = [path for path in _owned.owned_paths(ledger, OWNER) if path not in paths]
    changes += [_owned.preview_release(root, ledger, path) for path in old]
    if not check_mode:
        for file in wanted:
            _owned.install(root, ledger, OWNER, file)
        for path in old:
            _owned.release(root, ledger, path)
    return [change for change in changes if change.changed]


def release_early_files(root: Root, ledger: Ledger, check_mode: bool = False) -> list[FileChange]:
    """Take everything away again; the images have to be built anew afterwards."""
    owned = _owned.owned_paths(ledger, OWNER)
    changes = [_owned.preview_release(root, ledger, path) for path in owned]
    if not check_mode:
        for path in owned:
            _owned.release(root, ledger, path)
    return [change for change in changes if change.changed]

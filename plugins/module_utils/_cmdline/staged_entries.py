# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Several entry files changed as one: written beside the live ones, switched by renaming, or all back."""

from __future__ import annotations

import contextlib
import os
import shutil
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls import BlsEntry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import (
    Root,
    switch_boot_file,
    sync_boot_filesystem,
    write_atomic,
)


class StagedEntries:
    """``directory`` holds all entries as they shall be; a second one holds them as they were."""

    def __init__(self, root: Root, entries: str) -> None:
        self._boot = root.path("/boot")
        self._live = os.path.realpath(root.path(entries))
        # A neighbour, for renames work within one file system only, and boot loaders read the directory itself only.
        self.directory = f"{self._live}.virtfleet-passthrough"
        self._old = f"{self.directory}.old"
        self._changed: list[str] = []
        self._switched: list[str] = []

    def fill(self, wanted: t.Sequence[BlsEntry]) -> None:
        """Write both copies; nothing live changes."""
        for directory in (self.directory, self._old):
            os.mkdir(directory, mode=0o700)
        for entry in wanted:
            present = self._read(entry.file_name)
            write_atomic(os.path.join(self.directory, entry.file_name), entry.data)
            if present != entry.data:
                write_atomic(os.path.join(self._old, entry.file_name), present)
                self._changed.append(entry.file_name)

    def put_into_place(self) -> None:
        """Rename every new file that differs over the live one, which keeps its owner, mode and label."""
        for name in self._changed:
            self._switched.append(name)
            self._move(self.directory, name)
        sync_boot_filesystem(self._boot)

    def put_back(self) -> None:
        """Undo :meth:`put_into_place`, as far as it came."""
        for name in self._switched:
            self._move(self._old, name)
        sync_boot_filesystem(self._boot)

    def remove(self) -> None:
        """Take both copies away, also those that a run left that was cut off."""
        for directory in (self.directory, self._old):
            shutil.rmtree(directory, ignore_errors=True)

    def _move(self, directory: str, name: str) -> None:
        switch_boot_file(os.path.join(directory, name), os.path.join(self._live, name))

    def _read(self, name: str) -> bytes:
        with open(os.path.join(self._live, name), "rb") as stream:
            return stream.read()


@contextlib.contextmanager
def staged_entries(root: Root, entries: str, wanted: t.Sequence[BlsEntry]) -> t.Iterator[StagedEntries]:
    """The files of the directory ``entries`` as they shall be, beside it for as long as the context lasts.

    New and old content are both on the disk before the first live file changes: from then on there are only
    renames, which a full disk cannot stop.
    """
    staged = StagedEntries(root, entries)
    staged.remove()
    try:
        staged.fill(wanted)
        yield staged
    finally:
        staged.remove()

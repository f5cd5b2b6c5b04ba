# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What a boot loader must be able to do for a trial; one file per family implements it."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile

ENTRY_NAME: t.Final = "virtfleet-passthrough-trial"


@dataclasses.dataclass(frozen=True)
class Base:
    """The entry that boots when nothing is chosen for a single boot. ``kernel`` and ``initrd`` are its files as the
    host sees them, ``directory`` is where the loader finds images."""

    entry: Entry
    kernel: str
    initrd: str | None
    directory: str


class TrialLoader(t.Protocol):
    """One boot loader on one host. ``entry_name`` is what it calls the entry on trial; ``not_covered`` are failures
    from which it does not come back by itself."""

    name: str
    entry_name: str
    not_covered: tuple[str, ...]

    def obstacle(self, run: Runner, /) -> str | None:
        """Why no trial is possible here, ``None`` where it is: above all that the choice for one boot would last."""

    def base(self) -> Base:
        """What the trial is made from; raises :class:`HostStateError` where its files are not found."""

    def images_of(self, kernel: str) -> tuple[str, ...]:
        """The files that are the image of ``kernel``, the one that it boots with first; empty where no entry names
        one."""

    def render(self, line: t.Sequence[str], image: str | None, title: str) -> OwnedFile:
        """The one file that adds the entry: that of :meth:`base` with another line and, unless ``None``, image."""

    def check(self, run: Runner, file: OwnedFile, /) -> None:
        """Let the loader's own tools read what was written; raises :class:`ToolError`."""

    def one_shot(self) -> str | None:
        """The entry that is chosen for the next boot alone."""

    def set_one_shot(self, run: Runner) -> None:
        """Choose the entry on trial for the next boot alone, and read that back."""

    def clear_one_shot(self, run: Runner) -> None:
        """Take the choice away, where it is ours."""

    def sync(self) -> None:
        """Bring what was written to where the loader finds it after a power cut."""

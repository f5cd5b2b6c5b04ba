# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What every boot loader answers and does; one file of this directory implements it per loader."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.carriage import Carriage
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import FileChange


@dataclasses.dataclass(frozen=True)
class Entry:
    """One boot entry: kernel release, title, arguments in order, the initramfs it loads.

    ``managed`` entries are those that the distribution makes for its kernels; a memory test, another system or
    an entry that a person wrote is listed and left alone. ``shared_tail`` is how many tokens somebody else always
    puts behind the others: a tool that gives an entry the very arguments of the others and its own behind them,
    or addons of a unified image. ``None`` where nobody does.
    """

    kernel: str
    title: str
    args: tuple[str, ...]
    default: bool = False
    rescue: bool = False
    managed: bool = True
    initrd: str | None = None
    shared_tail: int | None = None

    @property
    def takes_arguments(self) -> bool:
        """Whether our arguments belong into this entry."""
        return self.managed and not self.rescue

    @property
    def own_args(self) -> tuple[str, ...]:
        """The arguments that the entry itself has."""
        return self.args[: len(self.args) - (self.shared_tail or 0)]

    def readable(self) -> Entry:
        """The same, with bytes that are no UTF-8 shown as ``/proc/cmdline`` shows them here: no JSON can carry them."""
        return dataclasses.replace(
            self,
            kernel=_shown(self.kernel),
            title=_shown(self.title),
            args=tuple(_shown(token) for token in self.args),
            initrd=None if self.initrd is None else _shown(self.initrd),
        )

    def to_json(self) -> dict[str, t.Any]:
        data = dataclasses.asdict(self)
        data["args"] = list(self.args)
        del data["shared_tail"]
        return data


def _shown(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class Loader(t.Protocol):
    """A boot loader's configuration on one host; loaders inherit from it."""

    name: str

    @property
    def carriage(self) -> Carriage:
        """Which arguments this loader's configuration can carry. The default suits every configuration that a shell or
        a script language reads."""
        return Carriage(
            f"more than the kernel reads the configuration of {self.name}, so that only letters, digits and "
            "_ . , : = @ % + / - arrive as written; blanks, quotes and other characters are not supported there"
        )

    def entries(self) -> tuple[Entry, ...]:
        """Every entry as configured now, in menu order; the one that boots next is ``default``, none where that is
        another operating system."""

    def preview(self, ledger: Ledger, arguments: t.Sequence[str]) -> tuple[FileChange, ...]:
        """What :meth:`write` would do to the files from which entries are made, now and for kernels to come; refuses
        where one is not ours to change. Entries themselves are not among them."""

    def write(
        self, run: Runner, ledger: Ledger, arguments: t.Sequence[str], expected: t.Sequence[Entry]
    ) -> tuple[FileChange, ...]:
        """Make ``arguments`` (all owners', in order) our part of every entry but rescue ones.

        The new configuration is generated beside the old one, must read back as ``expected``, and only then
        takes its place; on any failure the old one stays and :class:`ToolError` is raised.
        """


@dataclasses.dataclass(frozen=True)
class Unsupported:
    """A boot loader that is recognised and left alone: by which ``sign``, and what a person can do instead."""

    name: str
    sign: str
    advice: str

    def __str__(self) -> str:
        return (
            f"This machine is booted by {self.name} ({self.sign}), which virtfleet.passthrough does not configure, so "
            f"the kernel command line is left alone. {self.advice}."
        )


class Detect(t.Protocol):
    """Gives the loader where all is there that it needs, else ``None`` after adding what it looked for.

    It answers for its own files and tools only; what started the running kernel decides between several.
    """

    def __call__(self, root: Root, looked_for: list[str]) -> Loader | Unsupported | None: ...

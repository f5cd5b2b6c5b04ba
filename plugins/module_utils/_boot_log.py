# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the running kernel has logged since it booted."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, first_existing

# The journal first: the kernel's own buffer forgets its beginning, where what is looked for stands.
_READERS: t.Sequence[tuple[str, tuple[str, ...]]] = (
    ("/usr/bin/journalctl", ("journalctl", "--dmesg", "--boot", "--output=cat", "--no-pager")),
    ("/usr/bin/dmesg", ("dmesg",)),
    ("/bin/dmesg", ("dmesg",)),
)

# The kernel's first line, without which the beginning is missing.
_BANNER = "Linux version "

# In a captured tree (dmesg as sosreport and Debian's boot keep it).
_CAPTURED = ("/sos_commands/kernel/dmesg", "/var/log/dmesg")


class KernelLog(t.NamedTuple):
    """``text`` is empty where nothing could be read; ``complete`` if it goes back to the kernel's first line, so
    that what is not in it was not said."""

    text: str = ""
    complete: bool = False

    def says(self, words: str) -> bool | None:
        """Whether ``words`` are in it; ``None`` where they may have been and are lost."""
        if words in self.text:
            return True
        return False if self.complete else None


class KernelLogReader:
    """The log of one host, read when somebody first asks and then no more: where it is long, that takes a second."""

    def __init__(self, root: Root, run: Runner) -> None:
        self._root = root
        self._run = run
        self._log: KernelLog | None = None

    def __call__(self) -> KernelLog:
        if self._log is None:
            self._log = read_kernel_log(self._root, self._run)
        return self._log


def read_kernel_log(root: Root, run: Runner) -> KernelLog:
    """The log of the running boot, from the journal or the kernel's buffer, whichever is complete."""
    best = ""
    for text in _live_texts(root, run) if root.is_live else _captured_texts(root):
        if _BANNER in text:
            return KernelLog(text, complete=True)
        best = best or text
    return KernelLog(best)


def _live_texts(root: Root, run: Runner) -> t.Iterator[str]:
    for program, argv in _READERS:
        if first_existing(root, (program,)) is not None:
            result = run(argv)
            if result.rc == 0:
                yield result.stdout


def _captured_texts(root: Root) -> t.Iterator[str]:
    for path in _CAPTURED:
        text = root.read_text(path)
        if text is not None:
            yield text

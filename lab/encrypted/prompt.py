# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Somebody at the console who types the passphrase whenever a host asks for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import console
from lab.follow import ConsoleTail, repeatedly

# As cryptsetup-initramfs asks, and as systemd does.
QUESTION = re.compile(rb"Please (?:unlock disk [^:\r\n]+|enter passphrase for disk [^\r\n]+?): ?")
_INTERVAL = 0.5


class Typist:
    """Answers each question on a console log once, and counts the answers."""

    def __init__(self, directory: Path, passphrase: str) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._directory = directory
        self._passphrase = passphrase
        self._console = ConsoleTail(directory)

    def look(self) -> None:
        """Answer what has been asked since the last look."""
        text = self._console.unread()
        asked = list(QUESTION.finditer(text))
        if not asked:
            # The end of what is there may be the beginning of a question.
            self._console.take(max(0, len(text) - 200))
            return
        self._console.take(asked[-1].end())
        try:
            console.type_line(self._directory, self._passphrase)
        except OSError as error:
            self.failures.append(str(error))
        else:
            self.answers += 1


@contextmanager
def answering(directory: Path, passphrase: str) -> Iterator[Typist]:
    """Let somebody sit at the console of the host with this directory for the length of a block."""
    typist = Typist(directory, passphrase)
    with repeatedly(typist.look, _INTERVAL):
        yield typist

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's own way through a command line, to hold the parser against.

It works as the kernel does, on a buffer in which bytes are overwritten with zero bytes and pointers are moved, and
shares nothing with the parser: ``next_arg`` in lib/cmdline.c, ``parse_args`` and ``dash2underscore`` in
kernel/params.c, as of Linux 6.12.
"""

from __future__ import annotations

NUL = "\0"
SPACES = " \t\n\v\f\r"

Argument = tuple[str, "str | None"]


class Buffer:
    """A C string with room behind it."""

    def __init__(self, text: str) -> None:
        self.cells = [*text, NUL, NUL]

    def string_at(self, start: int) -> str:
        return "".join(self.cells[start : self.cells.index(NUL, start)])

    def after_spaces(self, position: int) -> int:
        while self.cells[position] in SPACES:
            position += 1
        return position

    def next_argument(self, start: int) -> tuple[str, str | None, int]:
        """Name, value, and where the next one begins."""
        cells = self.cells
        whole_is_quoted = cells[start] == '"'
        if whole_is_quoted:
            start += 1
        length, equals = self._extent(start, whole_is_quoted)
        last, value_start = start + length - 1, None
        if equals:
            cells[start + equals] = NUL
            value_start = start + equals + 1
            if cells[value_start] == '"':
                value_start += 1
                if cells[last] == '"':
                    cells[last] = NUL
        if whole_is_quoted and cells[last] == '"':
            cells[last] = NUL
        following = start + length
        if cells[following] != NUL:
            cells[following] = NUL
            following += 1
        value = None if value_start is None else self.string_at(value_start)
        return self.string_at(start), value, self.after_spaces(following)

    def _extent(self, start: int, inside: bool) -> tuple[int, int]:
        """How long the argument is, and where its equals sign stands (0: it has none)."""
        length = equals = 0
        while self.cells[start + length] != NUL:
            character = self.cells[start + length]
            if character in SPACES and not inside:
                break
            if equals == 0 and character == "=":
                equals = length
            if character == '"':
                inside = not inside
            length += 1
        return length, equals


def kernel_arguments(line: str) -> tuple[list[Argument], list[Argument]]:
    """What the kernel takes as its own parameters, names with underscores, and what it leaves to init."""
    buffer = Buffer(line)
    position = buffer.after_spaces(0)
    own: list[Argument] = []
    for_init: list[Argument] = []
    arguments = own
    while buffer.cells[position] != NUL:
        name, value, position = buffer.next_argument(position)
        if arguments is own and value is None and name == "--":
            arguments = for_init
        else:
            arguments.append((name.replace("-", "_") if arguments is own else name, value))
    return own, for_init

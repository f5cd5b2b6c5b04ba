# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The kernel command line as the kernel reads it: tokens, their keys, and runs of them. Pure.

Rules from ``next_arg`` in lib/cmdline.c and ``parse_args`` in kernel/params.c.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError

# isspace() of lib/ctype.c, as far as it is ASCII.
BLANKS = " \t\n\v\f\r"

# What a POSIX shell, GRUB's own script language and the kernel all read as written.
_PLAIN_ARGUMENT = re.compile(r"[A-Za-z0-9_.,:=@%+/\-]+")

_PLAIN_IN_QUOTES = re.compile(r'"[A-Za-z0-9_.,:=@%+/\- ]+"')

# What every line-based file keeps as it is.
_PRINTABLE = re.compile(r"[ -~]+")

END_OF_KERNEL_PART = "--"


@dataclasses.dataclass(frozen=True)
class Token:
    """One argument. ``text`` is what stands on the line, quotes included."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Token:
        """From exactly one argument; :class:`InputError` for none, for several and for blanks around it."""
        line = CommandLine.parse(text)
        if len(line.tokens) != 1 or any(line.blanks):
            raise InputError(
                f"kernel argument '{text}': expected exactly one; a value with blanks needs double quotes around it"
            )
        return line.tokens[0]

    def __str__(self) -> str:
        return self.text

    @property
    def name(self) -> str:
        """The parameter's name with ``-`` read as ``_``, as kernel/params.c compares names."""
        return self._parts[0].replace("-", "_")

    @property
    def value(self) -> str | None:
        """What the parameter is given, without the quotes around it; ``None`` for a flag."""
        return self._parts[1]

    @property
    def meaning(self) -> tuple[str, str | None]:
        """What the kernel is told: boot loaders move quotes about, and ``a="b c"`` is ``"a=b c"`` to it."""
        return self.name, self.value

    @property
    def unquoted(self) -> str:
        """The argument as the kernel's log and ``/proc/1/environ`` show it."""
        name, value = self._parts
        return name if value is None else f"{name}={value}"

    @property
    def canonical(self) -> str:
        """The same, with quotes only where blanks need them and then around the whole, as GRUB puts them."""
        return f'"{self.unquoted}"' if any(blank in self.unquoted for blank in BLANKS) else self.unquoted

    @property
    def ends_kernel_part(self) -> bool:
        """Whether what follows belongs to init."""
        return self._parts == (END_OF_KERNEL_PART, None)

    @property
    def _parts(self) -> tuple[str, str | None]:
        quoted = self.text.startswith('"')
        body = self.text[1:] if quoted else self.text
        # A token that begins with "=" has no name, so that the kernel looks for the next one.
        equals = body.find("=", 1)
        if equals < 0:
            return (body[:-1] if quoted and body.endswith('"') else body), None
        name, value = body[:equals], body[equals + 1 :]
        if value.startswith('"'):
            value = value[1:]
            quoted = True
        return name, (value[:-1] if quoted and value.endswith('"') else value)


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """A whole line: ``blanks[i]`` stands before ``tokens[i]``, the last one behind all of them.

    ``str(CommandLine.parse(line)) == line`` for every line.
    """

    tokens: tuple[Token, ...]
    blanks: tuple[str, ...]

    @classmethod
    def parse(cls, line: str) -> CommandLine:
        """Blanks separate, unless an odd number of double quotes stands before them in the token."""
        tokens: list[Token] = []
        blanks: list[str] = []
        position = 0
        while True:
            start = position
            while position < len(line) and line[position] in BLANKS:
                position += 1
            blanks.append(line[start:position])
            if position == len(line):
                return cls(tuple(tokens), tuple(blanks))
            start = position
            quoted = False
            while position < len(line) and (quoted or line[position] not in BLANKS):
                quoted ^= line[position] == '"'
                position += 1
            tokens.append(Token(line[start:position]))

    def __str__(self) -> str:
        return "".join(f"{blank}{token}" for blank, token in zip(self.blanks, self.tokens)) + self.blanks[-1]

    @property
    def kernel_part(self) -> tuple[Token, ...]:
        """What the kernel reads as parameters: everything before ``--``."""
        return self.tokens[: kernel_part_length(self.tokens)]


def split(line: str) -> list[str]:
    """The tokens of a line as they stand, double quotes kept."""
    return [token.text for token in CommandLine.parse(line).tokens]


def key(token: str) -> str:
    """The name of the parameter that ``token`` sets."""
    return Token(token).name


def kernel_part_length(line: t.Iterable[str | Token]) -> int:
    """How many tokens of ``line`` are the kernel's; those from ``--`` on are init's."""
    length = 0
    for token in line:
        if (token if isinstance(token, Token) else Token(token)).ends_kernel_part:
            break
        length += 1
    return length


def check_argument(argument: str) -> str:
    """Give back one argument in its canonical form; refuse what the kernel would not read as it is meant.

    What a boot loader can carry of these is its own to say (``Loader.carriage``).
    """
    token = Token.parse(argument)
    if not _PRINTABLE.fullmatch(argument):
        raise InputError(f"kernel argument {argument!r}: expected printable ASCII characters")
    if argument.count('"') % 2:
        raise InputError(f"kernel argument '{argument}': a double quote is not closed, it would swallow what follows")
    if token.ends_kernel_part:
        raise InputError("kernel argument '--': it ends the kernel's arguments, and what follows belongs to init")
    if not token.name:
        raise InputError(f"kernel argument '{argument}': it names no parameter")
    if '"' in token.unquoted:
        raise InputError(
            f"kernel argument '{argument}': expected double quotes only around the value or around the whole"
        )
    return token.canonical


def is_plain(argument: str) -> bool:
    """Whether every shell, script language and file on the way reads ``argument`` as written, even without quotes."""
    return _PLAIN_ARGUMENT.fullmatch(argument) is not None


def is_plain_in_quotes(argument: str) -> bool:
    """Whether ``argument`` is plain, or would be without its blanks and with the quotes around the whole."""
    return is_plain(argument) or _PLAIN_IN_QUOTES.fullmatch(argument) is not None


def find_block(line: t.Sequence[str], block: t.Sequence[str]) -> int | None:
    """Where ``block`` stands in the kernel's part of ``line`` as one contiguous run (the last such place), or
    ``None``. Tokens that tell the kernel the same are the same."""
    wanted = [Token(token).meaning for token in block]
    there = [Token(token).meaning for token in line[: kernel_part_length(line)]]
    for start in range(len(there) - len(wanted), -1, -1):
        if there[start : start + len(wanted)] == wanted:
            return start
    return None


def replace_block(line: t.Sequence[str], old: t.Sequence[str], new: t.Sequence[str]) -> list[str]:
    """``line`` with the run ``old`` replaced in place; where it is not there, ``new`` goes to the end of the
    kernel's part."""
    start = find_block(line, old) if old else None
    if start is None:
        end = kernel_part_length(line)
        return [*line[:end], *new, *line[end:]]
    return [*line[:start], *new, *line[start + len(old) :]]

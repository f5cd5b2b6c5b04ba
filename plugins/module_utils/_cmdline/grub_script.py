# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""GRUB's script language as far as generated menus use it: words, variables, conditions. Pure.

GRUB manual, 6.2 "Writing full configuration files directly". Not understood are loops, functions' arguments and
line ends inside quotes, which no generator writes around what is asked here.
"""

from __future__ import annotations

import re
import typing as t

_QUOTED = r"""'[^']*'|"(?:\\.|[^"\\])*\""""
_PIECE = re.compile(
    rf"""[ \t\r\f\v]+|\#[^\n]*|[;\n]|[{{}}](?=[\s;]|$)|(?:\\.|{_QUOTED}|[^\s;'"\\]|['"\\])+""", re.DOTALL
)
_PART = re.compile(rf"""\\.|{_QUOTED}|[^'"\\]+|['"\\]""", re.DOTALL)
# Inside double quotes a backslash protects these characters only.
_SPECIAL = re.compile(r"""\\([\\"$])|\$(?:\{(\w+)\}|(\w+|\?))""")
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_ASSIGNMENT = re.compile(r"(\w+)=(.*)", re.DOTALL)
_FILE_TESTS = frozenset({"-e", "-f", "-s"})

# Gives the text of a file below GRUB's own directory (its variable ``prefix``), ``None`` where it is not there.
Reader = t.Callable[[str], "str | None"]


def commands(text: str) -> t.Iterator[list[str]]:
    """Every command as words with their quotes; one that opens a block ends with ``{``, ``}`` stands alone."""
    words: list[str] = []
    for piece in _PIECE.findall(text.replace("\\\n", "")):
        if piece[0] in " \t\r\f\v#":
            continue
        if piece in ("\n", ";", "{", "}"):
            if piece == "{":
                words.append(piece)
            if words:
                yield words
            words = []
            if piece == "}":
                yield [piece]
        else:
            words.append(piece)
    if words:
        yield words


def plain(word: str, variables: t.Mapping[str, str] | None = None, keep_unknown: bool = False) -> str:
    """``word`` without its quotes; with ``variables`` they are put in, unknown ones as nothing or as they stand."""
    result = ""
    for part in _PART.findall(word):
        if len(part) > 1 and part[0] == "'":
            result += part[1:-1]
        elif len(part) > 1 and part[0] == "\\":
            result += part[1:]
        else:
            inside = part[1:-1] if len(part) > 1 and part[0] == '"' else part
            result += _SPECIAL.sub(lambda found: _expanded(found, variables, keep_unknown), inside)
    return result


def fields(word: str, variables: t.Mapping[str, str]) -> list[str]:
    """What a command gets for ``word``: a variable that stands alone and bare may be several words or none. Unknown
    variables stay as they stand."""
    alone = _VARIABLE.fullmatch(word)
    if alone is not None and alone.group(1) in variables:
        return variables[alone.group(1)].split()
    return [plain(word, variables, keep_unknown=True)]


def _expanded(found: re.Match[str], variables: t.Mapping[str, str] | None, keep_unknown: bool) -> str:
    escaped, *names = found.groups()
    if escaped:
        return str(escaped)
    if variables is None:
        return found.group()
    return variables.get(next(name for name in names if name), found.group() if keep_unknown else "")


class Interpreter:
    """Follows ``set`` and ``if`` where commands run one after the other, beginning with ``environment``.

    With ``read``, files in the directory ``prefix`` are looked for; every other file counts as there.
    """

    def __init__(self, environment: t.Mapping[str, str], read: Reader | None = None) -> None:
        # Commands whose result is asked for, as "fwsetup --is-supported", are taken to have worked.
        self.variables = {"?": "0", **environment}
        self._read = read
        self._directory = f"{environment.get('prefix', '')}/"
        # One pair per open "if": whether this branch runs, and whether one before it did.
        self._branches: list[tuple[bool, bool]] = []

    @property
    def runs(self) -> bool:
        """Whether commands are carried out where we are."""
        return all(branch for branch, _taken in self._branches)

    def copy(self) -> Interpreter:
        """One that goes on from here by itself."""
        other = Interpreter(self.variables, self._read)
        other._directory = self._directory
        return other

    def source(self, word: str) -> str | None:
        """The text of the file that ``word`` names, where it is one of GRUB's own."""
        path = plain(word, self.variables)
        return self._read(path) if self._read is not None and path.startswith(self._directory) else None

    def take(self, words: list[str]) -> list[str]:
        """Follow a command; gives back what is left to be carried out, empty where nothing is."""
        while words and words[0] in ("then", "else"):
            if words[0] == "else" and self._branches:
                _branch, taken = self._branches[-1]
                self._branches[-1] = (not taken, True)
            words = words[1:]
        if not words:
            return []
        if words[0] in ("if", "elif"):
            self._decide(words)
        elif words[0] == "fi":
            del self._branches[-1:]
        elif self.runs:
            assigned = _ASSIGNMENT.fullmatch(words[1] if words[0] == "set" and len(words) > 1 else words[0])
            if assigned is not None:
                self.variables[assigned.group(1)] = plain(assigned.group(2), self.variables)
            return words
        return []

    def _decide(self, words: list[str]) -> None:
        taken = self._branches.pop()[1] if words[0] == "elif" and self._branches else False
        holds = not taken and self._holds([plain(word, self.variables) for word in words[1:]])
        self._branches.append((holds, taken or holds))

    def _holds(self, words: list[str]) -> bool:
        """``[`` as GRUB has it (grub-core/commands/test.c); what is not known here counts as true."""
        if words[:1] in (["["], ["test"]):
            words = [word for word in words[1:] if word != "]"]
        for operator, combine in (("-o", any), ("-a", all)):
            if operator in words:
                place = words.index(operator)
                return combine([self._holds(words[:place]), self._holds(words[place + 1 :])])
        if words[:1] == ["!"]:
            return not self._holds(words[1:])
        if len(words) == 1:
            return bool(words[0])
        if len(words) == 2 and words[0] in ("-n", "-z"):
            return bool(words[1]) == (words[0] == "-n")
        if len(words) == 2 and words[0] in _FILE_TESTS and self._read is not None:
            return not words[1].startswith(self._directory) or self._read(words[1]) is not None
        if len(words) == 3 and words[1] in ("=", "==", "!="):
            return (words[0] == words[2]) == (words[1] != "!=")
        return bool(words)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The value of one variable in a file that a shell sources (``/etc/default/…``), to read and to edit in place. Pure.

Nothing is evaluated: ``$name`` inside the value stands for itself. A value that is computed by a command cannot be
edited, and says so.
"""

from __future__ import annotations

import dataclasses
import re

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.line_edit import Edit
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError

# Tells a line that we added from one whose value somebody else had left empty.
ADDED = "# added by virtfleet.passthrough"

_DOUBLE = '"'
_QUOTES = (_DOUBLE, "'")
_ESCAPED_IN_DOUBLE_QUOTES = frozenset('"\\$`')
_WORD_ENDS = frozenset(" \t\r\n;&|()<>")


@dataclasses.dataclass(frozen=True)
class _Character:
    """One character of the value, ``source[start:end]`` as written, inside ``quote`` (empty: bare)."""

    value: str
    start: int
    end: int
    quote: str


@dataclasses.dataclass(frozen=True)
class Assignment:
    """``name=value`` in ``source``: the value as a shell reads it, and where each of its characters stands."""

    source: str
    start: int
    characters: tuple[_Character, ...]

    @property
    def value(self) -> str:
        return "".join(character.value for character in self.characters)

    def edit(self, edit: Edit) -> str:
        """``source`` with the edit of the value carried out; no other character changes.

        Raises :class:`RefusedError` where what is to be replaced is not written in one piece.
        """
        inside = self.characters[edit.start : edit.end]
        if not inside:
            return self._insert(edit)
        start, end, quote = inside[0].start, inside[-1].end, inside[0].quote
        if sum(character.end - character.start for character in inside) != end - start:
            raise RefusedError(f"'{self.source[start:end]}' mixes quotes inside of our arguments: write it as one text")
        if not edit.text and quote:
            start, end = self._with_our_quotes(start, end, quote)
        return self.source[:start] + _quoted(edit.text, quote) + self.source[end:]

    def _with_our_quotes(self, start: int, end: int, quote: str) -> tuple[int, int]:
        """What was put behind a bare word, or into nothing at all, brought quotes and a blank of its own."""
        opening = start if self.source[start] == " " else start - 1
        ours = self.source[opening - 1 : opening + 1] == f"{quote} " and self.source[end : end + 1] == quote
        return (opening - 1, end + 1) if ours else (start, end)

    def _insert(self, edit: Edit) -> str:
        before = self.characters[edit.start - 1] if edit.start else None
        if before is not None and before.quote:
            place, text = before.end, _quoted(edit.text, before.quote)
        elif before is None and self.source[self.start : self.start + 1] in _QUOTES:
            place, text = self.start + 1, _quoted(edit.text, self.source[self.start])
        else:
            place = self.start if before is None else before.end
            # The blank tells these quotes from an empty pair that was there.
            text = f'" {_quoted(edit.text.lstrip(), _DOUBLE)}"'
        return self.source[:place] + text + self.source[place:]


def find_assignment(source: str, name: str, path: str) -> Assignment | None:
    """The last plain assignment of ``name``, which is the one that holds; ``path`` is for the message.

    Raises :class:`RefusedError` for a value that a command computes or whose quotes are not closed, and where the
    file only adds to what it is: a line of ours at the end would take the place of it.
    """
    matches = list(re.finditer(rf"^[ \t]*(?:export[ \t]+)?{re.escape(name)}=", source, re.MULTILINE))
    if not matches and re.search(rf"^[ \t]*{re.escape(name)}\+=", source, re.MULTILINE):
        raise RefusedError(f"{path}: {name} is only added to ({name}+=...): write it as one assignment")
    if not matches:
        return None
    start = matches[-1].end()
    characters = _read_word(source, start)
    if characters is None:
        raise RefusedError(
            f"{path}: the value of {name} is computed or its quotes are not closed, so it cannot be edited safely: "
            "write it as one quoted text"
        )
    return Assignment(source, start, tuple(characters))


def _read_word(source: str, position: int) -> list[_Character] | None:
    """The characters of the shell word at ``position``; ``None`` where this reader cannot tell its value."""
    characters: list[_Character] = []
    quote = ""
    while position < len(source):
        character = source[position]
        following = source[position + 1 : position + 2]
        end = position + 1
        if not quote and character in _WORD_ENDS:
            return None if character in "()<>&|" else characters
        if quote != "'" and (character == "`" or (character == "$" and following == "(")):
            return None
        if character in _QUOTES and quote in ("", character):
            quote = "" if quote else character
        elif character == "\\" and quote != "'" and following == "\n":
            end += 1
        elif (
            character == "\\"
            and following
            and (not quote or (quote == _DOUBLE and following in _ESCAPED_IN_DOUBLE_QUOTES))
        ):
            end += 1
            characters.append(_Character(following, position, end, quote))
        else:
            characters.append(_Character(character, position, end, quote))
        position = end
    return None if quote else characters


def _quoted(text: str, quote: str) -> str:
    if quote == _DOUBLE:
        return "".join(f"\\{character}" if character in _ESCAPED_IN_DOUBLE_QUOTES else character for character in text)
    if quote == "'":
        return text.replace("'", "'\\''")
    return "".join(
        f"\\{character}" if not re.fullmatch(r"[\w.,:=@%+/-]", character) else character for character in text
    )


def add_assignment(source: str, name: str, value: str) -> str:
    """``source`` with a last line that sets ``name`` and carries our mark."""
    line = f'{name}="{_quoted(value, _DOUBLE)}" {ADDED}'
    return f"{source}{line}\n" if not source or source.endswith("\n") else f"{source}\n{line}"


def drop_added(source: str, name: str) -> str:
    """``source`` without the line of :func:`add_assignment`, where its value is empty by now."""
    line = re.escape(f'{name}="" {ADDED}')
    return re.sub(rf"(?:^{line}\n|\n{line}\Z)", "", source, flags=re.MULTILINE)

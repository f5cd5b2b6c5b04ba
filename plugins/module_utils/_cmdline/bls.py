# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Type 1 entries of the Boot Loader Specification (UAPI.1): ``loader/entries/*.conf``. Pure.

One ``key value`` pair per line; ``#`` begins a comment; ``initrd`` and ``options`` may stand on several lines.
Everything that is not changed keeps its bytes: blanks, tabs, line ends, comments and what is no UTF-8.
Their order in a menu is in ``bls_order.py``.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

_SUFFIX = ".conf"
_PAIR = re.compile(r"[ \t]*([^# \t\r\n][^ \t\r\n]*)(?:[ \t]+([^\r\n]*))?")
# What the kernel takes for one token: blanks inside double quotes belong to it (next_arg in lib/cmdline.c).
_TOKEN = re.compile(r'(?:[^ \t\r\n\f\v"]|"[^"]*(?:"|$))+')
# Boot counting puts "+left" or "+left-done" behind the name (UAPI.1, "Boot counting").
_COUNTER = re.compile(r"\+(\d+)(?:-(\d+))?$")


@dataclasses.dataclass(frozen=True)
class BlsEntry:
    """One entry file. ``file_name`` has no directory; ``data`` is its whole content."""

    file_name: str
    data: bytes

    @property
    def stem(self) -> str:
        """The name without ``.conf``."""
        return self.file_name.removesuffix(_SUFFIX)

    @property
    def identifier(self) -> str:
        """The name without ``.conf`` and without the counters of boot counting: what menus call the entry."""
        return _COUNTER.sub("", self.stem)

    @property
    def tries_left(self) -> int | None:
        """How often the entry is tried before it counts as bad; ``None`` where tries are not counted."""
        counter = _COUNTER.search(self.stem)
        return None if counter is None else int(counter.group(1))

    @property
    def tries_done(self) -> int | None:
        counter = _COUNTER.search(self.stem)
        return None if counter is None else int(counter.group(2) or 0)

    @property
    def title(self) -> str | None:
        return self.first("title")

    @property
    def version(self) -> str | None:
        return self.first("version")

    @property
    def machine_id(self) -> str | None:
        return self.first("machine-id")

    @property
    def sort_key(self) -> str | None:
        return self.first("sort-key")

    @property
    def linux(self) -> str | None:
        """The kernel's path from the root of the file system on which it lies."""
        return self.first("linux")

    @property
    def initrds(self) -> tuple[str, ...]:
        """The paths of all initramfs files in order; GRUB allows several, and variables, on one line."""
        return tuple(path for value in self.all("initrd") for path in value.split())

    @property
    def options(self) -> list[str]:
        """The tokens of all ``options`` lines, one after the other, quotes kept."""
        return [token.text for token in _option_tokens(self._lines)]

    @property
    def option_lines(self) -> int:
        return len(self.all("options"))

    def first(self, key: str) -> str | None:
        """The first value of ``key``, or ``None``."""
        return next(iter(self.all(key)), None)

    def all(self, key: str) -> tuple[str, ...]:
        """Every value of ``key`` in the order of their lines, without blanks around them."""
        return tuple(
            (pair.group(2) or "").strip()
            for pair in (_PAIR.match(line) for line in self._lines)
            if pair is not None and pair.group(1) == key
        )

    def with_options(self, options: t.Sequence[str]) -> BlsEntry:
        """The entry with the tokens ``options``; what is before and behind the tokens that differ keeps its bytes.

        Taking tokens out of the place where this put them gives the very content of before.
        """
        lines = self._lines
        old = _option_tokens(lines)
        kept_before, kept_behind = _common_ends([token.text for token in old], options)
        for token in reversed(old[kept_before : len(old) - kept_behind]):
            lines[token.line] = _without(lines[token.line], token)
        added = list(options[kept_before : len(options) - kept_behind])
        if added:
            _insert(lines, old[kept_before - 1] if kept_before else None, " ".join(added))
        return dataclasses.replace(self, data=_encode(lines))

    @property
    def _lines(self) -> list[str]:
        # Only "\n" ends a line: str.splitlines() knows a dozen other ends, which are part of a value here.
        return self.data.decode("utf-8", "surrogateescape").split("\n")


@dataclasses.dataclass(frozen=True)
class _Token:
    text: str
    line: int
    start: int
    end: int


def is_entry_file(file_name: str) -> bool:
    """Whether boot loaders read a file of this name as an entry."""
    return file_name.endswith(_SUFFIX) and not file_name.startswith(".") and len(file_name) > len(_SUFFIX)


def _encode(lines: list[str]) -> bytes:
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _value_start(line: str) -> int | None:
    """Where the value of an ``options`` line begins; ``None`` for every other line."""
    pair = _PAIR.match(line)
    if pair is None or pair.group(1) != "options":
        return None
    return pair.start(2) if pair.group(2) is not None else pair.end(1)


def _option_tokens(lines: list[str]) -> list[_Token]:
    found: list[_Token] = []
    for number, line in enumerate(lines):
        start = _value_start(line)
        if start is not None:
            tokens = _TOKEN.finditer(line, start)
            found.extend(_Token(token.group(), number, token.start(), token.end()) for token in tokens)
    return found


def _common_ends(old: t.Sequence[str], new: t.Sequence[str]) -> tuple[int, int]:
    """How many tokens are the same at the beginning and, of the others, at the end."""
    shorter = min(len(old), len(new))
    before = next((index for index in range(shorter) if old[index] != new[index]), shorter)
    rest = shorter - before
    behind = next((index for index in range(rest) if old[-1 - index] != new[-1 - index]), rest)
    return before, behind


def _without(line: str, token: _Token) -> str:
    """``line`` without the token and the one blank that separated it."""
    value = _value_start(line) or 0
    if token.start > value:
        return line[: token.start - 1] + line[token.end :]
    behind = line[token.end :]
    return line[: token.start] + (behind[1:] if behind[:1] in (" ", "\t") else behind)


def _insert(lines: list[str], behind: _Token | None, text: str) -> None:
    """Put ``text`` behind a token; without one at the beginning of the first ``options`` line, or on a new line."""
    if behind is not None:
        line = lines[behind.line]
        lines[behind.line] = f"{line[: behind.end]} {text}{line[behind.end :]}"
        return
    for number, line in enumerate(lines):
        start = _value_start(line)
        if start is not None:
            gap = "" if line[:start].endswith((" ", "\t")) else " "
            rest = line[start:]
            lines[number] = f"{line[:start]}{gap}{text}{' ' if _TOKEN.match(rest) else ''}{rest}"
            return
    end = "\r" if lines[0].endswith("\r") else ""
    # What split() leaves behind the last line's end is an empty string: the new line goes before it.
    if lines[-1] == "":
        lines.insert(len(lines) - 1, f"options {text}{end}")
    else:
        lines.append(f"options {text}")

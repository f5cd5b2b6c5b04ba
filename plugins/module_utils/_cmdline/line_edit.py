# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Where our run of arguments goes in a line that belongs to somebody else. Pure.

An edit names a place in the line, so that every character outside of it stays as it is: taking out what was put
in gives back the very same line.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import (
    CommandLine,
    kernel_part_length,
)


@dataclasses.dataclass(frozen=True)
class Edit:
    """Characters ``start`` to ``end`` (exclusive) become ``text``."""

    start: int
    end: int
    text: str

    def apply(self, line: str) -> str:
        return line[: self.start] + self.text + line[self.end :]


def edit_line(line: str, blocks: t.Iterable[t.Sequence[str]], new: t.Sequence[str]) -> Edit | None:
    """Put ``new`` where one of ``blocks`` stands, else at the end of the kernel's part; ``None`` where nothing changes.

    ``blocks`` are the runs that may be ours, the first that is found counts; an empty ``new`` takes it out.
    """
    spans = _spans(line)
    texts = [line[start:end] for start, end in spans]
    found = next((place for block in blocks if (place := _find(texts, block)) is not None), None)
    if found is not None:
        return _replace(spans, texts, found, new)
    if not new:
        return None
    behind = kernel_part_length(texts)
    if behind:
        end = spans[behind - 1][1]
        return Edit(end, end, " " + " ".join(new))
    start = spans[0][0] if spans else 0
    return Edit(start, start, " ".join(new) + (" " if spans else ""))


def _spans(line: str) -> list[tuple[int, int]]:
    parsed = CommandLine.parse(line)
    spans: list[tuple[int, int]] = []
    position = 0
    for blank, token in zip(parsed.blanks, parsed.tokens):
        position += len(blank)
        spans.append((position, position + len(token.text)))
        position += len(token.text)
    return spans


def _find(texts: t.Sequence[str], block: t.Sequence[str]) -> tuple[int, int] | None:
    """The last place of ``block``: its first token and the one behind its last."""
    size = len(block)
    starts = range(len(texts) - size, -1, -1) if size else ()
    return next(((start, start + size) for start in starts if texts[start : start + size] == list(block)), None)


def _replace(
    spans: t.Sequence[tuple[int, int]], texts: t.Sequence[str], place: tuple[int, int], new: t.Sequence[str]
) -> Edit | None:
    first, behind = place
    start, end = spans[first][0], spans[behind - 1][1]
    if new:
        return None if list(texts[first:behind]) == list(new) else Edit(start, end, " ".join(new))
    # One blank came in with us: the one before, or the one behind where we stand first.
    if first:
        return Edit(start - 1, end, "")
    return Edit(start, end + 1 if behind < len(spans) else end, "")

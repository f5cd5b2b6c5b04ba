# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Our part of a boot entry: the arguments of all owners as one run of tokens. Pure.

The ledger says what every owner shall have (``kernel_args``) and which runs may stand in boot entries at this
moment (``kernel_line``): one when all is done, the old and the new while a change is under way. A power cut
between the two leaves entries with either, and both are recognised.
"""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import (
    find_block,
    kernel_part_length,
    replace_block,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

_BLOCKS = "blocks"


def in_order(owners: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    """All owners' arguments in the order in which they stand on a line."""
    return [argument for owner in sorted(owners) for argument in owners[owner]]


def recorded_blocks(ledger: Ledger) -> list[list[str]]:
    """The runs that may be ours in an entry, longest first; an empty one is left out."""
    blocks = ledger.section("kernel_line").get(_BLOCKS, [in_order(ledger.section("kernel_args"))])
    return sorted((list(block) for block in blocks if block), key=len, reverse=True)


def record_blocks(ledger: Ledger, *blocks: t.Sequence[str]) -> None:
    """Note what may stand in entries from now on; a single empty run leaves no note."""
    distinct = [list(block) for block in dict.fromkeys(tuple(block) for block in blocks)]
    section = ledger.section("kernel_line")
    section.clear()
    if distinct != [[]]:
        section[_BLOCKS] = distinct


def present_block(line: t.Sequence[str], blocks: t.Iterable[t.Sequence[str]]) -> list[str]:
    """Which of ``blocks`` stands in ``line``; empty where none does."""
    return next((list(block) for block in blocks if find_block(line, block) is not None), [])


def with_block(line: t.Sequence[str], blocks: t.Iterable[t.Sequence[str]], new: t.Sequence[str]) -> list[str]:
    """``line`` with our run, whichever of ``blocks`` it is, replaced by ``new``; where there was none, at the end of
    the kernel's part.

    GRUB appends variables of its own (Ubuntu's ``$vt_handoff``) behind what the configuration gives it.
    """
    old = present_block(line, blocks)
    if old:
        return replace_block(line, old, new)
    end = kernel_part_length(line)
    while end and line[end - 1].startswith("$"):
        end -= 1
    return [*line[:end], *new, *line[end:]]


def without_block(line: t.Sequence[str], blocks: t.Iterable[t.Sequence[str]]) -> list[str]:
    """What somebody else has on ``line``."""
    return replace_block(line, present_block(line, blocks), [])

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Where the order of different parameters counts: ``hugepagesz=`` and the ``hugepages=`` behind it. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import Token, kernel_part_length


def ignored_huge_pages(line: t.Sequence[str]) -> list[str]:
    """Tokens that the kernel passes over: a size for the second time with its count, and a count right behind another
    (``hugepagesz_setup`` and ``hugepages_setup`` in mm/hugetlb.c, which only log that)."""
    ignored: list[str] = []
    sizes: set[str | None] = set()
    valid_size, counted = True, False
    for text in line[: kernel_part_length(line)]:
        token = Token(text)
        if token.name == "hugepagesz":
            size = (token.value or "").upper()
            valid_size, counted = size not in sizes, False
            sizes.add(size)
            if not valid_size:
                ignored.append(text)
        elif token.name == "default_hugepagesz":
            valid_size, counted = True, False
        elif token.name == "hugepages":
            if counted or not valid_size:
                ignored.append(text)
            valid_size, counted = True, True
    return ignored

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The attribute ``resource``: where the kernel has put a function's regions."""

from __future__ import annotations

# include/linux/ioport.h
_IORESOURCE_MEM = 0x200
# Then come the ROM, the BARs of VFs and a bridge's windows (include/linux/pci.h); a bridge leaves what it lacks empty.
_BARS = 6
_4_GIB = 1 << 32


def above_4g(resource: str) -> bool:
    """Whether a memory BAR lies above 4 GiB, from lines of start, end and flags."""
    for line in resource.splitlines()[:_BARS]:
        # Most lines are empty regions, and no start below 4 GiB has a digit other than 0 in these places.
        if line[2:10] in ("00000000", ""):
            continue
        try:
            start, _end, flags = (int(word, 16) for word in line.split())
        except ValueError:
            continue
        if start >= _4_GIB and flags & _IORESOURCE_MEM:
            return True
    return False


def largest_bar(resource: str) -> int:
    """The size of the largest memory BAR in bytes, 0 where there is none."""
    sizes = [0]
    for line in resource.splitlines()[:_BARS]:
        try:
            start, end, flags = (int(word, 16) for word in line.split())
        except ValueError:
            continue
        if flags & _IORESOURCE_MEM and end > start:
            sizes.append(end - start + 1)
    return max(sizes)

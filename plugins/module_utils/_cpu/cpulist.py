# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""CPU sets in the kernel's list form (``0-3,8,10-12``): the one parser for pins, isolation and affinities."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError

# The largest NR_CPUS of any kernel configuration is 8192; more is a slip of the finger, not a machine.
MAX_CPU = 8191

_RANGE = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")


def parse_cpulist(text: str) -> tuple[int, ...]:
    """The CPU numbers in ascending order, each once; empty for an empty text.

    Raises :class:`InputError` for anything else than numbers and ascending ranges. The kernel's further
    forms (``all``, ``N``, ``0-31:1/2``; lib/bitmap-str.c) are refused: they would not survive a comparison.
    """
    cpus: set[int] = set()
    stripped = text.strip()
    for part in stripped.split(",") if stripped else ():
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise InputError(f"'{text}' is no CPU list: '{part.strip()}' is neither a number nor a range such as 2-5")
        first, last = int(match.group(1)), int(match.group(2) or match.group(1))
        if last < first:
            raise InputError(f"'{text}' is no CPU list: the range {part.strip()} ends before it begins")
        if last > MAX_CPU:
            raise InputError(f"'{text}' is no CPU list: {last} is beyond {MAX_CPU}, the last CPU that Linux can have")
        cpus.update(range(first, last + 1))
    return tuple(sorted(cpus))


def format_cpulist(cpus: t.Iterable[int]) -> str:
    """The kernel's own form of a set: ascending, neighbours joined (``0-1``, as sysfs prints them)."""
    runs: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)

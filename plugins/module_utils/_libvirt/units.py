# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Sizes in the forms that people and libvirt write them."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError

# libvirt's "scaled integers" (formatdomain, Memory Allocation), as bytes. KB, MB, … are powers of ten there.
_LIBVIRT_UNITS: t.Mapping[str, int] = {
    "b": 1,
    "bytes": 1,
    "kb": 1000,
    "k": 1024,
    "kib": 1024,
    "mb": 1000**2,
    "m": 1024**2,
    "mib": 1024**2,
    "gb": 1000**3,
    "g": 1024**3,
    "gib": 1024**3,
    "tb": 1000**4,
    "t": 1024**4,
    "tib": 1024**4,
}
# What options take: binary units only, because people who write 16GB mean 16GiB.
_KIB: t.Mapping[str, int] = {"K": 1, "M": 1024, "G": 1024**2, "T": 1024**3}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT])(?:iB)?")


def parse_size(text: str, option: str) -> int:
    """``16G``, ``6.5GiB``, ``512M`` in KiB. A bare number is refused: it has meant bytes, KiB and MiB elsewhere."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InputError(
            f"{option}: '{text}' is no size: expected a number with K, M, G or T (powers of 1024), such as 16G"
        )
    whole, _point, fraction = match.group(1).partition(".")
    scale: int = 10 ** len(fraction)
    kib, rest = divmod((int(whole) * scale + int(fraction or "0")) * _KIB[match.group(2)], scale)
    if rest or kib == 0:
        raise InputError(f"{option}: '{text}' is no whole number of KiB above 0")
    return kib


def format_size(kib: int) -> str:
    """KiB in the largest unit that keeps a whole number: ``16G``."""
    for unit, factor in sorted(_KIB.items(), key=lambda entry: -entry[1]):
        if kib % factor == 0 and kib >= factor:
            return f"{kib // factor}{unit}"
    return f"{kib}K"


def libvirt_kib(number: str, unit: str | None) -> int | None:
    """An element's number and ``unit`` attribute in KiB, rounded up; ``None`` where libvirt would not take it."""
    factor: int | None = _LIBVIRT_UNITS.get((unit or "KiB").lower())
    if factor is None or not number.strip().isdigit():
        return None
    return (int(number.strip()) * factor + 1023) // 1024

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.units import (
    format_size,
    libvirt_kib,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "kib"),
    [
        ("16G", 16 * 1024**2),
        ("16 GiB", 16 * 1024**2),
        ("6.5G", 6656 * 1024),
        ("512M", 512 * 1024),
        ("4K", 4),
        ("1T", 1024**3),
    ],
)
def test_size_is_binary(text: str, kib: int) -> None:
    assert parse_size(text, "memory") == kib


@pytest.mark.parametrize("text", ["", "16", "16GB", "0G", "-1G", "1.0001K", "G", "16g", "1e3M"])
def test_size_that_cannot_be_meant_is_refused_by_name(text: str) -> None:
    with pytest.raises(InputError, match="memory"):
        parse_size(text, "memory")


@given(st.integers(min_value=1, max_value=2**44))
def test_size_survives_the_way_through_text(kib: int) -> None:
    assert parse_size(format_size(kib), "memory") == kib


@pytest.mark.parametrize(
    ("number", "unit", "kib"),
    [
        ("2", "GiB", 2097152),
        ("2097152", None, 2097152),
        ("1", "b", 1),
        ("1", "MB", 977),
        ("1", "parsec", None),
        ("x", "KiB", None),
    ],
)
def test_libvirt_units(number: str, unit: str, kib: int) -> None:
    assert libvirt_kib(number, unit) == kib

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.values import (
    as_bool,
    as_int,
    as_list,
    as_mapping,
)


@pytest.mark.parametrize("value", [True, "true", "True", "YES", "on", " yes "])
def test_true(value: Any) -> None:
    assert as_bool(value, "x") is True


@pytest.mark.parametrize("value", [False, "false", "No", "off"])
def test_false(value: Any) -> None:
    assert as_bool(value, "x") is False


@pytest.mark.parametrize("value", [None, 1, 0, "1", "", "maybe", [], {}])
def test_no_switch(value: Any) -> None:
    with pytest.raises(InputError, match=r"iommu_enabled is .*: expected true or false"):
        as_bool(value, "iommu_enabled")


@given(st.integers())
def test_numbers_mean_the_same_in_digits(number: int) -> None:
    assert as_int(number, "x") == as_int(f" {number} ", "x") == number


@pytest.mark.parametrize("value", [None, True, 1.0, "1.5", "0x10", "", "\u0662", [], "1e3"])
def test_no_number(value: Any) -> None:
    with pytest.raises(InputError, match=r"count is .*: expected a whole number"):
        as_int(value, "count")


def test_a_number_below_the_least_one() -> None:
    assert as_int("1", "count", 1) == 1
    with pytest.raises(InputError, match="count is '0': expected a whole number, 1 or more"):
        as_int(0, "count", 1)


def test_lists_and_mappings() -> None:
    assert as_list(("a",), "x") == ["a"]
    assert as_mapping({"a": 1}, "x") == {"a": 1}


@pytest.mark.parametrize("value", ["a", None, 1, {"a": 1}])
def test_no_list(value: Any) -> None:
    with pytest.raises(InputError, match=r"allow is .*: expected a list"):
        as_list(value, "allow")


@pytest.mark.parametrize("value", ["a", None, ["a"], {1: "a"}])
def test_no_mapping(value: Any) -> None:
    with pytest.raises(InputError, match=r"wanted is .*: expected a dictionary"):
        as_mapping(value, "wanted")

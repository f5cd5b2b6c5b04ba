# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import (
    Table,
    arguments_of,
    next_table,
    running_generation,
)

NIC = Identity("8086", "10d3", "8086", "0000")
OTHER = Identity("8086", "100e", "1af4", "1100", "a0369fffff123456")
FIRST = Address.parse("0000:01:00.0")
SECOND = Address.parse("0000:02:00.0")

DIGITS = st.text("0123456789abcdef", min_size=4, max_size=4)
SERIALS = st.none() | st.text("0123456789abcdef", min_size=16, max_size=16)
IDENTITIES = st.builds(Identity, DIGITS, DIGITS, DIGITS, DIGITS, SERIALS)
ADDRESSES = st.builds(Address, st.integers(0, 0x10FFF), st.integers(0, 255), st.integers(0, 31), st.integers(0, 7))
GENERATIONS = st.integers(1, 10**6)
ENTRIES = st.dictionaries(ADDRESSES, IDENTITIES, max_size=6)
TABLES = st.builds(Table, GENERATIONS, ENTRIES, st.none() | st.builds(Table, GENERATIONS, ENTRIES))


@given(TABLES)
def test_a_table_survives_being_written(table: Table) -> None:
    assert Table.parse(str(table)) == table


def test_lines_are_ordered_by_address_and_a_missing_serial_is_a_dash() -> None:
    text = str(Table(3, {SECOND: OTHER, FIRST: NIC}))
    assert text == (
        "generation 3\n0000:01:00.0 8086 10d3 8086 0000 -\n0000:02:00.0 8086 100e 1af4 1100 a0369fffff123456\n"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not begin with a generation"),
        ("generation 0\n", "does not begin with a generation"),
        ("generation 1\nvfio-pci 0000:01:00.0\n", "a line that is no device"),
        ("generation 1\n0000:01:00.0 8086 10D3 8086 0000 -\n", "a line that is no device"),
        ("generation 1\n0000:01:20.0 8086 10d3 8086 0000 -\n", "no PCI address"),
    ],
)
def test_a_file_changed_by_hand_is_named(text: str, reason: str) -> None:
    with pytest.raises(HostStateError, match=reason):
        Table.parse(text)


def test_the_generation_counts_up_only_with_the_content() -> None:
    table = next_table(None, {FIRST: NIC}, 0)
    assert table == Table(1, {FIRST: NIC})
    assert next_table(table, {FIRST: NIC}, 1) is table
    assert next_table(table, {FIRST: OTHER}, 1) == Table(2, {FIRST: OTHER})
    # The ledger may have given out more numbers than this table knows of.
    assert next_table(table, {SECOND: NIC}, 7) == Table(8, {SECOND: NIC})
    assert next_table(table, {}, 1) is None


@given(TABLES, st.dictionaries(ADDRESSES, IDENTITIES, min_size=1, max_size=3), st.integers(0, 100))
def test_a_new_table_never_takes_an_old_number(
    present: Table, entries: dict[Address, Identity], last_generation: int
) -> None:
    table = next_table(present, entries, last_generation)
    assert table is not None
    assert table.entries == entries
    assert table == present or table.generation > max(present.generation, last_generation)


@pytest.mark.parametrize(
    ("line", "generation"),
    [
        ("root=/dev/vda1", None),
        ("virtfleet_passthrough.generation=4", 4),
        ("virtfleet_passthrough.generation=4 virtfleet_passthrough.generation=5", 5),
        ("xvirtfleet_passthrough.generation=4", None),
        ("virtfleet_passthrough.generation=", None),
        ("virtfleet_passthrough.generation", None),
        ("virtfleet_passthrough.generation=one", None),
    ],
)
def test_the_running_generation(line: str, generation: int | None) -> None:
    assert running_generation(line.split()) == generation


def test_the_argument() -> None:
    assert arguments_of(None) == []
    assert arguments_of(Table(4, {})) == ["virtfleet_passthrough.generation=4"]


def test_what_boot_entries_carry_is_kept_below_and_nothing_older() -> None:
    first = Table(1, {FIRST: NIC})
    second = next_table(first, {SECOND: NIC}, 1, 1)
    assert second == Table(2, {SECOND: NIC}, first)
    # The second was tried and not kept, then it is: what no entry carries any more goes.
    assert next_table(second, {SECOND: OTHER}, 2, 1) == Table(3, {SECOND: OTHER}, first)
    assert next_table(second, {SECOND: OTHER}, 2, 2) == Table(3, {SECOND: OTHER}, Table(2, {SECOND: NIC}))
    assert next_table(second, {SECOND: OTHER}, 2, None) == Table(3, {SECOND: OTHER})


def test_taking_back_what_was_not_kept_needs_no_other_boot() -> None:
    second = Table(2, {SECOND: NIC}, Table(1, {FIRST: NIC}))
    assert next_table(second, {FIRST: NIC}, 2, 1) == Table(1, {FIRST: NIC})
    # It was kept, so the way back is another change.
    assert next_table(second, {FIRST: NIC}, 2, 2) == Table(3, {FIRST: NIC}, Table(2, {SECOND: NIC}))
    # What is written after that does not use a number twice.
    assert next_table(Table(1, {FIRST: NIC}), {SECOND: NIC}, 2, 1) == Table(3, {SECOND: NIC}, Table(1, {FIRST: NIC}))

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address

ADDRESSES = st.builds(Address, st.integers(0, 0xFFFFF), st.integers(0, 0xFF), st.integers(0, 0x1F), st.integers(0, 7))

ACCEPTED = [
    ("0000:06:00.1", "0000:06:00.1"),
    ("06:00.1", "0000:06:00.1"),
    ("6:0.1", "0000:06:00.1"),
    ("0000:AF:1F.7", "0000:af:1f.7"),
    ("10000:01:00.0", "10000:01:00.0"),
]

REFUSED = ["06:20.0", "06:00.8", "06:20.9", "0600.0", "", "06:00", "g0:00.0", "0000:06:00.0.0", "100:00.0"]


@pytest.mark.parametrize(("text", "canonical"), ACCEPTED)
def test_every_usual_spelling_becomes_the_kernels(text: str, canonical: str) -> None:
    assert str(Address.parse(text)) == canonical


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_address_is_refused_by_its_value(text: str) -> None:
    with pytest.raises(InputError, match="is no PCI address"):
        Address.parse(text)


@given(ADDRESSES)
def test_parsing_what_was_printed_gives_it_back(address: Address) -> None:
    assert Address.parse(str(address)) == address


@given(ADDRESSES, ADDRESSES)
def test_order_is_the_kernels_numeric_order(one: Address, other: Address) -> None:
    def number(address: Address) -> int:
        return address.domain << 16 | address.bus << 8 | (address.device << 3 | address.function)

    assert (one < other) == (number(one) < number(other))

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.resizable_bar import (
    BarState,
    WantedBar,
    bytes_of,
    format_bit,
    format_size,
    parse_bar,
    parse_size,
    read_bars,
    rule,
)
from tests.unit.plugins.host_tree import HostTree

GPU = "0000:0b:00.0"
RESOURCE = """\
0x00000008e0000000 0x00000008efffffff 0x000000000014220c
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x00000008f0000000 0x00000008f01fffff 0x000000000014220c
"""


@pytest.mark.parametrize(
    ("text", "bit"), [("16G", 14), ("16GiB", 14), ("256M", 8), ("1m", 0), ("1T", 20), (" 8 GB", 13)]
)
def test_sizes(text: str, bit: int) -> None:
    assert parse_size(text, "size") == bit


@pytest.mark.parametrize("text", ["16", "3G", "0G", "", "G", "16K", "16777217T", None, 16])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(InputError, match="expected a power of two with its unit"):
        parse_size(text, "size")


@given(st.integers(0, 43))
def test_a_bit_survives_being_written_as_a_size(bit: int) -> None:
    assert parse_size(format_bit(bit), "size") == bit
    assert format_size(bytes_of(bit)) == format_bit(bit)


def test_a_size_that_is_no_power_of_two_is_shown_in_bytes() -> None:
    assert format_size(4096) == "4096 bytes"


@pytest.mark.parametrize("value", [6, -1, "x", True, None, "1.5"])
def test_what_is_no_bar(value: object) -> None:
    with pytest.raises(InputError, match="0 to 5"):
        parse_bar(value, "bar")


def test_what_the_kernel_offers(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function(GPU, resource0_resize="00000000000001c0", resource2_resize="rubbish", resource=RESOURCE)
    assert read_bars(tree.root, GPU) == {0: BarState(256 << 20, (6, 7, 8)), 2: BarState(2 << 20, ())}
    assert read_bars(tree.root, "0000:0c:00.0") == {}


def test_the_rule() -> None:
    wanted = WantedBar(Address.parse(GPU), Identity("1002", "73bf", "1043", "04f0"), 0, 14)
    assert wanted.size == 16 << 30
    conditions = 'KERNEL=="0000:0b:00.0", ATTR{vendor}=="0x1002", ATTR{device}=="0x73bf", '
    conditions += 'ATTR{subsystem_vendor}=="0x1043", ATTR{subsystem_device}=="0x04f0"'
    command = 'RUN+="/etc/x 0000:0b:00.0 0 14"'
    # Each line as udev(7) wants it; the conditions are the identity and nothing else.
    assert rule([wanted], "/etc/x").splitlines() == [
        'ACTION!="add", GOTO="virtfleet_bars_end"',
        'SUBSYSTEM!="pci", GOTO="virtfleet_bars_end"',
        'TEST!="/etc/x", GOTO="virtfleet_bars_end"',
        f"{conditions}, {command}",
        'LABEL="virtfleet_bars_end"',
    ]

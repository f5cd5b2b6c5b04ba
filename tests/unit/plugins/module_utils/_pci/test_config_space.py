# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.config_space import (
    SUNRISE_POINT_ROOT_PORTS,
    ConfigSpace,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import PCIE_TYPES
from tests.unit.plugins.config_spaces import (
    CAP_MSI_X,
    ENDPOINT,
    EXT_CAP_AER,
    EXT_CAP_RESIZABLE_BAR,
    EXT_CAP_SRIOV,
    ROOT_PORT,
    acs,
    config_space,
    pcie,
    serial,
)
from tests.unit.plugins.host_tree import with_serial

MSI_X = CAP_MSI_X, bytes(10)
AER = EXT_CAP_AER, bytes(68)
CARD = config_space(
    [MSI_X, pcie(ENDPOINT)], [AER, serial("525400fffeaa0010"), (EXT_CAP_SRIOV, bytes(60)), acs(0x5F, 0x1D)]
)


def looping(*, extended: bool) -> bytes:
    config = bytearray(CARD)
    if extended:
        struct.pack_into("<I", config, 0x100, EXT_CAP_AER | 1 << 16 | 0x100 << 20)
    else:
        config[0x41] = 0x40
    return bytes(config)


def test_serial_number_has_its_upper_half_first() -> None:
    assert ConfigSpace(with_serial("525400fffeaa0010")).serial == "525400fffeaa0010"


def test_what_a_card_says_in_its_capabilities() -> None:
    config = ConfigSpace(CARD)
    assert (config.pcie_type, config.acs, config.serial) == ("endpoint", (0x5F, 0x1D), "525400fffeaa0010")
    assert (config.sriov, config.resizable_bar, config.gaps) == (True, False, ())
    assert ConfigSpace(config_space([pcie(ENDPOINT)], [(EXT_CAP_RESIZABLE_BAR, bytes(8))])).resizable_bar


@pytest.mark.parametrize("number", range(16))
def test_every_port_type_has_its_name_or_none(number: int) -> None:
    assert ConfigSpace(config_space([pcie(number)])).pcie_type == PCIE_TYPES.get(number)


def test_the_header_type_leaves_the_multifunction_bit_out() -> None:
    config = ConfigSpace(config_space(header_type=0x81))
    assert (config.header_type, config.multifunction) == (1, True)
    assert not ConfigSpace(config_space(header_type=1)).multifunction


def test_root_ports_with_double_words_keep_control_four_bytes_further() -> None:
    capability, _short = acs(0x5F, 0)
    config = ConfigSpace(config_space([pcie(ROOT_PORT)], [(capability, struct.pack("<II", 0x5F, 0x1D))], header_type=1))
    assert config.acs == (0x5F, 0)
    assert config.acs_double_words == (0x5F, 0x1D)
    assert ("8086", "a110") in SUNRISE_POINT_ROOT_PORTS
    assert ("8086", "a120") not in SUNRISE_POINT_ROOT_PORTS


GAPS = [
    (CARD, ()),
    (CARD[:64], ("the capability list goes on at byte 64, which cannot be read",)),
    (CARD[:256], ("the extended capability list goes on at byte 256, which cannot be read",)),
    (CARD[:0x102], ("the extended capability list goes on at byte 256, which cannot be read",)),
    (looping(extended=False), ("the capability list loops",)),
    (looping(extended=True), ("the extended capability list loops",)),
    (b"\xff" * 4096, ("the function does not answer: its configuration space reads as all ones",)),
    (config_space(size=64), ()),
    (b"", ()),
]


@pytest.mark.parametrize(("data", "gaps"), GAPS)
def test_what_could_not_be_looked_through_is_said(data: bytes, gaps: tuple[str, ...]) -> None:
    assert ConfigSpace(data).gaps[:1] == gaps[:1]
    assert bool(ConfigSpace(data).gaps) is bool(gaps)


def test_a_pointer_into_the_header_ends_the_list() -> None:
    config = bytearray(CARD)
    config[0x34] = 0x10
    assert ConfigSpace(bytes(config)).gaps[0] == "the capability list points into the header"


@pytest.mark.parametrize("missing", range(1, 9))
def test_acs_registers_that_are_cut_off_do_not_count_as_satisfied(missing: int) -> None:
    # Registers that read as zero would ask for nothing, and what asks for nothing is isolated.
    whole = config_space([pcie(ROOT_PORT)], [acs(0x5F, 0x1D)], header_type=1)
    config = ConfigSpace(whole[: 0x108 - missing])
    assert config.acs is None
    assert config.gaps


@pytest.mark.parametrize(
    ("header_type", "bars", "above"),
    [
        (0, (0xFEB00000, 0, 0, 0, 0, 0), False),
        (0, (0x0000000C, 0x00000060, 0, 0, 0, 0), True),
        (0, (0x0000000C, 0, 0xFEB00004, 0, 0, 0), False),
        (0, (0, 0, 0, 0, 0, 0x0000000C, 0x00000060), False),
        (1, (0, 0, 0x0000000C, 0x00000060), False),
        (1, (0x0000000C, 0x00000060), True),
    ],
)
def test_only_the_upper_half_of_a_64_bit_bar_reaches_above_4_gib(
    header_type: int, bars: tuple[int, ...], above: bool
) -> None:
    assert ConfigSpace(config_space(header_type=header_type, bars=bars)).bars_above_4g is above


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A card's space with some bytes changed and its end cut off: nearer to sense than any bytes."""
    config = bytearray(CARD)
    for offset in draw(st.lists(st.integers(0, 0x200), max_size=12)):
        config[offset] = draw(st.integers(0, 255))
    return bytes(config[: draw(st.integers(0, 4096))])


@given(st.one_of(st.binary(max_size=4096), damaged()))
def test_no_content_makes_it_fail(data: bytes) -> None:
    config = ConfigSpace(data)
    assert config.serial is None or len(config.serial) == 16
    assert 0 <= config.header_type <= 0x7F
    assert config.pcie_type is None or config.pcie_type in PCIE_TYPES.values()
    assert all(config.gaps)
    for registers in (config.acs, config.acs_double_words):
        assert registers is None or min(registers) >= 0
    assert isinstance(config.bars_above_4g, bool)
    assert (config.sriov, config.resizable_bar) in {(a, b) for a in (True, False) for b in (True, False)}

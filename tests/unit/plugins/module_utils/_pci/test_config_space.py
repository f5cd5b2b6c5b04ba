# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.config_space import ConfigSpace
from tests.unit.plugins.host_tree import with_serial


def test_serial_number_has_its_upper_half_first() -> None:
    assert ConfigSpace(with_serial("525400fffeaa0010")).serial == "525400fffeaa0010"


def test_without_root_there_is_no_serial_number() -> None:
    assert ConfigSpace(with_serial("525400fffeaa0010")[:64]).serial is None


def test_a_capability_list_that_loops_ends() -> None:
    config = bytearray(4096)
    struct.pack_into("<I", config, 0x100, 0x000D | 1 << 16 | 0x100 << 20)
    assert ConfigSpace(bytes(config)).serial is None


@given(st.binary(max_size=4096))
def test_no_content_makes_it_fail(data: bytes) -> None:
    config = ConfigSpace(data)
    assert config.serial is None or len(config.serial) == 16
    assert 0 <= config.header_type <= 0x7F

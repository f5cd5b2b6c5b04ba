# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.resources import largest_bar

SMALL = "0x00000000f6000000 0x00000000f6ffffff 0x0000000000040200"
LARGE = "0x0000006000000000 0x00000061ffffffff 0x000000000014220c"
PORTS = "0x000000000000e000 0x000000000000e07f 0x0000000000040101"
EMPTY = "0x0000000000000000 0x0000000000000000 0x0000000000000000"


@pytest.mark.parametrize(
    ("lines", "size"),
    [
        ([SMALL, LARGE, EMPTY, EMPTY, EMPTY, PORTS], 8 << 30),
        ([SMALL, EMPTY], 16 << 20),
        ([PORTS, EMPTY], 0),
        # The seventh is the ROM, and what follows belongs to VFs or windows.
        ([SMALL, *[EMPTY] * 5, LARGE], 16 << 20),
        (["nonsense", ""], 0),
        ([], 0),
    ],
)
def test_the_largest_region_of_memory(lines: list[str], size: int) -> None:
    assert largest_bar("\n".join(lines)) == size

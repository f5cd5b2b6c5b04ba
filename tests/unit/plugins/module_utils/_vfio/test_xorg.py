# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.xorg import (
    HostGpu,
    bus_id,
    parse_driver,
    snippet,
)


@pytest.mark.parametrize(
    ("address", "expected"),
    [("0000:0a:00.0", "PCI:10:0:0"), ("00:02.0", "PCI:0:2:0"), ("10000:e1:1f.7", "PCI:225@65536:31:7")],
)
def test_xorg_counts_in_decimal(address: str, expected: str) -> None:
    assert bus_id(Address.parse(address)) == expected


def test_the_section() -> None:
    text = snippet(HostGpu(Address.parse("0a:00.0"), "amdgpu"))
    assert [line.strip() for line in text.splitlines()] == [
        'Section "Device"',
        'Identifier "virtfleet host GPU"',
        'Driver "amdgpu"',
        'BusID "PCI:10:0:0"',
        "EndSection",
    ]


@pytest.mark.parametrize("text", ['x"\nOption "a', "", "a b", "Modesetting"])
def test_what_is_no_driver(text: str) -> None:
    with pytest.raises(InputError, match="name of an Xorg driver"):
        parse_driver(text, "driver")

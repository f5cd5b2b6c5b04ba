# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What counts as proof that a driver never saw a device: each kind of counter-evidence must be found."""

from __future__ import annotations

import pytest

from lab.binding.evidence import differing, drivers, holding_faults, lines_of

# From the lab's hosts, kernel 6.1.
LOG = """\
[    2.304404] pci 0000:01:00.0: [8086:10d3] type 00 class 0x020000
[   11.700212] vfio_pci: add [8086:10d3[ffffffff:ffffffff]] class 0x000000/00000000
[   11.713003] virtfleet-passthrough: 0000:01:00.0 8086:10d3 held for vfio-pci
[   16.018219] e1000e 0000:02:00.0: Interrupt Throttling Rate (ints/sec) set to dynamic conservative mode
[   16.200001] nvme nvme0: pci function 0000:06:00.0
[   16.300001] e1000 0000:04:01.0 eth0: (PCI:33MHz:32-bit) 52:54:00:aa:00:20
"""


def test_functions_with_and_without_a_driver() -> None:
    assert drivers("0000:00:00.0 \n0000:01:00.0 e1000e\n") == {"0000:00:00.0": "", "0000:01:00.0": "e1000e"}


@pytest.mark.parametrize(
    ("driver", "address", "found"),
    [
        ("e1000e", "0000:02:00.0", 1),
        ("nvme", "0000:06:00.0", 1),
        ("e1000", "0000:04:01.0", 1),
        ("e1000e", "0000:01:00.0", 0),
        # A driver whose name begins alike is another one.
        ("e1000", "0000:02:00.0", 0),
        ("virtfleet-passthrough", "0000:01:00.0 8086:10d3", 1),
        ("e1000e", "0000.02.00.0", 0),
    ],
)
def test_lines_of_a_driver_about_a_function(driver: str, address: str, found: int) -> None:
    assert len(lines_of(driver, address, LOG)) == found


def test_no_fault_where_the_driver_kept_away() -> None:
    assert holding_faults({"0000:01:00.0": "e1000e"}, {"0000:01:00.0": "vfio-pci"}, LOG) == []


@pytest.mark.parametrize(
    ("natives", "now", "words"),
    [
        ({"0000:01:00.0": "e1000e"}, {"0000:01:00.0": ""}, "held by no driver"),
        ({"0000:01:00.0": "e1000e"}, {}, "held by no driver"),
        ({"0000:01:00.0": "e1000e"}, {"0000:01:00.0": "e1000e"}, "held by e1000e"),
        ({"0000:02:00.0": "e1000e"}, {"0000:02:00.0": "vfio-pci"}, "e1000e has seen 0000:02:00.0"),
        ({"0000:06:00.0": "nvme"}, {"0000:06:00.0": "vfio-pci"}, "nvme has seen 0000:06:00.0"),
    ],
)
def test_faults_name_function_and_driver(natives: dict[str, str], now: dict[str, str], words: str) -> None:
    (fault,) = holding_faults(natives, now, LOG)
    assert words in fault


def test_differing_drivers_but_for_those_that_are_ours() -> None:
    before = {"a": "e1000e", "b": "nvme", "c": "", "d": "igb"}
    now = {"a": "vfio-pci", "b": "", "c": "", "e": "igbvf"}
    assert differing(before, now, ["a"]) == [
        "b: nvme before, no driver now",
        "d: igb before, not there now",
        "e: not there before, igbvf now",
    ]

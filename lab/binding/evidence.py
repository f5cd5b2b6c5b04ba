# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host says about its PCI functions: who has them, and who the kernel let near them during this boot."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

VFIO_PCI = "vfio-pci"

# One line for each function: its address, and its driver if it has one.
LIST_DRIVERS = """\
for device in /sys/bus/pci/devices/*; do
  driver=
  [ ! -e $device/driver ] || driver=$(basename $(readlink $device/driver))
  echo ${device##*/} $driver
done"""


def drivers(listing: str) -> dict[str, str]:
    """Read what ``LIST_DRIVERS`` prints; no driver is an empty name."""
    return {words[0]: words[1] if len(words) > 1 else "" for words in map(str.split, listing.splitlines()) if words}


def lines_of(driver: str, address: str, log: str) -> list[str]:
    """Give the lines of a kernel log in which a driver speaks about a function.

    They are ``e1000e 0000:01:00.0: …`` and ``nvme nvme0: pci function 0000:05:00.0``.
    """
    wanted = re.compile(rf"(^|[\] ]){re.escape(driver)}\b.*\b{re.escape(address)}\b")
    return [line for line in log.splitlines() if wanted.search(line)]


def holding_faults(natives: Mapping[str, str], now: Mapping[str, str], log: str) -> list[str]:
    """What speaks against every function of ``natives`` (address: its own driver) being vfio-pci's from the start."""
    found = []
    for address, native in natives.items():
        if now.get(address) != VFIO_PCI:
            found.append(f"{address} is held by {now.get(address) or 'no driver'}, expected {VFIO_PCI}")
        if probed := lines_of(native, address, log):
            found.append(f"{native} has seen {address}: {probed[0].strip()}")
    return found


def differing(before: Mapping[str, str], now: Mapping[str, str], besides: Iterable[str]) -> list[str]:
    """Functions that came, went or changed their driver, but for those of ``besides``."""
    spared = set(besides)
    return [
        f"{address}: {before.get(address, 'not there') or 'no driver'} before,"
        f" {now.get(address, 'not there') or 'no driver'} now"
        for address in sorted({*before, *now} - spared)
        if before.get(address) != now.get(address)
    ]

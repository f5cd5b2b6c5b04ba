# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a boot must have shown whatever the groups are: without it, equal groups would mean nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from lab.fuzz.capture import Capture
from lab.fuzz.topology import Topology


def shortcomings(topology: Topology, seen: Capture) -> tuple[str, ...]:
    """Lines to print: functions that should or should not have a group at all, VFs that were not created."""
    return (*_coverage(topology, seen), *_vfs(topology, seen))


def _coverage(topology: Topology, seen: Capture) -> Iterator[str]:
    for address, function in sorted(seen.functions.items()):
        covered = _root_bus(function.path) not in topology.uncovered_buses
        if covered and not function.group:
            yield f"{address} has no IOMMU group, and its root bus has an IOMMU"
        elif function.group and not covered:
            yield f"{address} has an IOMMU group, and its root bus has no IOMMU"


def _root_bus(path: str) -> int:
    """From ``/sys/devices/pci0000:40/…``."""
    return int(path.removeprefix("/sys/devices/pci0000:").partition("/")[0], 16)


def _vfs(topology: Topology, seen: Capture) -> Iterator[str]:
    found = Counter(function.physfn for function in seen.functions.values() if function.physfn)
    for address, function in sorted(seen.functions.items()):
        wanted = int(function.attributes.get("sriov_totalvfs", "0")) * topology.vf_share // 100
        if found[address] != wanted:
            yield f"{address} has {found[address]} VFs, and {wanted} were asked for"

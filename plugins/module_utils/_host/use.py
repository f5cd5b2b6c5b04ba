# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which PCI functions running guests and other processes hold through VFIO."""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.processes import (
    describe_process,
    open_files,
    process_ids,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import functions_on_path
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency

IN_USE = "in_use"
ALLOW_IN_USE = "in_use"

VFIO_PCI = "vfio-pci"

_NODES = "/dev/vfio"
_GROUPS = "/sys/kernel/iommu_groups"

# A group's node is its number (drivers/vfio/group.c), a device's own one the name of its vfio-dev.
_GROUP_NODE = re.compile(r"/dev/vfio/(?:noiommu-)?(\d+)")
_DEVICE_NODE = re.compile(r"/dev/vfio/devices/(vfio\d+)")


def use_dependencies(root: Root, devices: t.Sequence[Device]) -> list[Dependency]:
    """Functions whose VFIO node a process has open, and what these need of others: a VF its PF, a mediated device
    its parent.

    Functions that are on vfio-pci already are left out: being given to vfio-pci takes them from nobody. Whoever takes
    one from there (``_vfio/runtime.py``) asks for its holders at that moment.
    """
    if not _has_nodes(root):
        return []
    by_address = {device.address: device for device in devices}
    by_group: dict[int, list[Address]] = {}
    for device in devices:
        if device.iommu_group is not None:
            by_group.setdefault(device.iommu_group, []).append(device.address)
    found = []
    for node, holder in _open_nodes(root):
        for address in _functions(root, node, by_group):
            held = by_address.get(address)
            if held is None or held.is_bridge:
                continue
            physical = by_address.get(held.physfn) if held.physfn is not None else None
            needed = (device for device in (held, physical) if device is not None and device.driver != VFIO_PCI)
            found += [_dependency(device, held, holder) for device in needed]
    return list(dict.fromkeys(found))


def _dependency(needed: Device, held: Device, holder: str) -> Dependency:
    what = "is in use by" if needed is held else f"carries {held.address}, which is in use by"
    return Dependency(str(needed.address), IN_USE, f"{what} {holder}", ALLOW_IN_USE)


def _has_nodes(root: Root) -> bool:
    # Without a guest's device there is only the container node, and no need to look at every process.
    return any(name not in ("vfio", "devices") for name in root.listdir(_NODES)) or bool(
        root.listdir(f"{_NODES}/devices")
    )


def _open_nodes(root: Root) -> t.Iterator[tuple[str, str]]:
    """Every open VFIO node, with the process that has it."""
    for pid in process_ids(root):
        nodes = {target for target in open_files(root, pid) if target.startswith(f"{_NODES}/")}
        if nodes:
            holder = describe_process(root, pid)
            for node in sorted(nodes):
                yield node, holder


def _functions(root: Root, node: str, by_group: t.Mapping[int, t.Sequence[Address]]) -> list[Address]:
    group = _GROUP_NODE.fullmatch(node)
    if group is not None:
        members = f"{_GROUPS}/{group.group(1)}/devices"
        # A mediated device is no PCI function: its directory lies below its parent's.
        mediated = [found for name in root.listdir(members) for found in _last_function(root, f"{members}/{name}")]
        return list(dict.fromkeys([*by_group.get(int(group.group(1)), ()), *mediated]))
    device = _DEVICE_NODE.fullmatch(node)
    return _last_function(root, f"/sys/class/vfio-dev/{device.group(1)}") if device is not None else []


def _last_function(root: Root, path: str) -> list[Address]:
    return functions_on_path(os.path.realpath(root.path(path)))[-1:]

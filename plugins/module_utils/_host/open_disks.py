# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which PCI functions carry disks that a process has open as a whole: a guest's disk, a store without a file system."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.block import BlockDevices
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.processes import (
    describe_process,
    open_files,
    process_ids,
    process_name,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.use import ALLOW_IN_USE, IN_USE
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency

_NODES = "/dev/"

# What has disks open to look at them; multipathd does so as long as it runs.
_OBSERVERS = frozenset({"multipathd", "systemd-udevd", "(udev-worker)"})


def open_disk_dependencies(root: Root, blocks: BlockDevices, needed: t.Collection[str]) -> t.Iterator[Dependency]:
    """Functions whose disk is in use although no mount and no holder shows it.

    ``needed`` are the addresses of functions that are known to be: where no other carries a disk, no process is looked
    at. Told by the names of nodes, so what a container has open under a name of its own is out of sight.
    """
    free: dict[str, list[str]] = {}
    for name in blocks.names:
        addresses = [str(address) for address in blocks.below_name(name).functions if str(address) not in needed]
        if addresses:
            free[f"{_NODES}{name.replace('!', '/')}"] = addresses
    if not free:
        return
    for pid in process_ids(root):
        opened = sorted({target for target in open_files(root, pid) if target in free})
        if not opened or process_name(root, pid) in _OBSERVERS:
            continue
        user = describe_process(root, pid)
        for node in opened:
            for address in free[node]:
                yield Dependency(address, IN_USE, f"carries {node}, which {user} has open", ALLOW_IN_USE)

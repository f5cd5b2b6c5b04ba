# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What this host would lose with each PCI function."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.console import console_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.controller import management_sessions
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.keyboard import keyboard_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.network import network_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.open_disks import open_disk_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.storage import storage_use
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.use import use_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency


def read_dependencies(root: Root, devices: t.Sequence[Device]) -> tuple[Dependency, ...]:
    """What the host needs of its functions, ordered by address. Bridges need no entry, they never go."""
    # A captured tree tells of its own sessions; ours lead to the machine that we run on.
    environment, pid = (os.environ, os.getpid()) if root.is_live else ({}, None)
    storage = storage_use(root, devices)
    sessions = management_sessions(root, environment, pid)
    found = [
        *storage.dependencies,
        *network_dependencies(root, devices, sessions, storage.remote_roots),
        *console_dependencies(root, devices),
        *keyboard_dependencies(root),
        *use_dependencies(root, devices),
        *open_disk_dependencies(root, storage.blocks, {dependency.address for dependency in storage.dependencies}),
    ]
    return tuple(sorted(found, key=lambda dependency: (dependency.address, dependency.kind, dependency.detail)))

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What this host would lose with each PCI function."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.network import network_dependencies, ssh_peer
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.storage import storage_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import BASE_CLASS_DISPLAY, Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency

ALLOW_BOOT_VGA = "boot_vga"
ALLOW_LAST_DISPLAY = "last_display"


def read_dependencies(root: Root, devices: t.Sequence[Device]) -> tuple[Dependency, ...]:
    """Storage, network and display functions that the host uses, ordered by address."""
    found = [
        *storage_dependencies(root, devices),
        *network_dependencies(root, devices, ssh_peer(os.environ)),
        *_display_dependencies(devices),
    ]
    return tuple(sorted(found, key=lambda dependency: (dependency.address, dependency.kind, dependency.detail)))


def _display_dependencies(devices: t.Sequence[Device]) -> t.Iterator[Dependency]:
    displays = [device for device in devices if device.class_code.startswith(BASE_CLASS_DISPLAY)]
    for device in displays:
        if device.boot_vga:
            yield Dependency(
                str(device.address), "boot_vga", "is the display that the firmware started with", ALLOW_BOOT_VGA
            )
        if len(displays) == 1:
            yield Dependency(
                str(device.address), "last_display", "is the only display of this host", ALLOW_LAST_DISPLAY
            )

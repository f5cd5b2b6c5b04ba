# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The method ``driverctl``: the distribution's own tool, which moves a device when udev meets it.

It keeps one file for each device, named by bus and address, that holds the driver's name. Its udev rule starts
``driverctl@<bus>-<address>.service`` for every device that has one. That is after the initramfs: the device's own
driver has had it by then. Written here is the file alone, because ``driverctl set-override`` acts at once.
"""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, first_existing
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.guard import VFIO_PCI

DIRECTORY = "/etc/driverctl.d"

_PROGRAMS = ("/usr/sbin/driverctl", "/usr/bin/driverctl")
_RULE = "udev/rules.d/05-driverctl.rules"
_RULES = (f"/usr/lib/{_RULE}", f"/lib/{_RULE}", f"/etc/{_RULE}")

MISSING_DRIVERCTL = (
    f"method=driverctl needs the tool of that name ({_PROGRAMS[0]} and its udev rule): install its package, "
    "or use method=override, which needs nothing and acts earlier"
)


def driverctl_installed(root: Root) -> bool:
    return first_existing(root, _PROGRAMS) is not None and first_existing(root, _RULES) is not None


def override_path(address: Address) -> str:
    """The file of one device: what driverctl calls ``pci-0000:01:00.0``."""
    return f"{DIRECTORY}/pci-{address}"


def override_files(addresses: t.Iterable[Address]) -> tuple[OwnedFile, ...]:
    return tuple(OwnedFile(override_path(address), f"{VFIO_PCI}\n".encode()) for address in sorted(addresses))

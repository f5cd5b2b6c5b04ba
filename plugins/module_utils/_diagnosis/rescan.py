# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Whether a device can be found anew by taking its bridge off the bus and looking for devices again. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device


def rescan_advice(address: str | None, devices: t.Sequence[Device]) -> str | None:
    """What to do by hand before the guest starts, or why not; ``None`` where nothing is known of a bridge above.

    Nothing here does it by itself: what hangs below the bridge is gone meanwhile, and need not come back.
    """
    by_address = {device.address: device for device in devices}
    device = next((found for found in devices if str(found.address) == address), None)
    if device is None or device.parent is None:
        return None
    bridge = device.parent
    others = [found for found in devices if found.address != device.address and _below(found, bridge, by_address)]
    # The card's own functions go and come with it, if they are for guests as well.
    in_use = [
        found
        for found in others
        if found.driver is not None and not (found.held_for_guests and found.address.slot == device.address.slot)
    ]
    used = [f"{found.address} ({found.driver})" for found in in_use]
    if used:
        return f"Do not remove its bridge {bridge} to scan the bus anew: below it is also {', '.join(used)}"
    return (
        f"While no guest has it: echo 1 > /sys/bus/pci/devices/{bridge}/remove, then echo 1 > /sys/bus/pci/rescan; "
        f"nothing else in use is below {bridge}"
    )


def _below(device: Device, bridge: Address, by_address: t.Mapping[Address, Device]) -> bool:
    above = device.parent
    while above is not None and above != bridge:
        found = by_address.get(above)
        above = None if found is None else found.parent
    return above is not None

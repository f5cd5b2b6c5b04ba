# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""ROM files that domains name for their devices: there, whole, and for the very model."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError, RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import PciHostdev
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.option_rom import parse


def judge_rom_files(root: Root, devices: t.Iterable[PciHostdev]) -> tuple[RefusedError, ...]:
    """Why a ROM file may not be given to its device. A ROM of another model may harm a card."""
    reasons = ((device, _obstacle(root, device)) for device in devices)
    return tuple(RefusedError(reason, str(device.address)) for device, reason in reasons if reason is not None)


def _obstacle(root: Root, device: PciHostdev) -> str | None:
    if device.rom_file is None:
        return None
    name = f"rom_file {device.rom_file} of {device.address}"
    data = root.read_bytes(device.rom_file)
    if data is None:
        return f"{name} cannot be read"
    try:
        rom = parse(data, name)
    except InputError as exc:
        return str(exc)
    vendor, product = (_id(root, device, attribute) for attribute in ("vendor", "device"))
    if vendor is None or product is None or rom.is_for(vendor, product):
        return None
    return f"{name} is for {', '.join(rom.ids)}, and the device is {vendor}:{product}"


def _id(root: Root, device: PciHostdev, attribute: str) -> str | None:
    word = root.read_word(f"/sys/bus/pci/devices/{device.address}/{attribute}")
    return None if word is None else word.replace("0x", "", 1)

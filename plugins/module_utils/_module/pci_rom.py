# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What ``pci_rom`` and ``pci_rom_info`` do."""

from __future__ import annotations

import hashlib
import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    InputError,
    RefusedError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import FileMeta, Root, write_atomic
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.option_rom import X86, OptionRom, parse
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.runtime import (
    AttributeWriter,
    attribute_writer,
    holders,
)

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_SHADOW = (
    "the firmware started with this display and worked with its ROM: what the kernel reads may be that changed copy, "
    "which guests reject. A copy read while another display was the first one is safe"
)


def info(module: AnsibleModule, _run: Runner) -> Result:
    """Body of ``pci_rom_info``."""
    root = Root(module.params["root"])
    path = module.params["path"]
    data = root.read_bytes(path)
    if data is None:
        raise InputError(f"{path} cannot be read: expected the file of an expansion ROM")
    check_digest(data, path, module.params["checksum"])
    rom = parse(data, path)
    if module.params["address"] is not None:
        device = _device(module.params["address"], read_devices(root, Ledger()))
        check_fits(rom, device, path)
    return Result(data={"path": path, **_report(rom, data)}, warnings=tuple(_warnings(rom, path)))


def dump(module: AnsibleModule, _run: Runner, root: Root | None = None, write: AttributeWriter | None = None) -> Result:
    """Body of ``pci_rom``; what comes after ``_run`` is there for tests."""
    root = root or Root()
    dest = module.params["dest"]
    device = _device(module.params["address"], read_devices(root, Ledger()))
    present = root.read_bytes(dest)
    if present is not None:
        rom = parse(present, dest)
        check_fits(rom, device, dest)
        return Result(data={"path": dest, **_report(rom, present)}, warnings=tuple(_warnings(rom, dest)))
    if not root.exists(os.path.dirname(dest) or "/"):
        raise InputError(f"dest is '{dest}': there is no directory {os.path.dirname(dest)}")
    attribute = f"/sys/bus/pci/devices/{device.address}/rom"
    if not root.exists(attribute):
        raise HostStateError(f"{device.address} has no expansion ROM")
    _refuse_in_use(root, device)
    warnings = [f"{device.address}: {_SHADOW}"] if device.boot_vga else []
    if module.check_mode:
        return Result(True, {"path": dest}, warnings=tuple(warnings))
    data = read_rom(root, write or attribute_writer(root), attribute, str(device.address), device.power_state)
    rom = parse(data, f"the ROM of {device.address}")
    check_fits(rom, device, f"the ROM of {device.address}")
    data = data[: rom.length]
    write_atomic(root.path(dest), data, FileMeta())
    warnings += _warnings(rom, dest)
    return Result(True, {"path": dest, **_report(rom, data)}, warnings=tuple(warnings))


def read_rom(root: Root, write: AttributeWriter, attribute: str, name: str, power_state: str | None) -> bytes:
    """Switch the ROM on, read it, and switch it off again whatever happens in between."""
    try:
        write(attribute, "1")
        with open(root.path(attribute), "rb") as stream:
            data = stream.read()
    except OSError as exc:
        state = f" (power state {power_state})" if power_state else ""
        raise HostStateError(f"the ROM of {name} cannot be read{state}: {exc.strerror or exc}") from exc
    finally:
        write(attribute, "0")
    return data


def check_digest(data: bytes, path: str, expected: str | None) -> None:
    """Refuse a file whose SHA-256 is another than ``sha256:…`` says."""
    if expected is None:
        return
    kind, _colon, digits = expected.partition(":")
    if kind != "sha256" or len(digits) != 64:
        raise InputError(f"checksum is '{expected}': expected sha256: and 64 hexadecimal digits")
    found = hashlib.sha256(data).hexdigest()
    if found != digits.lower():
        raise RefusedError(f"{path} has the SHA-256 {found}, expected {digits.lower()}")


def check_fits(rom: OptionRom, device: Device, name: str) -> None:
    """Refuse a ROM that is for other devices: a wrong model's may harm the card."""
    identity = device.identity
    if not rom.is_for(identity.vendor_id, identity.device_id):
        raise RefusedError(
            f"{name} is for {', '.join(rom.ids)}, and {device.address} is {identity.vendor_id}:{identity.device_id}",
            str(device.address),
        )


def _refuse_in_use(root: Root, device: Device) -> None:
    users = holders(root, device.address)
    if users:
        reason = f"the ROM of {device.address} is not read now: {device.address} is in use by {', '.join(users)}"
        raise RefusedError(reason, str(device.address))


def _device(text: str, devices: t.Sequence[Device]) -> Device:
    address = Address.parse(text)
    found = next((device for device in devices if device.address == address), None)
    if found is None:
        raise HostStateError(f"there is no device at {address}")
    return found


def _report(rom: OptionRom, data: bytes) -> dict[str, t.Any]:
    return {
        "uefi": rom.uefi,
        "ids": list(rom.ids),
        "images": [image.to_json() for image in rom.images],
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def _warnings(rom: OptionRom, name: str) -> t.Iterator[str]:
    if not rom.uefi:
        yield f"{name} has no EFI image: a guest with UEFI shows nothing on this card before its driver is loaded"
    if any(image.code_type == X86 and image.checksum_ok is False for image in rom.images):
        yield f"{name}: the checksum of its x86 image is wrong, as in a copy that a firmware has worked with"

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""ROM files that domains name for their devices: there, whole, and for the very model."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError, RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import PciHostdev
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.option_rom import OptionRom, parse

# What a function can decode at most (PCI Local Bus Specification 3.0, 6.2.5.2).
_LARGEST = 16 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class RomFile:
    """``problem`` continues a sentence that begins with the file's name, ``None`` where it is a whole ROM; ``ids``
    are the ``vendor:device`` pairs that it is for."""

    problem: str | None = None
    ids: tuple[str, ...] = ()

    def to_json(self) -> dict[str, t.Any]:
        return {"problem": self.problem, "ids": list(self.ids)}

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> RomFile:
        return cls(data["problem"], tuple(data["ids"]))


def read_rom_file(root: Root, path: str) -> RomFile:
    """What the plan needs of the ROM in a file."""
    rom, problem = read_rom(root, path)
    return RomFile(problem, () if rom is None else rom.ids)


def read_rom(root: Root, path: str) -> tuple[OptionRom | None, str | None]:
    """The ROM in a file, or what is wrong with it, as :class:`RomFile` says it. A disk or a pipe that is named by
    mistake is not read."""
    place = root.path(path)
    if os.path.exists(place) and not os.path.isfile(place):
        return None, " is no file"
    if os.path.isfile(place) and os.path.getsize(place) > _LARGEST:
        return None, " is larger than 16 MiB, which no ROM is"
    data = root.read_bytes(path)
    if data is None:
        return None, " cannot be read"
    try:
        return parse(data, ""), None
    except InputError as exc:
        return None, str(exc)


def named_rom_files(domains: t.Any) -> tuple[str, ...]:
    """The files that a wanted list of domains names, as far as it can be made out; whether the list is right is
    judged elsewhere."""
    entries = domains if isinstance(domains, (list, tuple)) else ()
    devices = [domain.get("devices") for domain in entries if isinstance(domain, dict)]
    options = [device for listed in devices if isinstance(listed, (list, tuple)) for device in listed]
    paths = [device.get("rom_file") for device in options if isinstance(device, dict)]
    return tuple(sorted({path for path in paths if isinstance(path, str) and path.startswith("/")}))


def judge_rom_files(root: Root, devices: t.Iterable[PciHostdev]) -> tuple[RefusedError, ...]:
    """Why a ROM file may not be given to its device. A ROM of another model may harm a card."""
    found = (_judged_here(root, device) for device in devices)
    return tuple(refusal for refusal in found if refusal is not None)


def _judged_here(root: Root, device: PciHostdev) -> RefusedError | None:
    if device.rom_file is None:
        return None
    vendor, product = (_id(root, device, attribute) for attribute in ("vendor", "device"))
    ids = None if vendor is None or product is None else f"{vendor}:{product}"
    return judge_rom_file(device, read_rom_file(root, device.rom_file), ids)


def judge_rom_file(device: PciHostdev, rom: RomFile, ids: str | None) -> RefusedError | None:
    """The same for one that was read; ``ids`` are the device's ``vendor:device``, ``None`` where it is away. Pure."""
    name = f"rom_file {device.rom_file} of {device.address}"
    if rom.problem is not None:
        return RefusedError(f"{name}{rom.problem}", str(device.address))
    if ids is None or ids in rom.ids:
        return None
    return RefusedError(f"{name} is for {', '.join(rom.ids)}, and the device is {ids}", str(device.address))


def _id(root: Root, device: PciHostdev, attribute: str) -> str | None:
    word = root.read_word(f"/sys/bus/pci/devices/{device.address}/{attribute}")
    return None if word is None else word.replace("0x", "", 1)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    InputError,
    RefusedError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.pci_rom import dump, info
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from tests.unit.plugins.fake_kernel import FakeKernel
from tests.unit.plugins.option_roms import rom_image

GPU = "0000:0b:00.0"
ROM = rom_image(0, "10de", "1184") + rom_image(3, "10de", "1184", last=True)
DEST = "/srv/card.rom"


class Module:
    """What the bodies use of AnsibleModule."""

    def __init__(self, check_mode: bool = False, **params: Any) -> None:
        self.params = params
        self.check_mode = check_mode


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    fake = FakeKernel(tmp_path)
    device = fake.device(GPU, None, ids="10de:1184", class_code="030000")
    (device / "rom").write_bytes(b"")
    (tmp_path / "srv").mkdir()
    return fake


class RomSwitch:
    """The kernel's attribute: reading gives the ROM only while it is switched on."""

    def __init__(self, kernel: FakeKernel, content: bytes | None) -> None:
        self.path = kernel.base / f"sys/bus/pci/devices/{GPU}/rom"
        self.content = content
        self.values: list[str] = []

    def write(self, path: str, value: str) -> None:
        self.values.append(value)
        if value == "1" and self.content is None:
            # Reading fails from now on, for root as well.
            self.path.unlink()
            self.path.mkdir()
        elif value == "1":
            self.path.write_bytes(self.content or b"")


def read(kernel: FakeKernel, switch: RomSwitch, check_mode: bool = False) -> Result:
    module: Any = Module(check_mode, address="0b:00.0", dest=DEST)
    return dump(module, kernel.run, kernel.root, switch.write)


def test_a_rom_is_saved_once(kernel: FakeKernel) -> None:
    switch = RomSwitch(kernel, ROM + b"\xff" * 1024)
    assert read(kernel, switch, check_mode=True).changed
    assert switch.values == []
    result = read(kernel, switch)
    assert result.changed
    # Switched on and off again; what stands behind the last image is left out.
    assert switch.values == ["1", "0"]
    assert (kernel.base / "srv/card.rom").read_bytes() == ROM
    assert result.data["uefi"]
    assert result.data["sha256"] == hashlib.sha256(ROM).hexdigest()
    again = read(kernel, switch)
    assert (again.changed, again.data) == (False, result.data)
    assert switch.values == ["1", "0"]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, HostStateError, "cannot be read"),
        (b"", InputError, "the ROM of 0000:0b:00.0 is empty"),
        (ROM[:700], InputError, "cut off"),
        (rom_image(0, "10de", "13c2", last=True), RefusedError, "is for 10de:13c2, and 0000:0b:00.0 is 10de:1184"),
    ],
)
def test_the_switch_is_put_back_and_nothing_written(
    kernel: FakeKernel, content: bytes | None, error: type[Exception], message: str
) -> None:
    switch = RomSwitch(kernel, content)
    with pytest.raises(error, match=message):
        read(kernel, switch)
    assert switch.values == ["1", "0"]
    assert not (kernel.base / "srv/card.rom").exists()


def test_a_guest_keeps_its_device(kernel: FakeKernel) -> None:
    device = kernel.base / f"sys/bus/pci/devices/{GPU}"
    kernel.write("/proc/4711/comm", "qemu-system-x86\n")
    (kernel.base / "proc/4711/fd").mkdir()
    group = (device / "iommu_group").resolve().name
    (kernel.base / "proc/4711/fd/12").symlink_to(f"/dev/vfio/{group}")
    switch = RomSwitch(kernel, ROM)
    with pytest.raises(RefusedError, match=r"is in use by qemu-system-x86 \(process 4711\)"):
        read(kernel, switch)
    assert switch.values == []


def test_a_file_for_another_card_is_neither_kept_nor_overwritten(kernel: FakeKernel) -> None:
    (kernel.base / "srv/card.rom").write_bytes(rom_image(3, "1002", "73bf", last=True))
    with pytest.raises(RefusedError, match="is for 1002:73bf"):
        read(kernel, RomSwitch(kernel, ROM))


def test_the_first_display(kernel: FakeKernel) -> None:
    kernel.write(f"/sys/bus/pci/devices/{GPU}/boot_vga", "1\n")
    assert "worked with its ROM" in read(kernel, RomSwitch(kernel, ROM)).warnings[0]


def test_a_device_without_a_rom(kernel: FakeKernel) -> None:
    (kernel.base / f"sys/bus/pci/devices/{GPU}/rom").unlink()
    with pytest.raises(HostStateError, match="has no expansion ROM"):
        read(kernel, RomSwitch(kernel, ROM))


def look(kernel: FakeKernel, **params: Any) -> Result:
    given = {"address": None, "checksum": None, "path": DEST, **params, "root": str(kernel.base)}
    module: Any = Module(**given)
    return info(module, kernel.run)


def test_a_file(kernel: FakeKernel) -> None:
    (kernel.base / "srv/card.rom").write_bytes(ROM)
    result = look(kernel, address=GPU, checksum=f"sha256:{hashlib.sha256(ROM).hexdigest()}")
    assert result.data["ids"] == ["10de:1184"]
    assert [image["code_type"] for image in result.data["images"]] == ["x86", "efi"]
    assert result.warnings == ()


def test_a_file_that_is_not_as_told(kernel: FakeKernel) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        look(kernel)
    changed = bytearray(rom_image(0, "10de", "1184", last=True))
    changed[100] ^= 1
    (kernel.base / "srv/card.rom").write_bytes(bytes(changed))
    assert len(look(kernel).warnings) == 2
    with pytest.raises(RefusedError, match="has the SHA-256"):
        look(kernel, checksum="sha256:" + "0" * 64)
    with pytest.raises(InputError, match="expected sha256: and 64"):
        look(kernel, checksum="md5:00")

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds what a host shows below ``/sys`` and ``/proc``, in a directory, with sysfs's relative links."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root


class HostTree:
    """A tree to read from; every method puts one thing into it and gives back where it lies."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = Root(str(base))

    def write(self, path: str, text: str) -> Path:
        target = self.base / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def link(self, path: str, target: Path) -> None:
        link = self.base / path.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(target, link.parent))

    def function(
        self,
        address: str,
        ids: str = "8086:10d3",
        class_code: str = "020000",
        *,
        under: str = "",
        driver: str | None = None,
        group: int | None = None,
        bridge: bool = False,
        resettable: bool = True,
        subsystem: str = "8086:0000",
        **attributes: str,
    ) -> Path:
        """A PCI function; ``under`` is the path of bridges above it below ``pci0000:00``."""
        directory = self.base / "sys/devices/pci0000:00" / under / address
        directory.mkdir(parents=True)
        pci_class = class_code.lstrip("0").upper()
        uevent = f"PCI_CLASS={pci_class}\nPCI_ID={ids.upper()}\nPCI_SUBSYS_ID={subsystem.upper()}\n"
        (directory / "uevent").write_text(uevent)
        config = bytearray(64)
        config[0x0E] = 1 if bridge else 0
        (directory / "config").write_bytes(bytes(config))
        if resettable:
            (directory / "reset").touch()
        for name, value in attributes.items():
            (directory / name).write_text(value + "\n")
        self.link(f"/sys/bus/pci/devices/{address}", directory)
        if driver is not None:
            drivers = self.base / "sys/bus/pci/drivers" / driver
            drivers.mkdir(parents=True, exist_ok=True)
            (directory / "driver").symlink_to(os.path.relpath(drivers, directory))
        if group is not None:
            members = self.base / f"sys/kernel/iommu_groups/{group}"
            (members / "devices").mkdir(parents=True, exist_ok=True)
            (members / "reserved_regions").write_text("0x00000000fee00000 0x00000000feefffff msi\n")
            (members / "devices" / address).symlink_to(os.path.relpath(directory, members / "devices"))
            (directory / "iommu_group").symlink_to(os.path.relpath(members, directory))
        return directory

    def interface(self, name: str, device: Path | None, mac: str = "52:54:00:aa:00:10") -> Path:
        """A network interface of a device (or a virtual one)."""
        directory = (device or self.base / "sys/devices/virtual") / "net" / name
        directory.mkdir(parents=True)
        (directory / "address").write_text(mac + "\n")
        (directory / "addr_assign_type").write_text("0\n")
        if device is not None:
            (directory / "device").symlink_to(os.path.relpath(device, directory))
        self.link(f"/sys/class/net/{name}", directory)
        return directory

    def disk(self, name: str, number: str, device: Path | None) -> Path:
        """A block device with its ``major:minor`` number."""
        directory = (device or self.base / "sys/devices/virtual") / "block" / name
        (directory / "holders").mkdir(parents=True)
        (directory / "slaves").mkdir()
        return self._block(directory, number)

    def partition(self, disk: Path, name: str, number: str) -> Path:
        directory = disk / name
        (directory / "holders").mkdir(parents=True)
        (directory / "partition").write_text("1\n")
        return self._block(directory, number)

    def _block(self, directory: Path, number: str) -> Path:
        (directory / "dev").write_text(f"{number}\n")
        self.link(f"/sys/class/block/{directory.name}", directory)
        self.link(f"/sys/dev/block/{number}", directory)
        return directory

    def build_block(self, upper: Path, *lowers: Path) -> None:
        """Have one block device stand on others, as device mapper, MD and bcache show it."""
        for lower in lowers:
            (upper / "slaves" / lower.name).symlink_to(os.path.relpath(lower, upper / "slaves"))
            (lower / "holders" / upper.name).symlink_to(os.path.relpath(upper, lower / "holders"))

    def udev(self, number: str, **properties: str) -> None:
        """What udev's database knows of a block device."""
        self.write(f"/run/udev/data/b{number}", "".join(f"E:{key}={value}\n" for key, value in properties.items()))

    def build_interface(self, upper: Path, *lowers: Path) -> None:
        """Have one network interface stand on others: a bond, a bridge, a VLAN."""
        for lower in lowers:
            (upper / f"lower_{lower.name}").symlink_to(os.path.relpath(lower, upper))
            (lower / f"upper_{upper.name}").symlink_to(os.path.relpath(upper, lower))

    def process(
        self,
        pid: int,
        name: str,
        *,
        parent: int = 1,
        environ: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
        files: Sequence[str] = (),
    ) -> None:
        """A process; ``files`` are what its file descriptors lead to."""
        base = f"/proc/{pid}"
        self.write(f"{base}/comm", f"{name}\n")
        self.write(f"{base}/status", f"Name:\t{name}\nPPid:\t{parent}\n")
        self.write(f"{base}/environ", "".join(f"{key}={value}\0" for key, value in (environ or {}).items()))
        self.write(f"{base}/cmdline", "".join(f"{word}\0" for word in command))
        descriptors = self.base / f"proc/{pid}/fd"
        descriptors.mkdir()
        for number, target in enumerate(files):
            (descriptors / str(number)).symlink_to(target)


def with_serial(serial: str) -> bytes:
    """Configuration space of a PCIe endpoint whose only extended capability is the device serial number."""
    config = bytearray(4096)
    struct.pack_into("<I", config, 0x100, 0x0003 | 1 << 16)
    struct.pack_into("<II", config, 0x104, int(serial[8:], 16), int(serial[:8], 16))
    return bytes(config)

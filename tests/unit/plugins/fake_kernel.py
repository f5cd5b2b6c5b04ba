# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A kernel to write to: a tree below a directory in which drivers come and go as the PCI core lets them.

Semantics from drivers/base/bus.c, drivers/base/dd.c and drivers/pci/pci-driver.c: ``unbind`` and ``bind``
answer ENODEV for a device that is not theirs; ``drivers_probe`` succeeds also where no driver was found and
does nothing for a device that has one; an override is the only driver that may match; an empty override is
none; vfio-pci refuses a device without an IOMMU group.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from tests.unit.plugins.host_tree import HostTree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VFIO_PCI = "vfio-pci"
RELEASE = "6.12.0-test"


class FakeKernel(HostTree):
    """``write`` is the attribute writer, ``run`` the runner for the code under test; ``writes`` and ``commands``
    are what they were asked; ``ids`` are those that vfio-pci was loaded with. ``fail`` maps the end of an
    attribute's path to the errno that a write gets; ``before_write`` is called with path and value
    first, to let things happen in between."""

    def __init__(self, base: Path, cmdline: str = "root=/dev/vda1 ro", vfio: str = "module") -> None:
        super().__init__(base)
        self.writes: list[tuple[str, str]] = []
        self.commands: list[tuple[str, ...]] = []
        self.fail: dict[str, int] = {}
        self.before_write: Callable[[str, str], None] | None = None
        self.natives: dict[str, str | None] = {}
        self.ids: set[str] = set()
        self._loaded: set[str] = set()
        self.write("/proc/sys/kernel/osrelease", RELEASE + "\n")
        self.boot(cmdline)
        self.write("/proc/self/mountinfo", "1 1 0:2 / / rw - rootfs rootfs rw\n")
        self.write("/sys/bus/pci/drivers_probe", "")
        self.write("/sys/class/iommu/dmar0/version", "1:0\n")
        modules = self.base / "lib/modules" / RELEASE
        modules.mkdir(parents=True)
        path = "kernel/drivers/vfio/pci/vfio-pci.ko"
        vfio_type1 = "kernel/drivers/vfio/vfio_iommu_type1.ko"
        core = "kernel/drivers/vfio/pci/vfio-pci-core.ko.xz"
        if vfio == "module":
            (modules / "modules.dep").write_text(f"{path}.xz: {core}\n{vfio_type1}.xz:\n{core}:\n")
            (modules / "modules.builtin").write_text("")
        elif vfio == "builtin":
            (modules / "modules.dep").write_text("")
            (modules / "modules.builtin").write_text(f"{path}\n{vfio_type1}\n")
            self.load(VFIO_PCI, builtin=True)

    def boot(self, cmdline: str) -> None:
        """With this command line, and an empty ``/run``; drivers stay where they are."""
        shutil.rmtree(self.base / "run", ignore_errors=True)
        self.write("/proc/cmdline", cmdline + "\n")

    def device(
        self,
        address: str,
        driver: str | None = "e1000e",
        *,
        ids: str = "8086:10d3",
        subsystem: str = "8086:0000",
        class_code: str = "020000",
        group: int | None = 1,
        bridge: bool = False,
    ) -> Path:
        """An endpoint held by ``driver``, which is also what the kernel has for it without an override."""
        vendor, product = ids.split(":")
        subsystem_vendor, subsystem_device = subsystem.split(":")
        if driver is not None:
            self.load(driver)
        self.natives[address] = driver
        return self.function(
            address,
            ids,
            class_code,
            driver=driver,
            group=group,
            bridge=bridge,
            subsystem=subsystem,
            vendor=f"0x{vendor}",
            device=f"0x{product}",
            subsystem_vendor=f"0x{subsystem_vendor}",
            subsystem_device=f"0x{subsystem_device}",
            driver_override="(null)",
            modalias=f"pci:v0000{vendor.upper()}d0000{product.upper()}",
        )

    def load(self, driver: str, *, builtin: bool = False) -> None:
        """Register a driver; every device without one that it may take gets it."""
        directory = self.base / "sys/bus/pci/drivers" / driver
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("bind", "unbind", "new_id"):
            (directory / name).write_text("")
        if not builtin:
            module = self.base / "sys/module" / driver
            module.mkdir(parents=True, exist_ok=True)
            (module / "initstate").write_text("live\n")
            if not (directory / "module").exists():
                (directory / "module").symlink_to(os.path.relpath(module, directory))
        self._loaded.add(driver)
        for address in sorted(self.natives):
            self._attach(address)

    def driver(self, address: str) -> str | None:
        link = self._directory(address) / "driver"
        return link.readlink().name if link.is_symlink() else None

    def override(self, address: str) -> str | None:
        word = (self._directory(address) / "driver_override").read_text().strip()
        return None if word == "(null)" else word

    def remove(self, address: str) -> None:
        """Take the card out."""
        (self.base / f"sys/bus/pci/devices/{address}").unlink()
        self.natives.pop(address, None)

    def hold(self, pid: int, name: str, node: str) -> None:
        """A process that has ``node`` open."""
        self.write(f"/proc/{pid}/comm", name + "\n")
        descriptors = self.base / f"proc/{pid}/fd"
        descriptors.mkdir(parents=True)
        (descriptors / "7").symlink_to(node)

    def attribute(self, path: str, value: str) -> None:
        """What the kernel does for one write to an attribute of sysfs."""
        self.writes.append((path, value))
        if self.before_write is not None:
            self.before_write(path, value)
        for end, number in self.fail.items():
            if path.endswith(end):
                raise OSError(number, os.strerror(number))
        name = Path(path).name
        if name == "new_id":
            raise AssertionError("new_id would claim every other unbound device of the same model")
        if name == "driver_override":
            self._set_override(Path(path).parent.name, value)
        elif name == "drivers_probe":
            self._present(value)
            self._attach(value)
        elif name == "unbind":
            self._unbind(value, Path(path).parent.name)
        elif name == "bind":
            self._bind(value, Path(path).parent.name)
        elif name.endswith("_resize"):
            self._resize(Path(path).parent.name, int(name[len("resource")]), int(value))
        else:
            raise AssertionError(f"nothing writes to {path}")

    def run(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        """``modprobe``, the only program that binding starts."""
        self.commands.append(tuple(argv))
        if argv[0] != "/sbin/modprobe":
            raise AssertionError(f"unexpected program: {argv}")
        wanted = argv[-1]
        if wanted.startswith("pci:"):
            for driver in {native for native in self.natives.values() if native is not None} - self._loaded:
                self.load(driver)
            return CommandResult(tuple(argv), 0, "", "")
        if "modprobe" in self.fail:
            return CommandResult(tuple(argv), 1, "", f"modprobe: FATAL: Module {wanted} not found.")
        self.load(wanted)
        return CommandResult(tuple(argv), 0, "", "")

    def _resize(self, address: str, number: int, bit: int) -> None:
        directory = self._directory(address)
        if (directory / "driver").is_symlink():
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        lines = (directory / "resource").read_text().splitlines()
        start = 8 << 32
        lines[number] = f"{start:#018x} {start + (1 << (bit + 20)) - 1:#018x} 0x000000000014220c"
        (directory / "resource").write_text("\n".join(lines) + "\n")

    def _directory(self, address: str) -> Path:
        return (self.base / f"sys/bus/pci/devices/{address}").resolve()

    def _present(self, address: str) -> None:
        if not (self.base / f"sys/bus/pci/devices/{address}").is_symlink():
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    def _set_override(self, address: str, value: str) -> None:
        if not (self.base / f"sys/bus/pci/devices/{address}").is_symlink():
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        (self._directory(address) / "driver_override").write_text((value.strip() or "(null)") + "\n")

    def _matches(self, address: str, driver: str) -> bool:
        override = self.override(address)
        if override is not None:
            return driver == override
        return driver == self.natives[address] or (driver == VFIO_PCI and self._model(address) in self.ids)

    def _model(self, address: str) -> str:
        words = [(self._directory(address) / name).read_text().strip()[2:] for name in ("vendor", "device")]
        return ":".join(words)

    def _attach(self, address: str) -> None:
        # The least convenient order: vfio-pci, which was loaded first, is asked first.
        for driver in sorted(self._loaded, key=lambda name: (name != VFIO_PCI, name)):
            if self.driver(address) is None and self._matches(address, driver):
                self._take(address, driver)

    def _take(self, address: str, driver: str) -> bool:
        directory = self._directory(address)
        if driver == VFIO_PCI and not (directory / "iommu_group").is_symlink():
            return False
        target = self.base / "sys/bus/pci/drivers" / driver
        (directory / "driver").symlink_to(os.path.relpath(target, directory))
        return True

    def _unbind(self, address: str, driver: str) -> None:
        self._present(address)
        if self.driver(address) != driver:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        (self._directory(address) / "driver").unlink()

    def _bind(self, address: str, driver: str) -> None:
        self._present(address)
        if self.driver(address) is not None or not self._matches(address, driver) or not self._take(address, driver):
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

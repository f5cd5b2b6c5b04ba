# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Moving devices between drivers on the running host: all of them or none.

Through ``driver_override`` only. ``new_id`` would claim every other unbound device of the same model as well.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    PassthroughError,
    RefusedError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.guard import VFIO_PCI

DEVICES = "/sys/bus/pci/devices"
DRIVERS = "/sys/bus/pci/drivers"
DRIVERS_PROBE = "/sys/bus/pci/drivers_probe"

_CORE_USERS = "/sys/module/vfio_pci_core/holders"

# By path: not every connection has it in PATH.
MODPROBE = "/sbin/modprobe"

# The kernel prints an override that is not set like this (drivers/pci/pci-sysfs.c).
NO_OVERRIDE = "(null)"


class AttributeWriter(t.Protocol):
    """Writes one value into one sysfs attribute (path as the host sees it); raises ``OSError`` as the kernel does."""

    def __call__(self, path: str, value: str) -> None: ...


def attribute_writer(root: Root) -> AttributeWriter:
    """The real one: a single ``write``, never creating a file."""

    def write(path: str, value: str) -> None:
        descriptor = os.open(root.path(path), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)

    return write


def current_driver(root: Root, address: Address) -> str | None:
    return root.link_name(f"{DEVICES}/{address}/driver")


def is_vfio_driver(root: Root, driver: str | None) -> bool:
    """Whether ``driver`` is vfio-pci or one of its variants for single models, which libvirt may take instead when a
    guest starts: all of them are built on vfio_pci_core, and the kernel says who uses a module."""
    if driver is None or driver == VFIO_PCI:
        return driver is not None
    module = root.link_name(f"{DRIVERS}/{driver}/module")
    return module is not None and module in root.listdir(_CORE_USERS)


def current_override(root: Root, address: Address) -> str | None:
    word = root.read_word(f"{DEVICES}/{address}/driver_override")
    return None if word == NO_OVERRIDE else word


class Bus:
    """The PCI bus of a running host, with what is needed to change it."""

    def __init__(self, root: Root, run: Runner, write: AttributeWriter) -> None:
        self._root = root
        self._run = run
        self._write = write

    def bind(self, addresses: t.Sequence[Address]) -> None:
        """Give every one of ``addresses`` to vfio-pci; if one cannot go, each is back where it was.

        Raises :class:`HostStateError` that tells what failed and what is where now.
        """
        before = {
            address: (current_driver(self._root, address), current_override(self._root, address))
            for address in addresses
        }
        moving = [address for address in addresses if not is_vfio_driver(self._root, before[address][0])]
        self._load()
        try:
            for address in addresses:
                self._override(address, VFIO_PCI)
            # All are detached before any is probed: functions of one slot are reset together.
            for address in moving:
                self._unbind(address)
            for address in moving:
                self._probe(address)
                self._expect(address, VFIO_PCI)
        except (OSError, PassthroughError) as exc:
            raise HostStateError(f"{exc}. {self._unwind({address: before[address] for address in addresses})}") from exc

    def release(self, addresses: t.Sequence[Address], natives: t.Mapping[Address, str | None] | None = None) -> None:
        """Give ``addresses`` back to the drivers that the kernel has for them; if one cannot go, none goes.

        A device for which the kernel has no driver ends without one, as it would without us. ``natives`` name their
        own drivers, for vfio-pci that was loaded with ids and would take them again.
        """
        for address in addresses:
            users = holders(self._root, address)
            if users:
                raise RefusedError(
                    f"{address} is in use by {users[0]}: shut that down, then release the device", device=str(address)
                )
        before = {
            address: (current_driver(self._root, address), current_override(self._root, address))
            for address in addresses
        }
        try:
            for address in addresses:
                self._override(address, None)
            for address in addresses:
                if is_vfio_driver(self._root, before[address][0]):
                    self._unbind(address)
            for address in addresses:
                self._find_driver(address)
                if current_driver(self._root, address) == VFIO_PCI:
                    self._past_ids(address, (natives or {}).get(address))
        except (OSError, PassthroughError) as exc:
            raise HostStateError(f"{exc}. {self._unwind(before)}") from exc

    def _load(self) -> None:
        if not self._root.exists(f"{DRIVERS}/{VFIO_PCI}"):
            run_checked(self._run, [MODPROBE, "-i", VFIO_PCI], "Loading the module vfio-pci failed")
        if not self._root.exists(f"{DRIVERS}/{VFIO_PCI}"):
            raise HostStateError(f"modprobe reported success, but the driver {VFIO_PCI} is not there")

    def _override(self, address: Address, driver: str | None) -> None:
        if current_override(self._root, address) != driver:
            # A lone line end is how the kernel is told to forget the override.
            self._put(
                f"{DEVICES}/{address}/driver_override", driver or "\n", f"setting the driver of {address} to {driver}"
            )

    def _unbind(self, address: Address) -> None:
        driver = current_driver(self._root, address)
        if driver is not None:
            self._put(f"{DRIVERS}/{driver}/unbind", str(address), f"taking {address} from {driver}")

    def _probe(self, address: Address) -> None:
        self._put(DRIVERS_PROBE, str(address), f"asking the kernel for a driver for {address}")

    def _find_driver(self, address: Address) -> None:
        self._probe(address)
        if current_driver(self._root, address) is None:
            modalias = self._root.read_word(f"{DEVICES}/{address}/modalias")
            if modalias is not None:
                # Its driver may never have been loaded in this boot. No driver at all is no failure.
                self._run([MODPROBE, "-b", "-q", modalias])

    def _past_ids(self, address: Address, native: str | None) -> None:
        """Bring the device to its own driver although vfio-pci has its id. The id stays until the module is unloaded:
        taking it away (``remove_id``) would concern every card of the model."""
        if native is None:
            raise HostStateError(
                f"vfio-pci was loaded with the id of {address} and takes it again, and its own driver is not known: "
                "reboot to give it back"
            )
        self._unbind(address)
        self._override(address, native)
        self._find_driver(address)
        self._expect(address, native)
        # Clearing it moves nothing.
        self._override(address, None)

    def _expect(self, address: Address, driver: str) -> None:
        found = current_driver(self._root, address)
        if found != driver:
            raise HostStateError(
                f"the kernel left {address} on {found or 'no driver'} instead of {driver}: its log says why"
            )

    def _put(self, path: str, value: str, purpose: str) -> None:
        try:
            self._write(path, value)
        except OSError as exc:
            raise HostStateError(f"{purpose} failed: {exc.strerror or exc}") from exc

    def _unwind(self, before: t.Mapping[Address, tuple[str | None, str | None]]) -> str:
        """Bring every device back and tell how that went; goes on past what fails."""
        troubles: list[str] = []
        for address, (driver, override) in before.items():
            if not self._root.exists(f"{DEVICES}/{address}"):
                troubles.append(f"{address} has gone")
                continue
            try:
                if current_driver(self._root, address) != driver:
                    self._unbind(address)
                self._override(address, override)
                if driver is not None and current_driver(self._root, address) is None:
                    self._put(f"{DRIVERS}/{driver}/bind", str(address), f"giving {address} back to {driver}")
            except HostStateError as exc:
                troubles.append(str(exc))
        if not troubles:
            return "All devices are back on the drivers that they had"
        return "Not all devices could be brought back: " + "; ".join(troubles)


def holders(root: Root, address: Address) -> list[str]:
    """The processes that hold the device through vfio, as texts such as ``qemu-system-x86 (process 4711)``."""
    paths = _vfio_nodes(root, address)
    if not paths:
        return []
    pids = [pid for pid in root.listdir("/proc") if pid.isdigit() and _holds_any(root, pid, paths)]
    return [f"{root.read_word(f'/proc/{pid}/comm') or 'a process'} (process {pid})" for pid in pids]


def _holds_any(root: Root, pid: str, paths: t.Collection[str]) -> bool:
    return any(_link(root, f"/proc/{pid}/fd/{number}") in paths for number in _descriptors(root, pid))


def _descriptors(root: Root, pid: str) -> list[str]:
    try:
        return root.listdir(f"/proc/{pid}/fd")
    except OSError:
        # The process has ended since the directory was read.
        return []


def _vfio_nodes(root: Root, address: Address) -> set[str]:
    group = root.link_name(f"{DEVICES}/{address}/iommu_group")
    nodes = {f"/dev/vfio/devices/{name}" for name in root.listdir(f"{DEVICES}/{address}/vfio-dev")}
    return nodes | ({f"/dev/vfio/{group}"} if group is not None else set())


def _link(root: Root, path: str) -> str | None:
    try:
        return os.readlink(root.path(path))
    except OSError:
        return None

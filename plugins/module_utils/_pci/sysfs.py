# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Reading every PCI function of a host from sysfs, in one pass.

Whatever a tree holds, there is an answer: what is odd about a function stands in its ``gaps``, and a function that
cannot be told (it disappeared, its ids are unreadable) in the gaps of the whole reading.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._attributes import AttributeDirectory
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address, is_pci_address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.config_space import (
    SUNRISE_POINT_ROOT_PORTS,
    ConfigSpace,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import (
    BASE_CLASS_DISPLAY,
    ROOT_PORT,
    Device,
    Identity,
    is_bridge_class,
    is_held_for_guests,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.modalias import ModuleAliases
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.names import PciNames
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.permanent_mac import permanent_mac
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.resources import above_4g

DEVICES = "/sys/bus/pci/devices"
SLOTS = "/sys/bus/pci/slots"
INTERFACES = "/sys/class/net"

_UEVENT_IDS = re.compile(r"([0-9A-Fa-f]{4}):([0-9A-Fa-f]{4})")
_USB_BUS = re.compile(r"/usb\d+/")
_UEVENT_CLASS = re.compile(r"[0-9A-Fa-f]{1,6}")


@dataclasses.dataclass(frozen=True)
class Reading:
    """``devices`` by address; ``gaps`` name the functions that are not among them, and why."""

    devices: tuple[Device, ...]
    gaps: tuple[str, ...]


def read_devices(root: Root, ledger: Ledger) -> tuple[Device, ...]:
    """All functions, ordered by address.

    What a device was before it was bound (native driver, MAC) comes from the ledger as long as the same
    card sits at the address.
    """
    return read_functions(root, ledger).devices


def read_functions(root: Root, ledger: Ledger, names: bool = False) -> Reading:
    """As :func:`read_devices`, with what is missing. ``names`` adds vendor and device names from ``pci.ids`` where
    present."""
    try:
        directory = os.open(root.path(DEVICES), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Reading((), ())
    except OSError as exc:
        return Reading((), (f"{DEVICES} cannot be read: {exc.strerror}",))
    try:
        reader = _Reader(root, ledger, PciNames.load(root) if names else None, directory)
        found = [device for name in os.listdir(directory) if (device := reader.device(name)) is not None]
    finally:
        os.close(directory)
    return Reading(tuple(sorted(found, key=lambda device: device.address)), tuple(sorted(reader.gaps)))


class _UnknownIdsError(Exception):
    """``uevent`` does not tell what the function is."""


class _Reader:
    def __init__(self, root: Root, ledger: Ledger, names: PciNames | None, directory: int) -> None:
        self.gaps: list[str] = []
        self._root = root
        self._directory = directory
        self._records: t.Mapping[str, t.Any] = ledger.section("devices")
        self._names = names
        self._slots = {
            address: name for name in root.listdir(SLOTS) if (address := root.read_word(f"{SLOTS}/{name}/address"))
        }
        self._aliases = ModuleAliases(root)
        self._interfaces = _interfaces_by_function(root)
        self._ancestors: dict[str, list[Address]] = {}

    def device(self, name: str) -> Device | None:
        try:
            address = Address.parse(name)
        except InputError:
            self.gaps.append(f"{DEVICES}/{name} is no PCI function")
            return None
        try:
            path, above = self._place(name)
            with AttributeDirectory.opened(path, self._directory) as function, function.binary("config") as content:
                return self._read(address, above, function, ConfigSpace(content))
        except _UnknownIdsError:
            self.gaps.append(f"{name} is left out: its uevent does not tell its ids and class")
        except OSError as exc:
            self.gaps.append(f"{name} is left out: it disappeared while it was read ({exc.strerror})")
        return None

    def _place(self, name: str) -> tuple[str, list[Address]]:
        """The function's directory and the functions above it, from the link by which the bus lists it."""
        try:
            target = os.readlink(name, dir_fd=self._directory)
        except OSError:
            # A tree that was copied with its links followed: nothing tells what a function hangs on.
            return name, []
        above = target.rpartition("/")[0]
        if above not in self._ancestors:
            self._ancestors[above] = functions_on_path(above)
        # A capture may have made links absolute; they mean the tree and not the machine that it is read on.
        return (self._root.path(target) if target.startswith("/") else target), self._ancestors[above]

    def _read(
        self, address: Address, above: list[Address], function: AttributeDirectory, config: ConfigSpace
    ) -> Device:
        uevent = _parse_uevent(function.text("uevent") or "")
        identity, class_code = _identity(uevent, config)
        record = self._record(address, identity)
        modalias = uevent.get("MODALIAS")
        interfaces = self._interfaces.get(address, ())
        numa_node = function.number("numa_node")
        physfn = function.link("physfn")
        acs = _acs(identity, config)
        reset_methods = function.word("reset_method")
        own_domain = [ancestor for ancestor in above if ancestor.domain == address.domain]
        may_be_pf = physfn is None and _may_have_sriov(config)
        vf_offset, vf_stride, vf_device_id = (config.vf_layout if physfn is None else None) or (None, None, None)
        driver = function.link("driver")
        candidates = self._aliases.native(modalias) if modalias else ()
        vfio_modules = self._aliases.vfio(modalias) if modalias else ()
        return Device(
            address=address,
            identity=identity,
            class_code=class_code,
            revision=(function.word("revision") or "0x00")[2:],
            is_bridge=(config.answers and config.header_type in (1, 2)) or is_bridge_class(class_code),
            class_name=self._names.class_name(class_code) if self._names else None,
            name=self._names.device_name(identity) if self._names else None,
            driver=driver,
            driver_override=_override(function.word("driver_override")),
            native_driver=_native_driver(driver, record, candidates, vfio_modules),
            candidate_modules=candidates,
            vfio_modules=vfio_modules,
            numa_node=numa_node if numa_node is not None and numa_node >= 0 else None,
            iommu_group=function.link_number("iommu_group"),
            parent=above[-1] if above else None,
            root_port=own_domain[0] if own_domain else None,
            physfn=Address.parse(physfn) if physfn and is_pci_address(physfn) else None,
            boot_vga=class_code.startswith(BASE_CLASS_DISPLAY) and function.word("boot_vga") == "1",
            reset_methods=tuple((reset_methods or "").split()),
            # The list of methods came with Linux 5.15; before, and where it was emptied, the trigger's file tells.
            resettable=reset_methods is not None or function.exists("reset"),
            interfaces=interfaces,
            mac=self._mac(interfaces, record),
            slot=self._slots.get(address.slot),
            header_type=config.header_type if config.answers else None,
            multifunction=config.multifunction,
            pcie_type=config.pcie_type,
            acs_capability=acs[0] if acs else None,
            acs_control=acs[1] if acs else None,
            bar_above_4g=_bar_above_4g(function.text("resource"), config),
            resizable_bar=config.resizable_bar,
            sriov_totalvfs=function.number("sriov_totalvfs") if may_be_pf else None,
            sriov_numvfs=function.number("sriov_numvfs") if may_be_pf else None,
            sriov_offset=vf_offset,
            sriov_stride=vf_stride,
            sriov_device_id=vf_device_id,
            power_state=function.word("power_state"),
            # Last, when everything else has been read.
            gaps=_gaps(function, config),
        )

    def _record(self, address: Address, identity: Identity) -> t.Mapping[str, t.Any]:
        record: t.Mapping[str, t.Any] | None = self._records.get(str(address))
        if record is None or not Identity.from_json(record["identity"]).matches(identity):
            return {}
        return record

    def _mac(self, interfaces: t.Sequence[str], record: t.Mapping[str, t.Any]) -> str | None:
        for interface in interfaces:
            if _is_plugged_in(self._root, interface):
                continue
            mac = permanent_mac(self._root, interface)
            if mac is not None:
                return mac
        return record.get("mac")


def _identity(uevent: t.Mapping[str, str], config: ConfigSpace) -> tuple[Identity, str]:
    """From ``uevent``, which answers for VFs too (their config space reads ffff:ffff)."""
    ids = _UEVENT_IDS.fullmatch(uevent.get("PCI_ID", ""))
    subsystem = _UEVENT_IDS.fullmatch(uevent.get("PCI_SUBSYS_ID", ""))
    class_code = _UEVENT_CLASS.fullmatch(uevent.get("PCI_CLASS", ""))
    if ids is None or subsystem is None or class_code is None:
        raise _UnknownIdsError
    identity = Identity(
        ids[1].lower(), ids[2].lower(), subsystem[1].lower(), subsystem[2].lower(), serial=config.serial
    )
    return identity, class_code[0].rjust(6, "0")[:4].lower()


def _parse_uevent(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _acs(identity: Identity, config: ConfigSpace) -> tuple[int, int] | None:
    known = (identity.vendor_id, identity.device_id) in SUNRISE_POINT_ROOT_PORTS
    if known and config.pcie_type == ROOT_PORT:
        return config.acs_double_words
    return config.acs


def _bar_above_4g(resource: str | None, config: ConfigSpace) -> bool:
    return config.bars_above_4g if resource is None else above_4g(resource)


def _override(word: str | None) -> str | None:
    # The kernel prints an unset override as "(null)" (drivers/pci/pci-sysfs.c).
    return None if word == "(null)" else word


def _native_driver(
    driver: str | None, record: t.Mapping[str, t.Any], candidates: t.Sequence[str], vfio_modules: t.Sequence[str]
) -> str | None:
    if driver is not None and not is_held_for_guests(driver, vfio_modules):
        return driver
    recorded: str | None = record.get("native_driver")
    return recorded or next(iter(candidates), None)


def _may_have_sriov(config: ConfigSpace) -> bool:
    # Only a PF has the capability, and only what could be looked through can be without it.
    return config.sriov or bool(config.gaps) or not config.answers


def _gaps(function: AttributeDirectory, config: ConfigSpace) -> tuple[str, ...]:
    gaps = (*function.gaps, *config.gaps)
    return gaps if gaps or config.answers else ("config is missing or empty",)


def functions_on_path(path: str) -> list[Address]:
    """The PCI functions that a directory below ``/sys/devices`` hangs on, root port first."""
    return [Address.parse(part) for part in path.split(os.sep) if is_pci_address(part)]


def _is_plugged_in(root: Root, interface: str) -> bool:
    """Whether this is an adapter on a USB port: its address does not name the controller, which has other ports."""
    try:
        return _USB_BUS.search(os.readlink(root.path(f"{INTERFACES}/{interface}"))) is not None
    except OSError:
        # It went away, and its address with it.
        return True


def _interfaces_by_function(root: Root) -> dict[Address, tuple[str, ...]]:
    # From the interfaces down, because virtio and others put a device of their own between.
    found: dict[Address, tuple[str, ...]] = {}
    for name in root.listdir(INTERFACES):
        try:
            functions = functions_on_path(os.readlink(root.path(f"{INTERFACES}/{name}")))
        except OSError:
            # bonding_masters is a file here, and an interface may go away at any time.
            continue
        if functions:
            found[functions[-1]] = (*found.get(functions[-1], ()), name)
    return found

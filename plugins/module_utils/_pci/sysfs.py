# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Reading every PCI function of a host from sysfs, in one pass."""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.config_space import ConfigSpace
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import (
    BASE_CLASS_DISPLAY,
    HOLDING_DRIVERS,
    Device,
    Identity,
    is_bridge_class,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.modalias import ModuleAliases
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.names import PciNames
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.permanent_mac import permanent_mac

DEVICES = "/sys/bus/pci/devices"
SLOTS = "/sys/bus/pci/slots"

_PCI_COMPONENT = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


def read_devices(root: Root, ledger: Ledger, names: bool = False) -> tuple[Device, ...]:
    """All functions, ordered by address. ``names`` adds vendor and device names from ``pci.ids`` where present.

    What a device was before it was bound (native driver, MAC) comes from the ledger as long as the same
    card sits at the address.
    """
    reader = _Reader(root, ledger, PciNames.load(root) if names else None)
    addresses = [Address.parse(name) for name in root.listdir(DEVICES)]
    return tuple(reader.device(address) for address in sorted(addresses))


class _Reader:
    def __init__(self, root: Root, ledger: Ledger, names: PciNames | None) -> None:
        self._root = root
        self._records: t.Mapping[str, t.Any] = ledger.section("devices")
        self._names = names
        self._slots = {
            address: name for name in root.listdir(SLOTS) if (address := root.read_word(f"{SLOTS}/{name}/address"))
        }
        self._aliases = ModuleAliases(root)
        self._interfaces = _interfaces_by_function(root)

    def device(self, address: Address) -> Device:
        base = f"{DEVICES}/{address}"
        uevent = _parse_uevent(self._root.read_text(f"{base}/uevent") or "")
        config = ConfigSpace(self._root.read_bytes(f"{base}/config") or b"")
        identity, class_code = _identity(uevent, config)
        record = self._record(address, identity)
        driver = self._root.link_name(f"{base}/driver")
        modalias = uevent.get("MODALIAS")
        candidates = self._aliases.modules(modalias) if modalias and driver in HOLDING_DRIVERS | {None} else ()
        interfaces = self._interfaces.get(address, ())
        ancestors = functions_on_path(os.path.realpath(self._root.path(base)))[:-1]
        group = self._root.link_name(f"{base}/iommu_group")
        numa_node = int(self._root.read_word(f"{base}/numa_node") or -1)
        physfn = self._root.link_name(f"{base}/physfn")
        return Device(
            address=address,
            identity=identity,
            class_code=class_code,
            revision=(self._root.read_word(f"{base}/revision") or "0x00")[2:],
            is_bridge=config.header_type in (1, 2) or is_bridge_class(class_code),
            class_name=self._names.class_name(class_code) if self._names else None,
            name=self._names.device_name(identity) if self._names else None,
            driver=driver,
            driver_override=_override(self._root.read_word(f"{base}/driver_override")),
            native_driver=_native_driver(driver, record, candidates),
            candidate_modules=candidates,
            numa_node=numa_node if numa_node >= 0 else None,
            iommu_group=int(group) if group is not None else None,
            parent=ancestors[-1] if ancestors else None,
            root_port=ancestors[0] if ancestors else None,
            physfn=Address.parse(physfn) if physfn else None,
            boot_vga=class_code.startswith(BASE_CLASS_DISPLAY) and self._root.read_word(f"{base}/boot_vga") == "1",
            reset_methods=tuple((self._root.read_word(f"{base}/reset_method") or "").split()),
            interfaces=interfaces,
            mac=self._mac(interfaces, record),
            slot=self._slots.get(address.slot),
        )

    def _record(self, address: Address, identity: Identity) -> t.Mapping[str, t.Any]:
        record: t.Mapping[str, t.Any] | None = self._records.get(str(address))
        if record is None or not Identity.from_json(record["identity"]).matches(identity):
            return {}
        return record

    def _mac(self, interfaces: t.Sequence[str], record: t.Mapping[str, t.Any]) -> str | None:
        for interface in interfaces:
            mac = permanent_mac(self._root, interface)
            if mac is not None:
                return mac
        return record.get("mac")


def _identity(uevent: t.Mapping[str, str], config: ConfigSpace) -> tuple[Identity, str]:
    """From ``uevent``, which answers for VFs too (their config space reads ffff:ffff)."""
    vendor, device = uevent["PCI_ID"].lower().split(":")
    subsystem_vendor, subsystem_device = uevent["PCI_SUBSYS_ID"].lower().split(":")
    identity = Identity(vendor, device, subsystem_vendor, subsystem_device, config.serial)
    return identity, uevent["PCI_CLASS"].rjust(6, "0")[:4].lower()


def _parse_uevent(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _override(word: str | None) -> str | None:
    # The kernel prints an unset override as "(null)" (drivers/pci/pci-sysfs.c).
    return None if word == "(null)" else word


def _native_driver(driver: str | None, record: t.Mapping[str, t.Any], candidates: t.Sequence[str]) -> str | None:
    if driver is not None and driver not in HOLDING_DRIVERS:
        return driver
    recorded: str | None = record.get("native_driver")
    return recorded or next(iter(candidates), None)


def functions_on_path(real_path: str) -> list[Address]:
    """The PCI functions that a directory below ``/sys/devices`` hangs on, root port first."""
    return [Address.parse(part) for part in real_path.split(os.sep) if _PCI_COMPONENT.fullmatch(part)]


def _interfaces_by_function(root: Root) -> dict[Address, tuple[str, ...]]:
    # From the interfaces down, because virtio and others put a device of their own between.
    found: dict[Address, tuple[str, ...]] = {}
    for name in root.listdir("/sys/class/net"):
        functions = functions_on_path(os.path.realpath(root.path(f"/sys/class/net/{name}/device")))
        if functions:
            found[functions[-1]] = (*found.get(functions[-1], ()), name)
    return found

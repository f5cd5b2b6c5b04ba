# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""One PCI function as the collection reports it, and the identity by which it is recognised again."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address

# PCI Code and ID Assignment Specification, base classes and sub-classes that decide something here.
BASE_CLASS_BRIDGE = "06"
BASE_CLASS_DISPLAY = "03"
BASE_CLASS_STORAGE = "01"
BASE_CLASS_NETWORK = "02"
CLASS_USB_CONTROLLER = "0c03"

# The Device/Port Type field of the PCI Express Capabilities register (PCIe Base Specification, 7.5.3.2).
ENDPOINT = "endpoint"
LEGACY_ENDPOINT = "legacy_endpoint"
ROOT_PORT = "root_port"
UPSTREAM_PORT = "upstream_port"
DOWNSTREAM_PORT = "downstream_port"
PCIE_TO_PCI_BRIDGE = "pcie_to_pci_bridge"
PCI_TO_PCIE_BRIDGE = "pci_to_pcie_bridge"
ROOT_COMPLEX_ENDPOINT = "root_complex_endpoint"
ROOT_COMPLEX_EVENT_COLLECTOR = "root_complex_event_collector"

PCIE_TYPES: t.Final[t.Mapping[int, str]] = {
    0: ENDPOINT,
    1: LEGACY_ENDPOINT,
    4: ROOT_PORT,
    5: UPSTREAM_PORT,
    6: DOWNSTREAM_PORT,
    7: PCIE_TO_PCI_BRIDGE,
    8: PCI_TO_PCIE_BRIDGE,
    9: ROOT_COMPLEX_ENDPOINT,
    10: ROOT_COMPLEX_EVENT_COLLECTOR,
}

# Drivers that hold a device for a guest or keep it from everybody: never what it would have without us.
HOLDING_DRIVERS = frozenset({"vfio-pci", "pci-stub", "xen-pciback"})


def is_bridge_class(class_code: str) -> bool:
    """Whether four digits of a class name a bridge of any kind; some show it in their header type alone."""
    return class_code.startswith(BASE_CLASS_BRIDGE)


def is_held_for_guests(driver: str, vfio_modules: t.Collection[str]) -> bool:
    """Whether ``driver`` is one of :data:`HOLDING_DRIVERS` or a variant driver of VFIO for the device at hand."""
    # Modules are named with underscores, the drivers in them with either.
    return driver in HOLDING_DRIVERS or driver.replace("-", "_") in vfio_modules


@dataclasses.dataclass(frozen=True)
class Identity:
    """What stays with a card when it moves: ids of four lower-case hex digits; ``serial`` is the PCIe
    Device Serial Number as sixteen hex digits, or ``None``."""

    vendor_id: str
    device_id: str
    subsystem_vendor_id: str
    subsystem_device_id: str
    serial: str | None = None

    def __str__(self) -> str:
        text = f"{self.vendor_id}:{self.device_id} subsystem {self.subsystem_vendor_id}:{self.subsystem_device_id}"
        return f"{text} serial {self.serial}" if self.serial else text

    def matches(self, other: Identity) -> bool:
        """Whether both can be the same card; a serial number counts only where both have one."""
        if dataclasses.replace(self, serial=None) != dataclasses.replace(other, serial=None):
            return False
        return self.serial is None or other.serial is None or self.serial == other.serial

    def to_json(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> Identity:
        fields: dict[str, t.Any] = {field.name: data.get(field.name) for field in dataclasses.fields(cls)}
        return cls(**fields)


_ADDRESS_FIELDS = ("address", "parent", "root_port", "physfn")
_LIST_FIELDS = ("candidate_modules", "reset_methods", "interfaces", "gaps", "vfio_modules")


@dataclasses.dataclass(frozen=True)
class Device:
    """One PCI function.

    ``class_code`` has four hex digits (base class and sub-class); ``numa_node`` is ``None`` where the
    firmware named none; ``native_driver`` is the driver that would hold it without us; ``mac`` is the
    permanent address; ``interfaces`` are its network interfaces; ``physfn`` is the PF of a VF. ``root_port`` is the
    port or bridge on the root bus of the device's own domain. ``candidate_modules`` and ``vfio_modules`` (variant
    drivers first) are what the running kernel's ``modules.alias`` has for it. ``resettable``: the kernel knows a way
    to reset this function alone; ``reset_methods`` come in the order in which it tries them.

    From configuration space, as it says it (the kernel corrects some port types by position, see
    ``_iommu/prediction.py``): ``header_type`` is ``None`` where nothing could be read; ``pcie_type`` is one of
    :data:`PCIE_TYPES` or ``None`` for conventional PCI; ``multifunction`` is bit 7 of the header type alone;
    ``acs_capability`` and ``acs_control`` are the two ACS registers, ``None`` without the capability.
    ``bar_above_4g`` tells of a memory region mapped above 4 GiB, ``resizable_bar`` of that capability.
    ``sriov_totalvfs`` is ``None`` for what is no PF; ``sriov_offset``, ``sriov_stride`` and ``sriov_device_id`` tell
    where a PF's VFs are and what they are (``_sriov/addresses.py``). ``power_state`` is the kernel's word (``D0``,
    ``D3hot``, …).
    ``gaps`` name what could not be read of this function and why its facts may be incomplete.
    """

    address: Address
    identity: Identity
    class_code: str
    revision: str = "00"
    is_bridge: bool = False
    class_name: str | None = None
    name: str | None = None
    driver: str | None = None
    driver_override: str | None = None
    native_driver: str | None = None
    candidate_modules: tuple[str, ...] = ()
    numa_node: int | None = None
    iommu_group: int | None = None
    parent: Address | None = None
    root_port: Address | None = None
    physfn: Address | None = None
    boot_vga: bool = False
    resettable: bool = True
    reset_methods: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    mac: str | None = None
    slot: str | None = None
    header_type: int | None = None
    multifunction: bool = False
    pcie_type: str | None = None
    acs_capability: int | None = None
    acs_control: int | None = None
    bar_above_4g: bool = False
    resizable_bar: bool = False
    sriov_totalvfs: int | None = None
    sriov_numvfs: int | None = None
    sriov_offset: int | None = None
    sriov_stride: int | None = None
    sriov_device_id: str | None = None
    power_state: str | None = None
    gaps: tuple[str, ...] = ()
    vfio_modules: tuple[str, ...] = ()

    @property
    def on_vfio(self) -> bool:
        """Whether a guest can have it: vfio-pci has it, or a variant of that for its model."""
        # Modules are named with underscores, the drivers in them with either.
        return self.driver == "vfio-pci" or (self.driver or "").replace("-", "_") in self.vfio_modules

    @property
    def held_for_guests(self) -> bool:
        """Whether its driver gives it to guests or keeps it from everybody; variant drivers of VFIO count."""
        return self.driver is not None and is_held_for_guests(self.driver, self.vfio_modules)

    def to_json(self) -> dict[str, t.Any]:
        """The dictionary that users see (design: field's names, ids without ``0x``, class under ``class``)."""
        # Some forty fields of ten thousand functions: a copy and its few exceptions, not a look at each type.
        data: dict[str, t.Any] = dict(vars(self))
        data.update(vars(data.pop("identity")))
        for name in _ADDRESS_FIELDS:
            if data[name] is not None:
                data[name] = str(data[name])
        for name in _LIST_FIELDS:
            data[name] = list(data[name])
        data["class"] = data.pop("class_code")
        return data

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> Device:
        fields: dict[str, t.Any] = {}
        for field in dataclasses.fields(cls):
            if field.name == "identity":
                fields["identity"] = Identity.from_json(data)
            elif field.name == "class_code":
                fields["class_code"] = data["class"]
            elif field.name in _ADDRESS_FIELDS:
                text = data.get(field.name)
                fields[field.name] = None if text is None else Address.parse(text)
            elif isinstance(data.get(field.name), list):
                fields[field.name] = tuple(data[field.name])
            else:
                fields[field.name] = data.get(field.name, field.default)
        return cls(**fields)

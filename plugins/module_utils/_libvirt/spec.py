# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""A domain as it shall be, from typed options. Values and their rules only; no libvirt and no host in here."""

from __future__ import annotations

import dataclasses
import re
import typing as t
import uuid as uuid_module

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.cpulist import parse_cpulist
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.units import format_size, parse_size
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address

AUTO = "auto"
VIRT_TYPES = (AUTO, "kvm", "qemu")
FIRMWARES = ("efi", "bios")
CPU_MODES = (AUTO, "host-passthrough", "host-model", "maximum", "custom")
DISK_FORMATS = ("raw", "qcow2")
DISK_BUSES = ("virtio", "scsi", "sata")
LIFECYCLE_ACTIONS = ("destroy", "restart", "preserve", "rename-restart")
CRASH_ACTIONS = (*LIFECYCLE_ACTIONS, "coredump-destroy", "coredump-restart")

# Slashes would leave libvirt's directories, line ends would forge log lines.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+:@-]{0,127}")


def _only_known(options: t.Mapping[str, t.Any], known: t.Iterable[str], where: str) -> None:
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(f"{where} has no option '{unknown[0]}': known are {', '.join(sorted(known))}")


def _choice(value: str, choices: tuple[str, ...], where: str) -> str:
    if value not in choices:
        raise InputError(f"{where}: '{value}' is not one of {', '.join(choices)}")
    return value


def _number(value: t.Any, where: str, least: int = 0) -> int:
    """A number from YAML, where ``"8"`` and ``8`` are meant alike but ``true`` is a slip."""
    if isinstance(value, bool) or not re.fullmatch(r"\d+", str(value).strip()) or int(value) < least:
        raise InputError(f"{where}: '{value}' is no whole number of at least {least}")
    return int(value)


def _path(value: str, where: str) -> str:
    if not isinstance(value, str) or not value.startswith("/") or "\n" in value:
        raise InputError(f"{where}: '{value}' is no absolute path")
    return value


def _cpus(value: t.Any, where: str) -> tuple[int, ...]:
    try:
        cpus = parse_cpulist(str(value))
    except InputError as exc:
        raise InputError(f"{where}: {exc}") from exc
    if not cpus:
        raise InputError(f"{where}: the CPU list is empty")
    return cpus


def _optional(options: t.Mapping[str, t.Any], name: str, parse: t.Callable[[t.Any], t.Any]) -> t.Any:
    value = options.get(name)
    return None if value is None else parse(value)


@dataclasses.dataclass(frozen=True)
class Topology:
    """The processor that the guest sees."""

    sockets: int
    cores: int
    threads: int

    @classmethod
    def from_options(cls, options: t.Mapping[str, t.Any], vcpus: int, where: str) -> Topology:
        _only_known(options, ("sockets", "cores", "threads"), where)
        topology = cls(
            *(_number(options.get(name) or 1, f"{where}.{name}", 1) for name in ("sockets", "cores", "threads"))
        )
        product = topology.sockets * topology.cores * topology.threads
        if product != vcpus:
            raise InputError(
                f"{where}: {topology.sockets} sockets x {topology.cores} cores x {topology.threads} threads "
                f"are {product} vCPUs, but vcpus is {vcpus}"
            )
        return topology


@dataclasses.dataclass(frozen=True)
class VcpuPin:
    """One vCPU and the host CPUs that it may run on."""

    vcpu: int
    cpus: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class PciHostdev:
    """One PCI function of the host. ``managed``: libvirt takes it from its driver at start and gives it back."""

    address: Address
    managed: bool = False
    rom_bar: bool | None = None
    rom_file: str | None = None
    boot_order: int | None = None

    OPTIONS: t.ClassVar[tuple[str, ...]] = ("type", "address", "managed", "rom_bar", "rom_file", "boot_order", "allow")

    @classmethod
    def from_options(cls, options: t.Mapping[str, t.Any], where: str) -> PciHostdev:
        _only_known(options, cls.OPTIONS, where)
        kind = options.get("type") or "pci"
        if kind != "pci":
            raise InputError(f"{where}: devices of type '{kind}' are not in this version, only pci")
        if not options.get("address"):
            raise InputError(f"{where}: a PCI device needs its address, such as 0000:01:00.0")
        rom_bar = options.get("rom_bar")
        rom_file = _optional(options, "rom_file", lambda value: _path(value, f"{where}.rom_file"))
        if rom_file is not None and rom_bar is False:
            raise InputError(f"{where}: rom_file is the content of the ROM BAR that rom_bar: false takes away")
        return cls(
            address=Address.parse(str(options["address"])),
            managed=bool(options.get("managed")),
            rom_bar=rom_bar,
            rom_file=rom_file,
            boot_order=_optional(options, "boot_order", lambda value: _number(value, f"{where}.boot_order", 1)),
        )


@dataclasses.dataclass(frozen=True)
class Disk:
    """A file or block device of the host as a disk; ``target`` is libvirt's handle for it, not the guest's name."""

    source: str
    target: str
    format: str = "raw"
    bus: str = "virtio"
    readonly: bool = False
    boot_order: int | None = None

    OPTIONS: t.ClassVar[tuple[str, ...]] = ("source", "format", "bus", "readonly", "boot_order")

    @classmethod
    def from_options(cls, options: t.Mapping[str, t.Any], target_number: int, where: str) -> Disk:
        _only_known(options, cls.OPTIONS, where)
        if not options.get("source"):
            raise InputError(f"{where}: a disk needs its source, a file or block device of the host")
        bus = _choice(options.get("bus") or "virtio", DISK_BUSES, f"{where}.bus")
        return cls(
            source=_path(options["source"], f"{where}.source"),
            target=_disk_target("vd" if bus == "virtio" else "sd", target_number),
            format=_choice(options.get("format") or "raw", DISK_FORMATS, f"{where}.format"),
            bus=bus,
            readonly=bool(options.get("readonly")),
            boot_order=_optional(options, "boot_order", lambda value: _number(value, f"{where}.boot_order", 1)),
        )


def _disk_target(prefix: str, number: int) -> str:
    """0 is ``vda``, 25 ``vdz``, 26 ``vdaa``."""
    letters = ""
    while number >= 0:
        number, rest = divmod(number, 26)
        letters = chr(ord("a") + rest) + letters
        number -= 1
    return prefix + letters


def _disks(entries: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[Disk, ...]:
    taken = {"vd": 0, "sd": 0}
    disks: list[Disk] = []
    for number, entry in enumerate(entries):
        prefix = "vd" if (entry.get("bus") or "virtio") == "virtio" else "sd"
        disks.append(Disk.from_options(entry, taken[prefix], f"disks[{number}]"))
        taken[prefix] += 1
    return tuple(disks)


def _pins(entries: t.Sequence[t.Mapping[str, t.Any]], vcpus: int) -> tuple[VcpuPin, ...]:
    pins: dict[int, VcpuPin] = {}
    for position, entry in enumerate(entries):
        where = f"vcpu_pins[{position}]"
        _only_known(entry, ("vcpu", "cpus"), where)
        vcpu = _number(entry.get("vcpu"), f"{where}.vcpu")
        if vcpu >= vcpus:
            raise InputError(f"{where}: there is no vCPU {vcpu}, the domain's {vcpus} are numbered from 0")
        if vcpu in pins:
            raise InputError(f"{where}: vCPU {vcpu} is pinned twice")
        pins[vcpu] = VcpuPin(vcpu, _cpus(entry.get("cpus"), f"{where}.cpus"))
    return tuple(pins[vcpu] for vcpu in sorted(pins))


@dataclasses.dataclass(frozen=True)
class DomainSpec:
    """Everything that can be said of a domain. ``None`` is "not said": what is there stays, and a new domain
    gets libvirt's default. Sizes are KiB. ``devices`` and ``disks`` are authoritative where they are given."""

    name: str
    memory: int
    vcpus: int
    topology: Topology
    uuid: str | None = None
    title: str | None = None
    description: str | None = None
    virt_type: str = AUTO
    machine: str = "q35"
    firmware: str | None = None
    cpu_mode: str = AUTO
    cpu_model: str | None = None
    hugepages: int | None = None
    locked: bool = False
    nosharepages: bool = False
    memory_node: int | None = None
    vcpu_pins: tuple[VcpuPin, ...] = ()
    emulator_cpus: tuple[int, ...] | None = None
    devices: tuple[PciHostdev, ...] | None = None
    disks: tuple[Disk, ...] | None = None
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str | None = None
    serial_log: str | None = None
    acpi: bool = True
    apic: bool = True
    on_poweroff: str | None = None
    on_reboot: str | None = None
    on_crash: str | None = None
    autostart: bool | None = None

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in dataclasses.fields(cls))

    @classmethod
    def from_options(cls, options: t.Mapping[str, t.Any]) -> DomainSpec:
        """From the options as the module takes them; raises InputError that names the option."""
        _only_known(options, cls.option_names(), "a domain")
        name = parse_name(options.get("name"))
        for required in ("memory", "vcpus"):
            if options.get(required) is None:
                raise InputError(f"domain '{name}' needs {required} to be defined")
        try:
            return cls._parsed(name, {option: value for option, value in options.items() if value is not None})
        except InputError as exc:
            raise InputError(f"domain '{name}': {exc}") from exc

    @classmethod
    def _parsed(cls, name: str, options: t.Mapping[str, t.Any]) -> DomainSpec:
        vcpus = _number(options["vcpus"], "vcpus", 1)
        hugepages = _optional(options, "hugepages", lambda value: parse_size(str(value), "hugepages"))
        memory = parse_size(str(options["memory"]), "memory")
        devices = _optional(options, "devices", _hostdevs)
        disks = _optional(options, "disks", _disks)
        _check_memory(memory, hugepages)
        _check_boot(options)
        _check_boot_orders((*(devices or ()), *(disks or ())))
        return cls(
            name=name,
            memory=memory,
            vcpus=vcpus,
            topology=Topology.from_options(options.get("topology", {"cores": vcpus}), vcpus, "topology"),
            uuid=_optional(options, "uuid", _uuid),
            title=_optional(options, "title", _one_line),
            description=options.get("description"),
            virt_type=_choice(options.get("virt_type", AUTO), VIRT_TYPES, "virt_type"),
            machine=options.get("machine", "q35"),
            firmware=_optional(options, "firmware", lambda value: _choice(value, FIRMWARES, "firmware")),
            cpu_mode=_choice(options.get("cpu_mode", AUTO), CPU_MODES, "cpu_mode"),
            cpu_model=options.get("cpu_model"),
            hugepages=hugepages,
            locked=bool(options.get("locked")),
            nosharepages=bool(options.get("nosharepages")),
            memory_node=_optional(options, "memory_node", lambda value: _number(value, "memory_node")),
            vcpu_pins=_pins(options.get("vcpu_pins", ()), vcpus),
            emulator_cpus=_optional(options, "emulator_cpus", lambda value: _cpus(value, "emulator_cpus")),
            devices=devices,
            disks=disks,
            kernel=_optional(options, "kernel", lambda value: _path(value, "kernel")),
            initrd=_optional(options, "initrd", lambda value: _path(value, "initrd")),
            cmdline=options.get("cmdline"),
            serial_log=_optional(options, "serial_log", lambda value: _path(value, "serial_log")),
            acpi=options.get("acpi", True),
            apic=options.get("apic", True),
            on_poweroff=_optional(
                options, "on_poweroff", lambda value: _choice(value, LIFECYCLE_ACTIONS, "on_poweroff")
            ),
            on_reboot=_optional(options, "on_reboot", lambda value: _choice(value, LIFECYCLE_ACTIONS, "on_reboot")),
            on_crash=_optional(options, "on_crash", lambda value: _choice(value, CRASH_ACTIONS, "on_crash")),
            autostart=options.get("autostart"),
        )


def parse_name(value: t.Any) -> str:
    """A domain's name, also usable as a file name in /var/log/libvirt/qemu."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InputError(
            f"'{value}' is no domain name: expected letters, digits and _ . + : @ -, beginning with a letter or digit"
        )
    return value


def _uuid(value: str) -> str:
    try:
        return str(uuid_module.UUID(value))
    except ValueError as exc:
        raise InputError(f"uuid: '{value}' is no UUID") from exc


def _one_line(value: str) -> str:
    if "\n" in value:
        raise InputError("title: libvirt allows no line end in it; use description for longer text")
    return value


def _hostdevs(entries: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[PciHostdev, ...]:
    devices: dict[Address, PciHostdev] = {}
    for number, entry in enumerate(entries):
        device = PciHostdev.from_options(entry, f"devices[{number}]")
        if device.address in devices:
            raise InputError(f"devices[{number}]: {device.address} is listed twice")
        devices[device.address] = device
    return tuple(devices[address] for address in sorted(devices))


def _check_memory(memory: int, hugepages: int | None) -> None:
    if hugepages is not None and memory % hugepages:
        below = memory // hugepages * hugepages
        nearest = " or ".join(format_size(size) for size in (below, below + hugepages) if size)
        raise InputError(
            f"memory {format_size(memory)} does not fill whole huge pages of {format_size(hugepages)}: take {nearest}"
        )


def _check_boot(options: t.Mapping[str, t.Any]) -> None:
    for name in ("initrd", "cmdline"):
        if options.get(name) is not None and options.get("kernel") is None:
            raise InputError(f"{name} belongs to a kernel that is booted directly, but no kernel is given")
    if (options.get("cpu_mode") == "custom") != (options.get("cpu_model") is not None):
        raise InputError("cpu_mode: custom and cpu_model belong together")


def _check_boot_orders(bootable: t.Sequence[PciHostdev | Disk]) -> None:
    orders = [entry.boot_order for entry in bootable if entry.boot_order is not None]
    for order in orders:
        if orders.count(order) > 1:
            raise InputError(f"boot_order {order} is given to more than one device")

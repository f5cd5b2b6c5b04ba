# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine as data: from a topology file to QEMU's arguments, without side effects."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from lab import emulator
from lab.errors import LabError
from lab.paths import TOPOLOGIES

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_ADDRESS = re.compile(r"[0-9a-f]{2}(\.[0-7])?")
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")
_SIZE = re.compile(r"([1-9][0-9]*)([MG])")

IOMMUS = ("intel", "none")
WATCHDOG_ACTIONS = ("reset", "poweroff", "none", "pause")

# What a child's address counts on, and whether QEMU wants a chassis number of its own.
_BRIDGES = {
    "pcie-root-port": True,
    "x3130-upstream": False,
    "xio3130-downstream": True,
    "pcie-pci-bridge": False,
    "pxb-pcie": False,
}
_NICS = ("e1000", "e1000e", "igb", "rtl8139", "virtio-net-pci")
_DISKS = ("nvme",)


@dataclass(frozen=True)
class Device:
    """A PCI function, with what sits behind it."""

    id: str
    driver: str
    address: str = ""
    mac: str = ""
    # Size in MiB of the empty disk that it has at first; 0: none.
    drive: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)
    behind: tuple[Device, ...] = ()

    def walk(self) -> Iterator[Device]:
        yield self
        for child in self.behind:
            yield from child.walk()


@dataclass(frozen=True)
class Cpus:
    # What "max" adds and this takes away costs time at every memory access or system call.
    # x2apic: with it, a host on QEMU 10 lost its timer interrupts in one of two boots.
    model: str = "max,la57=off,smap=off,smep=off,pku=off,umip=off,x2apic=off"
    sockets: int = 1
    dies: int = 1
    cores: int = 1
    threads: int = 1

    @property
    def count(self) -> int:
        return self.sockets * self.dies * self.cores * self.threads


@dataclass(frozen=True)
class Node:
    """A NUMA node: its memory in MiB and its CPUs as QEMU counts them."""

    memory: int
    cpus: tuple[int, ...]


@dataclass(frozen=True)
class Watchdog:
    model: str
    address: str
    action: str


@dataclass(frozen=True)
class Topology:
    name: str
    description: str
    memory: int
    cpus: Cpus
    nodes: tuple[Node, ...] = ()
    iommu: str = "intel"
    qemu: str = emulator.OWN
    watchdog: Watchdog | None = None
    bmc: bool = False
    devices: tuple[Device, ...] = ()

    def walk(self) -> Iterator[Device]:
        for device in self.devices:
            yield from device.walk()

    @property
    def drives(self) -> dict[str, int]:
        """The disks beside the root: file name and size in MiB."""
        return {_drive_file(device): device.drive for device in self.walk() if device.drive}


@dataclass(frozen=True)
class Run:
    """What differs from run to run of one topology; the paths may be relative."""

    name: str
    uuid: str
    disk: str
    firmware: str
    variables: str
    console: str
    keyboard: str
    monitor: str
    ssh_port: int
    management_mac: str = "52:54:00:1a:b0:01"
    # Where to record every write to the root disk; empty: nowhere.
    write_log: str = ""


# --- reading -----------------------------------------------------------------------------------


def known() -> list[str]:
    return sorted(path.stem for path in TOPOLOGIES.glob("*.yml"))


def load(name: str, directory: Path = TOPOLOGIES) -> Topology:
    path = directory / f"{name}.yml"
    if not path.is_file():
        raise LabError(f"there is no topology {name!r} ({path})", cause=f"known: {', '.join(known())}")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise LabError(f"topology {name}: {error}") from None
    return parse(name, data)


def parse(name: str, data: object) -> Topology:
    """Check and read a topology; everything that is wrong is named."""
    top = _mapping(
        name, data, ("description", "memory", "cpus", "nodes", "iommu", "qemu", "watchdog", "bmc", "devices")
    )
    for key in ("description", "memory", "cpus"):
        if key not in top:
            raise LabError(f"topology {name}: {key} is missing")
    cpus = _cpus(f"{name}: cpus", top["cpus"])
    memory = _memory(f"{name}: memory", top["memory"])
    nodes = tuple(
        _node(f"{name}: nodes[{index}]", item)
        for index, item in enumerate(_list(f"{name}: nodes", top.get("nodes", [])))
    )
    if nodes:
        _check_nodes(name, nodes, memory, cpus)
    devices = _devices(f"{name}: devices", top.get("devices", []))
    topology = Topology(
        name=name,
        description=str(top["description"]),
        memory=memory,
        cpus=cpus,
        nodes=nodes,
        iommu=_one_of(f"{name}: iommu", top.get("iommu", "intel"), IOMMUS),
        qemu=_one_of(f"{name}: qemu", top.get("qemu", emulator.OWN), emulator.CHOICES),
        watchdog=_watchdog(f"{name}: watchdog", top["watchdog"]) if "watchdog" in top else None,
        bmc=_flag(f"{name}: bmc", top.get("bmc", False)),
        devices=devices,
    )
    for what, found in (
        ("id", [device.id for device in topology.walk()]),
        ("mac", [device.mac for device in topology.walk() if device.mac]),
    ):
        twice = sorted({item for item in found if found.count(item) > 1})
        if twice:
            raise LabError(f"topology {name}: {what} used twice: {', '.join(twice)}")
    return topology


def _mapping(where: str, data: object, keys: Sequence[str]) -> Mapping[str, object]:
    if not isinstance(data, dict):
        raise LabError(f"topology {where}: must be a mapping")
    unknown = sorted(str(key) for key in data if key not in keys)
    if unknown:
        raise LabError(
            f"topology {where}: unknown key: {', '.join(unknown)}",
            cause=f"known here: {', '.join(keys)}",
        )
    return data


def _list(where: str, data: object) -> list[object]:
    if not isinstance(data, list):
        raise LabError(f"topology {where}: must be a list")
    return data


def _one_of(where: str, value: object, choices: Sequence[str]) -> str:
    if value not in choices:
        raise LabError(f"topology {where}: {value!r} is none of {', '.join(choices)}")
    return str(value)


def _count(where: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise LabError(f"topology {where}: {value!r} is not a number from 1")
    return value


def _memory(where: str, value: object) -> int:
    found = _SIZE.fullmatch(str(value))
    if found is None:
        raise LabError(f"topology {where}: {value!r} is not a size", cause="write 512M or 4G")
    return int(found[1]) * (1024 if found[2] == "G" else 1)


def _matching(where: str, value: object, pattern: re.Pattern[str], example: str) -> str:
    # YAML reads an unquoted 03 as a number: refuse what would silently be another address.
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise LabError(f"topology {where}: {value!r} is not valid", cause=f"write {example}")
    return value


def _cpus(where: str, data: object) -> Cpus:
    given = _mapping(where, data, ("model", "sockets", "dies", "cores", "threads"))
    shape = {key: _count(f"{where}.{key}", given.get(key, 1)) for key in ("sockets", "dies", "cores", "threads")}
    return Cpus(model=str(given.get("model", Cpus.model)), **shape)


def _node(where: str, data: object) -> Node:
    given = _mapping(where, data, ("memory", "cpus"))
    members = _list(f"{where}.cpus", given.get("cpus", []))
    cpus = []
    for member in members:
        if not isinstance(member, int) or isinstance(member, bool) or member < 0:
            raise LabError(f"topology {where}.cpus: {member!r} is not a CPU number")
        cpus.append(member)
    return Node(memory=_memory(f"{where}.memory", given.get("memory")), cpus=tuple(cpus))


def _check_nodes(name: str, nodes: Sequence[Node], memory: int, cpus: Cpus) -> None:
    if sum(node.memory for node in nodes) != memory:
        raise LabError(f"topology {name}: the nodes' memory does not add up to memory")
    members = sorted(cpu for node in nodes for cpu in node.cpus)
    if members != list(range(cpus.count)):
        raise LabError(f"topology {name}: the nodes must hold each of CPUs 0-{cpus.count - 1} once")


def _flag(where: str, data: object) -> bool:
    if not isinstance(data, bool):
        raise LabError(f"topology {where}: must be true or false")
    return data


def _watchdog(where: str, data: object) -> Watchdog:
    given = _mapping(where, data, ("model", "address", "action"))
    return Watchdog(
        model=_one_of(f"{where}.model", given.get("model", "i6300esb"), ("i6300esb",)),
        address=_matching(f"{where}.address", given.get("address"), _ADDRESS, '"1e"'),
        action=_one_of(f"{where}.action", given.get("action", "reset"), WATCHDOG_ACTIONS),
    )


def _devices(where: str, data: object) -> tuple[Device, ...]:
    return tuple(_device(f"{where}[{index}]", item) for index, item in enumerate(_list(where, data)))


def _device(where: str, data: object) -> Device:
    given = _mapping(where, data, ("id", "driver", "address", "mac", "drive", "properties", "behind"))
    driver = given.get("driver")
    if not isinstance(driver, str) or not driver:
        raise LabError(f"topology {where}: driver is missing")
    device_id = _matching(f"{where}.id", given.get("id"), _IDENTIFIER, "a name such as nic_a")
    if "behind" in given and driver not in _BRIDGES:
        raise LabError(
            f"topology {where}: nothing can sit behind {driver}",
            cause=f"bridges are: {', '.join(_BRIDGES)}",
        )
    if ("mac" in given) != (driver in _NICS):
        problem = "needs a mac" if driver in _NICS else "has no mac"
        raise LabError(f"topology {where}: {driver} {problem}")
    if "drive" in given and driver not in _DISKS:
        raise LabError(f"topology {where}: {driver} has no drive", cause=f"disks are: {', '.join(_DISKS)}")
    properties = given.get("properties", {})
    if not isinstance(properties, dict):
        raise LabError(f"topology {where}.properties: must be a mapping")
    return Device(
        id=device_id,
        driver=driver,
        address=_matching(f"{where}.address", given["address"], _ADDRESS, '"03" or "03.1"')
        if "address" in given
        else "",
        mac=_matching(f"{where}.mac", given["mac"], _MAC, "52:54:00:aa:00:10") if "mac" in given else "",
        drive=_memory(f"{where}.drive", given["drive"]) if "drive" in given else 0,
        properties={str(key): _property(value) for key, value in properties.items()},
        behind=_devices(f"{where}.behind", given.get("behind", [])),
    )


def _property(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


# --- QEMU's arguments --------------------------------------------------------------------------


def arguments(topology: Topology, run: Run) -> list[str]:
    """Give everything after the name of the program."""
    return [
        *("-name", run.name),
        *("-uuid", run.uuid),
        "-nodefaults",
        *("-display", "none"),
        *("-machine", "q35,kernel-irqchip=split"),
        *("-accel", "tcg,thread=multi"),
        *("-cpu", topology.cpus.model),
        *_shape(topology),
        *_iommu(topology),
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={_escape(run.firmware)}"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={_escape(run.variables)}"),
        *("-chardev", _console(run)),
        *("-serial", "chardev:console"),
        *("-qmp", f"unix:{_escape(run.monitor)},server=on,wait=off"),
        *_own_devices(run),
        *_watchdog_arguments(topology),
        *_pci_devices(topology),
    ]


def _console(run: Run) -> str:
    # Who connects can type; what the host says is logged in any case.
    log = f"logfile={_escape(run.console)},logappend=on"
    return f"socket,id=console,path={_escape(run.keyboard)},server=on,wait=off,{log}"


def _escape(path: str) -> str:
    return path.replace(",", ",,")


def _drive_file(device: Device) -> str:
    return f"{device.id}.raw"


def _shape(topology: Topology) -> list[str]:
    cpus = topology.cpus
    result = [
        "-smp",
        f"{cpus.count},sockets={cpus.sockets},dies={cpus.dies},cores={cpus.cores},threads={cpus.threads}",
        "-m",
        f"{topology.memory}M",
    ]
    for index, node in enumerate(topology.nodes):
        members = "".join(f",cpus={cpu}" for cpu in node.cpus)
        result += ["-object", f"memory-backend-ram,id=memory{index},size={node.memory}M"]
        result += ["-numa", f"node,nodeid={index},memdev=memory{index}{members}"]
    return result


def _iommu(topology: Topology) -> list[str]:
    if topology.iommu == "none":
        return []
    # Without caching-mode the host's own vfio refuses to map anything.
    return ["-device", "intel-iommu,intremap=on,caching-mode=on"]


def _own_devices(run: Run) -> list[str]:
    # What a host lives on. The addresses leave 01 to 0f and from 12 to the topology.
    return [
        "-drive",
        f"if=none,id=root,discard=unmap,{_root_drive(run)}",
        "-device",
        "virtio-blk-pci,id=disk,drive=root,bus=pcie.0,addr=10,bootindex=0",
        "-netdev",
        f"user,id=management,ipv6=off,hostfwd=tcp:127.0.0.1:{run.ssh_port}-:22",
        "-device",
        f"virtio-net-pci,id=management_nic,netdev=management,bus=pcie.0,addr=11,mac={run.management_mac},romfile=",
    ]


def _root_drive(run: Run) -> str:
    disk = _escape(run.disk)
    if not run.write_log:
        return f"file={disk},format=qcow2"
    return (
        f"driver=blklogwrites,file.driver=qcow2,file.file.driver=file,file.file.filename={disk},"
        f"log.driver=file,log.filename={_escape(run.write_log)}"
    )


def _watchdog_arguments(topology: Topology) -> list[str]:
    watchdog = topology.watchdog
    controller = ["-device", "ipmi-bmc-sim,id=bmc", "-device", "isa-ipmi-kcs,bmc=bmc"] if topology.bmc else []
    if watchdog is None:
        return controller
    device = f"{watchdog.model},id=watchdog,bus=pcie.0,addr={watchdog.address}"
    return [*controller, "-device", device, "-action", f"watchdog={watchdog.action}"]


def _pci_devices(topology: Topology) -> list[str]:
    result: list[str] = []
    chassis = 0
    hub = 0

    def place(device: Device, bus: str) -> None:
        nonlocal chassis, hub
        options = [device.driver, f"id={device.id}", f"bus={bus}"]
        if device.address:
            options.append(f"addr={device.address}")
        if _BRIDGES.get(device.driver, False):
            chassis += 1
            options += [f"chassis={chassis}", f"slot={chassis}"]
        if device.mac:
            # A hub with one port: the link is up and leads nowhere.
            result.extend(("-netdev", f"hubport,id={device.id}_net,hubid={hub}"))
            hub += 1
            # The option ROM would only make the firmware try to boot from this card.
            options += [f"netdev={device.id}_net", f"mac={device.mac}", "romfile="]
        if device.drive:
            drive = f"{device.id}_drive"
            result.extend(("-drive", f"if=none,id={drive},file={_drive_file(device)},format=raw"))
            options.append(f"drive={drive}")
        options += [f"{key}={value}" for key, value in device.properties.items()]
        result.extend(("-device", ",".join(options)))
        for child in device.behind:
            place(child, device.id)

    for device in topology.devices:
        place(device, "pcie.0")
    return result

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts of random shape, with what they need of each function known from how they were built.

Nothing here looks at a tree again: every layer is told what is below it when it is made, and hands that on.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from hypothesis import strategies as st

from tests.unit.plugins.host_tree import HostTree

BOOT_POINTS = ("/", "/usr", "/boot", "/boot/efi", "/efi", "/boot/firmware")
OTHER_POINTS = ("/srv", "/var", "/home", "/opt")
ROOT_PORT = "0000:00:1c.0"
ALL_THE_KEYBOARD = "3 fffffffffffffffe"


@dataclasses.dataclass(frozen=True)
class Block:
    """A block device; ``below`` are the functions that carry it."""

    name: str
    number: str
    directory: Path
    below: frozenset[str]
    remote: bool = False


@dataclasses.dataclass(frozen=True)
class Interface:
    """A network interface; ``lowest`` are the names of those at the bottom of it."""

    name: str
    directory: Path
    lowest: frozenset[str]
    tunnel: bool = False


class RandomHost:
    """Builds one host into ``tree``. ``needs`` maps a function to the keys that would release it, ``None`` for what
    no key releases."""

    def __init__(self, tree: HostTree, data: st.DataObject) -> None:
        self._tree = tree
        self._data = data
        self._count = itertools.count(1)
        self.needs: dict[str, set[str | None]] = defaultdict(set)
        self.groups: dict[str, int] = {}
        self.drivers: dict[str, str | None] = {}
        self.displays: list[str] = []
        self.physical: dict[str, str] = {}
        # A server that offers a disk, and the functions on the way to it.
        self.iscsi: tuple[str, frozenset[str]] | None = None
        tree.function(ROOT_PORT, "8086:a110", "060400", bridge=True)
        _Network(self).build()
        _Storage(self).build()
        self._console()
        self._guests()

    def any_of(self, choices: Sequence[str]) -> str:
        return self._data.draw(st.sampled_from(choices))

    def chance(self) -> bool:
        return self._data.draw(st.booleans())

    def number(self, low: int, high: int) -> int:
        return self._data.draw(st.integers(low, high))

    def some(self, choices: Sequence[str], low: int = 0, high: int | None = None) -> list[str]:
        """Different ones of ``choices``."""
        strategy = st.lists(st.sampled_from(choices), min_size=low, max_size=high, unique=True)
        return self._data.draw(strategy) if choices else []

    def next(self) -> int:
        return next(self._count)

    @property
    def tree(self) -> HostTree:
        return self._tree

    def function(self, class_code: str, driver: str | None = None) -> tuple[str, Path]:
        number = self.next()
        address = f"0000:{number:02x}:00.0"
        # Neighbours often share an IOMMU group.
        group = self.groups[list(self.groups)[-1]] if self.groups and self.number(0, 4) == 0 else number
        self.groups[address] = group
        self.drivers[address] = driver
        under = ROOT_PORT if self.chance() else ""
        return address, self._tree.function(address, "8086:10d3", class_code, under=under, driver=driver, group=group)

    def mates(self, address: str) -> set[str]:
        return {other for other, group in self.groups.items() if group == self.groups[address]} - {address}

    def require(self, functions: Iterable[str], key: str | None) -> None:
        for function in functions:
            self.needs[function].add(key)

    def kept_displays(self, leaving: set[str]) -> set[str]:
        return {address for address in self.displays if self.drivers[address] != "vfio-pci"} - leaving

    def _console(self) -> None:
        boot_vga = self.number(0, 2)
        for number in range(self.number(0, 3)):
            driver = "vfio-pci" if self.chance() else None
            address, made = self.function("030000", driver)
            (made / "boot_vga").write_text("1\n" if number == boot_vga else "0\n")
            self.displays.append(address)
            if number == boot_vga:
                self.require([address], "boot_vga")
        kept = self.kept_displays(set())
        if len(kept) == 1:
            self.require(kept, "last_display")
        keyboards = set()
        for _number in range(self.number(0, 3)):
            address, made = self.function("0c0330")
            name = f"input{self.next()}"
            types = self.chance()
            self._input(made / "usb1/1-1/1-1:1.0/input" / name, ALL_THE_KEYBOARD if types else "1f0000 0 0 0 0")
            keyboards |= {address} if types else set()
        if self.chance():
            self._input(self._tree.base / "sys/devices/platform/i8042/serio0/input/input0", ALL_THE_KEYBOARD)
        elif len(keyboards) == 1:
            self.require(keyboards, "only_keyboard")
        if self.chance():
            address, made = self.function("070002")
            (made / "tty/ttyS4").mkdir(parents=True)
            self._tree.link("/sys/class/tty/ttyS4", made / "tty/ttyS4")
            self._tree.write("/sys/class/tty/console/active", "tty0 ttyS4\n")
            self.require([address], "serial_console")

    def _input(self, directory: Path, keys: str) -> None:
        (directory / "capabilities").mkdir(parents=True)
        (directory / "capabilities/key").write_text(f"{keys}\n")
        self._tree.link(f"/sys/class/input/{directory.name}", directory)

    def _guests(self) -> None:
        if self.chance():
            self.function("020000", "vfio-pci")
        for number, group in enumerate(sorted(set(self.groups.values()))):
            if self.number(0, 5) == 0:
                self._tree.write(f"/dev/vfio/{group}", "")
                self._tree.process(1000 + number, "qemu-kvm", files=["socket:[1]", f"/dev/vfio/{group}"])
                members = {address for address, mine in self.groups.items() if mine == group}
                # A VF goes with its PF.
                members |= {self.physical[address] for address in members & self.physical.keys()}
                self.require((address for address in members if self.drivers[address] != "vfio-pci"), "in_use")


class _Network:
    def __init__(self, host: RandomHost) -> None:
        self._host = host
        self._functions: dict[str, frozenset[str]] = {}
        self._made: dict[str, Interface] = {}
        self._free: list[str] = []
        self._configured: set[str] = set()

    def build(self) -> None:
        for _number in range(self._host.number(0, 3)):
            self._card()
        for _number in range(self._host.number(0, 4)):
            getattr(self, self._host.any_of(["_bond", "_bridge", "_vlan", "_tunnel"]))()
        if self._host.chance():
            self._switch()
        self._addresses()

    def _card(self) -> None:
        address, made = self._host.function("020000")
        needed = {address}
        physical = [other for functions in self._functions.values() for other in functions if len(functions) == 1]
        if physical and self._host.chance():
            parent = self._host.any_of(sorted(physical))
            link = Path(os.path.realpath(self._host.tree.base / "sys/bus/pci/devices" / parent))
            (made / "physfn").symlink_to(os.path.relpath(link, made))
            needed.add(parent)
            self._host.physical[address] = parent
        self._functions[f"eth{address[5:7]}"] = frozenset(needed)
        self._interface(f"eth{address[5:7]}", made)

    def _interface(
        self, name: str, device: Path | None, lowers: Sequence[str] = (), kind: str = "", tunnel: bool = False
    ) -> None:
        directory = self._host.tree.interface(name, device)
        (directory / "uevent").write_text(f"INTERFACE={name}\n" + (f"DEVTYPE={kind}\n" if kind else ""))
        lowest = frozenset(low for lower in lowers for low in self._made[lower].lowest) or frozenset({name})
        self._made[name] = Interface(name, directory, lowest, tunnel)
        self._free.append(name)
        self._host.tree.build_interface(directory, *(self._made[lower].directory for lower in lowers))
        self._configured.update(lowers)

    def _enslave(self, kind: str) -> None:
        lowers = self._host.some([name for name in self._free if not self._made[name].tunnel], 1, 3)
        if lowers:
            self._interface(f"{kind}{self._host.next()}", None, lowers, kind)
            self._free = [name for name in self._free if name not in lowers]

    def _bond(self) -> None:
        self._enslave("bond")

    def _bridge(self) -> None:
        self._enslave("bridge")

    def _vlan(self) -> None:
        lowers = self._host.some([name for name in self._free if not self._made[name].tunnel], 1, 1)
        if lowers:
            # Its interface can have addresses and further VLANs as well.
            self._interface(f"vlan{self._host.next()}", None, lowers, "vlan")

    def _tunnel(self) -> None:
        self._interface(f"wg{self._host.next()}", None, (), "wireguard", tunnel=True)

    def _switch(self) -> None:
        """Open vSwitch: its datapath has the ports, and nothing leads from an internal port to it."""
        ports = self._host.some([name for name in self._free if not self._made[name].tunnel], 1, 3)
        if not ports:
            return
        self._interface("ovs-system", None, ports)
        self._free = [name for name in self._free if name not in (*ports, "ovs-system")]
        self._interface("sw0", None)
        self._made["sw0"] = dataclasses.replace(self._made["sw0"], lowest=self._made["ovs-system"].lowest)

    def _addresses(self) -> None:
        lines, ipv6 = [], []
        connected: dict[str, int] = {}
        for number, name in enumerate(self._free):
            kind = self._host.any_of(["none", "ipv4", "ipv6"])
            if kind == "ipv4":
                connected[name] = number
                # 10.NUMBER.0.0/16 as little-endian words.
                lines.append(f"{name}\t0000{number:02X}0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n")
            elif kind == "ipv6":
                ipv6.append(f"20010db8{number:024x} {number:02x} 40 00 80 {name}\n")
            if kind != "none":
                self._configured.add(name)
        default = self._host.any_of(sorted(connected)) if connected and self._host.chance() else None
        if default is not None:
            lines.append(f"{default}\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")
        header = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        self._host.tree.write("/proc/net/route", header + "".join(lines))
        self._host.tree.write("/proc/net/if_inet6", "".join(ipv6))
        self._need(self._ways(connected, default))
        if connected:
            way = self._host.any_of(sorted(connected))
            ways = self._carrying(way, default)
            self._host.iscsi = f"10.{connected[way]}.0.99", self._functions_below(ways)

    def _ways(self, connected: dict[str, int], default: str | None) -> set[str]:
        """Chooses where the controller is, and tells which interfaces lead there."""
        where = self._host.any_of(["unknown", "far", *sorted(connected)])
        if where == "unknown":
            return self._carrying(default, default) if default is not None else set()
        peer = f"10.{connected[where]}.0.7" if where in connected else "198.51.100.7"
        self._host.tree.process(700, "sshd-session", files=["socket:[4242]"])
        self._host.tree.write("/proc/net/tcp", _tcp(peer))
        if where in connected:
            return self._carrying(where, default)
        return self._carrying(default, default) if default is not None else set(self._configured)

    def _carrying(self, way: str, default: str | None) -> set[str]:
        """The way and, where it is a tunnel, what may carry it."""
        if not self._made[way].tunnel:
            return {way}
        return {way, default} if default is not None and not self._made[default].tunnel else {way, *self._configured}

    def _functions_below(self, names: Iterable[str]) -> frozenset[str]:
        lowest = {low for name in names for low in self._made[name].lowest}
        return frozenset(function for low in lowest for function in self._functions.get(low, ()))

    def _need(self, ways: set[str]) -> None:
        managed = {low for name in ways for low in self._made[name].lowest}
        configured = {low for name in self._configured for low in self._made[name].lowest} - managed
        for lowest, key in ((managed, "management_nic"), (configured, "configured_nic")):
            for low in lowest:
                self._host.require(self._functions.get(low, ()), key)


def _tcp(peer: str) -> str:
    """A listening SSH server and one session of it."""
    words = "".join(f"{int(part):02X}" for part in reversed(peer.split(".")))
    lines = [
        "  sl  local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode",
        "   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4000 1 0",
        f"   1: 0101A8C0:0016 {words}:D431 01 00000000:00000000 02:00000000 00000000 0 0 4242 4 0",
    ]
    return "\n".join(lines) + "\n"


class _Storage:
    def __init__(self, host: RandomHost) -> None:
        self._host = host
        self._free: dict[str, Block] = {}
        # Below any other root, as the kernel starts.
        self._mounts: list[str] = ["1 1 0:2 / / rw - rootfs rootfs rw\n"]
        self._swaps: list[str] = []
        self._points = [*BOOT_POINTS, *OTHER_POINTS]

    def build(self) -> None:
        for _number in range(self._host.number(1, 3)):
            address, made = self._host.function("010802")
            for _disk in range(self._host.number(0, 2)):
                self._new("sd", made, {address})
        if self._host.iscsi is not None and self._host.chance():
            server, _functions = self._host.iscsi
            session = self._host.tree.base / "sys/devices/platform/host9/session1/target9:0:0/9:0:0:1"
            self._host.tree.write("/sys/class/iscsi_connection/connection1:0/persistent_address", f"{server}\n")
            self._new("sd", session, set(), remote=True)
        for _number in range(self._host.number(0, 6)):
            kinds = ["_partitions", "_stack", "_stack", "_volumes", "_btrfs", "_zfs", "_bcache_set"]
            getattr(self, self._host.any_of(kinds))()
        for block in list(self._free.values()):
            kind = self._host.any_of(["none", "none", "mount", "swap"])
            if kind == "mount":
                self._mount(block.number, f"/dev/{block.name}", "ext4", [block])
            elif kind == "swap":
                self._swaps.append(f"/dev/{block.name} partition 1 0 -2\n")
                self._host.require(block.below, "storage")
        self._host.tree.write("/proc/self/mountinfo", "".join(self._mounts))
        self._host.tree.write("/proc/swaps", "Filename Type Size Used Priority\n" + "".join(self._swaps))

    def _new(self, kind: str, device: Path | None, below: Iterable[str], remote: bool = False) -> Block:
        number = self._host.next()
        directory = self._host.tree.disk(f"{kind}{number}", f"8:{number}", device)
        block = Block(directory.name, f"8:{number}", directory, frozenset(below), remote)
        self._free[block.name] = block
        return block

    def _take(self, low: int, high: int) -> list[Block]:
        names = self._host.some(sorted(self._free), low, high) if len(self._free) >= low else []
        return [self._free.pop(name) for name in names]

    def _partitions(self) -> None:
        for whole in self._take(1, 1):
            if (whole.directory / "partition").exists():
                continue
            for part in range(self._host.number(1, 2)):
                number = f"259:{self._host.next()}"
                directory = self._host.tree.partition(whole.directory, f"{whole.name}p{part}", number)
                block = dataclasses.replace(whole, name=directory.name, number=number, directory=directory)
                self._free[block.name] = block

    def _build(self, kind: str, lowers: Sequence[Block]) -> Block:
        below = {function for lower in lowers for function in lower.below}
        upper = self._new(kind, None, below, any(lower.remote for lower in lowers))
        self._host.tree.build_block(upper.directory, *(lower.directory for lower in lowers))
        self._host.require(below, "storage")
        return upper

    def _stack(self) -> None:
        """An array, an encrypted device, a multipath device or a cached one."""
        lowers = self._take(1, 3)
        if lowers:
            self._build(self._host.any_of(["md", "dm-", "bcache"]), lowers)

    def _volumes(self) -> None:
        lowers = self._take(1, 3)
        for _number in range(2 if lowers else 0):
            self._build("dm-", lowers)

    def _bcache_set(self) -> None:
        for block in self._take(1, 1):
            if block.name.startswith("bcache"):
                continue
            (block.directory / "bcache").mkdir()
            self._host.require(block.below, "storage")

    def _btrfs(self) -> None:
        blocks = self._take(1, 3)
        if not blocks:
            return
        for block in blocks:
            self._host.tree.link(f"/sys/fs/btrfs/{blocks[0].name}/devices/{block.name}", block.directory)
        self._mount(f"0:{self._host.next()}", f"/dev/{blocks[-1].name}", "btrfs", blocks)

    def _zfs(self) -> None:
        blocks = self._take(1, 3)
        pool = f"pool{self._host.next()}"
        for block in blocks:
            self._host.tree.udev(block.number, ID_FS_TYPE="zfs_member", ID_FS_LABEL=pool)
        if not blocks or self._host.chance():
            return
        self._host.tree.write(f"/proc/spl/kstat/zfs/{pool}/state", "ONLINE\n")
        self._host.require((function for block in blocks for function in block.below), "storage")
        if self._host.chance():
            self._mount(f"0:{self._host.next()}", f"{pool}/data", "zfs", blocks)

    def _mount(self, number: str, source: str, kind: str, blocks: Sequence[Block]) -> None:
        point = self._points.pop(self._host.number(0, len(self._points) - 1)) if self._points else "/mnt/another"
        self._mounts.append(f"20 1 {number} / {point} rw - {kind} {source} rw\n")
        key = None if point in BOOT_POINTS else "storage"
        self._host.require((function for block in blocks for function in block.below), key)
        if key is None and self._host.iscsi is not None and any(block.remote for block in blocks):
            self._host.require(self._host.iscsi[1], None)

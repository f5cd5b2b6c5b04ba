# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A kernel in which one network card makes VFs, as drivers/pci/iov.c does, and iproute2 on top of it.

``sriov_numvfs`` changes only from and to zero (EBUSY), not beyond the total (ERANGE) and not without a driver (ENOENT);
a VF without ``driver_override`` gets a driver only while ``sriov_drivers_autoprobe`` is on.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from tests.unit.plugins.config_spaces import ENDPOINT, EXT_CAP_SRIOV, config_space, pcie
from tests.unit.plugins.fake_kernel import FakeKernel

if TYPE_CHECKING:
    from collections.abc import Sequence

PF = "0000:01:00.0"
PORT = "ens1f0"
VF_IDS = "8086:10ca"
OFFSET, STRIDE = 0x80, 2


def sriov_capability(offset: int, stride: int, device_id: int, total: int = 7) -> tuple[int, bytes]:
    body = bytearray(60)
    struct.pack_into("<HH", body, 0x0C - 4, total, total)
    struct.pack_into("<HH", body, 0x14 - 4, offset, stride)
    struct.pack_into("<H", body, 0x1A - 4, device_id)
    return EXT_CAP_SRIOV, bytes(body)


class FakeSriov(FakeKernel):
    """An igb card at :data:`PF`. ``granted`` is how many VFs its driver makes at most; ``ignored`` names what it takes
    and does not do, ``unsupported`` what it refuses, in the words of ``ip``."""

    def __init__(self, base: Path, *, total: int = 7, offset: int = OFFSET, stride: int = STRIDE) -> None:
        super().__init__(base)
        self.granted = total
        self.ignored: set[str] = set()
        self.unsupported: set[str] = set()
        self.eswitch: str | None = None
        self._layout = (offset, stride)
        self._vfs: list[dict[str, Any]] = []
        self.pf = self.device(PF, "igb", ids="8086:10c9", subsystem="8086:a03c", group=1)
        capability = sriov_capability(offset, stride, 0x10CA, total)
        (self.pf / "config").write_bytes(config_space([pcie(ENDPOINT)], [capability]))
        (self.pf / "sriov_totalvfs").write_text(f"{total}\n")
        (self.pf / "sriov_numvfs").write_text("0\n")
        (self.pf / "sriov_drivers_autoprobe").write_text("1\n")
        self.interface(PORT, self.pf)
        self.load("igbvf")
        self.write("/sbin/ip", "")

    @property
    def numvfs(self) -> int:
        return int((self.pf / "sriov_numvfs").read_text())

    @property
    def autoprobe(self) -> bool:
        return (self.pf / "sriov_drivers_autoprobe").read_text() == "1\n"

    def vf(self, index: int) -> dict[str, Any]:
        """The settings of a VF as ``ip`` prints them."""
        return self._vfs[index]

    def vf_address(self, index: int) -> str:
        return (self.pf / f"virtfn{index}").readlink().name

    def attribute(self, path: str, value: str) -> None:
        name = Path(path).name
        if name not in ("sriov_numvfs", "sriov_drivers_autoprobe"):
            super().attribute(path, value)
            return
        self.writes.append((path, value))
        for end, number in self.fail.items():
            if f"{name}={value}".endswith(end):
                raise OSError(number, os.strerror(number))
        if name == "sriov_drivers_autoprobe":
            (self.pf / name).write_text(f"{int(value)}\n")
            return
        self._set_numvfs(int(value))

    def run(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        if argv[0] == "/sbin/devlink":
            return self._devlink(argv)
        if argv[0] != "/sbin/ip":
            return super().run(argv, cwd)
        self.commands.append(tuple(argv))
        if "show" in argv:
            link: dict[str, Any] = {"ifindex": 2, "ifname": PORT}
            if self._vfs:
                link["vfinfo_list"] = self._vfs
            return CommandResult(tuple(argv), 0, json.dumps([{"ifname": "lo"}, link]), "")
        assert argv[1:7] == ["link", "set", "dev", PORT, "vf", argv[6]]
        pairs = {argv[place]: argv[place + 1] for place in range(7, len(argv), 2)}
        if self.unsupported & set(pairs):
            return CommandResult(tuple(argv), 2, "", "RTNETLINK answers: Operation not supported\n")
        vf = self._vfs[int(argv[6])]
        for word in set(pairs) - self.ignored:
            _set(vf, word, pairs[word])
        return CommandResult(tuple(argv), 0, "", "")

    def _devlink(self, argv: Sequence[str]) -> CommandResult:
        self.commands.append(tuple(argv))
        if self.eswitch is None:
            return CommandResult(tuple(argv), 1, "", "kernel answers: Operation not supported\n")
        if "show" in argv:
            text = json.dumps({"dev": {f"pci/{PF}": {"mode": self.eswitch, "inline-mode": "none"}}})
            return CommandResult(tuple(argv), 0, text, "")
        self.eswitch = argv[-1]
        return CommandResult(tuple(argv), 0, "", "")

    def _set_numvfs(self, number: int) -> None:
        present = self.numvfs
        if number > int((self.pf / "sriov_totalvfs").read_text()):
            raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
        if number == present:
            return
        if self.driver(PF) is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        if number and present:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        for index in range(present):
            self._remove_vf(index)
        self._vfs = []
        made = min(number, self.granted)
        for index in range(made):
            self._make_vf(index)
        (self.pf / "sriov_numvfs").write_text(f"{made}\n")

    def _make_vf(self, index: int) -> None:
        offset, stride = self._layout
        number = 0x100 + offset + stride * index
        address = f"0000:{number >> 8:02x}:{number >> 3 & 31:02x}.{number & 7}"
        self._loaded.discard("igbvf")
        directory = self.device(address, "igbvf" if self.autoprobe else None, ids=VF_IDS, group=100 + index)
        self._loaded.add("igbvf")
        self.natives[address] = "igbvf"
        (directory / "physfn").symlink_to(f"../{PF}")
        (self.pf / f"virtfn{index}").symlink_to(f"../{address}")
        self._vfs.append(
            {
                "vf": index,
                "link_type": "ether",
                "address": "00:00:00:00:00:00",
                "vlan_list": [{}],
                "rate": {"max_tx": 0, "min_tx": 0},
                "spoofchk": True,
                "link_state": "auto",
                "trust": False,
            }
        )

    def _remove_vf(self, index: int) -> None:
        address = self.vf_address(index)
        directory = self._directory(address)
        (self.base / f"sys/bus/pci/devices/{address}").unlink()
        shutil.rmtree(directory)
        (self.pf / f"virtfn{index}").unlink()
        shutil.rmtree(self.base / f"sys/kernel/iommu_groups/{100 + index}")
        self.natives.pop(address)

    def _attach(self, address: str) -> None:
        is_vf = (self._directory(address) / "physfn").is_symlink()
        if is_vf and not self.autoprobe and self.override(address) is None:
            return
        super()._attach(address)


def _set(vf: dict[str, Any], word: str, value: str) -> None:
    if word == "mac":
        vf["address"] = value
    elif word in ("vlan", "qos"):
        vf["vlan_list"][0][word] = int(value)
    elif word == "state":
        vf["link_state"] = value
    else:
        vf[word] = value == "on"

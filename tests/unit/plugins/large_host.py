# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with thousands of PCI functions: network cards with all the VFs that they have, each in its own group."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from tests.unit.plugins.config_spaces import (
    CAP_MSI_X,
    CAP_POWER_MANAGEMENT,
    ENDPOINT,
    EXT_CAP_AER,
    EXT_CAP_SRIOV,
    ROOT_PORT,
    acs,
    config_space,
    pcie,
    serial,
)

FUNCTIONS_PER_CARD = 256
VFS = FUNCTIONS_PER_CARD - 2
RELEASE = "6.12.48-amd64"

_RESOURCE_LINES = 13
_REGION = "0x0000380000000000 0x00003800000fffff 0x000000000014220c\n"
_EMPTY_REGION = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
_AER = EXT_CAP_AER, bytes(68)
_MSI_X = CAP_MSI_X, bytes(10)

_PORT = config_space([pcie(ROOT_PORT), (CAP_POWER_MANAGEMENT, bytes(6))], [_AER, acs(0x5F, 0x1D)], header_type=1)
_PF = config_space(
    [(CAP_POWER_MANAGEMENT, bytes(6)), _MSI_X, pcie(ENDPOINT)],
    [_AER, serial("525400fffeaa0010"), (EXT_CAP_SRIOV, bytes(60)), acs(0, 0)],
    header_type=0x80,
)
_VF = config_space([_MSI_X, pcie(ENDPOINT)], [_AER, acs(0, 0)])
# One interface for so many VFs; the others are with vfio-pci.
_VFS_PER_INTERFACE = 8


def build_large_host(base: Path, functions: int) -> Root:
    """``functions`` must be a multiple of 256: a root port, a PF and 254 VFs at a time, a group for each."""
    cards, rest = divmod(functions, FUNCTIONS_PER_CARD)
    if rest or not 0 < cards < 0xF0:
        raise ValueError(f"{functions} functions: expected a multiple of {FUNCTIONS_PER_CARD} below 61440")
    host = _Builder(base)
    for bus in range(1, cards + 1):
        host.card(bus)
    host.surroundings()
    return Root(str(base))


class _Builder:
    def __init__(self, base: Path) -> None:
        self._base = base
        self._groups = 0
        for name in ("bus/pci/devices", "class/net", "class/iommu/dmar0", "firmware/acpi/tables"):
            (base / "sys" / name).mkdir(parents=True)
        for driver in ("pcieport", "ice", "iavf", "vfio-pci"):
            (base / "sys/bus/pci/drivers" / driver).mkdir(parents=True)

    def surroundings(self) -> None:
        for path, text in {
            "proc/cmdline": "root=/dev/sda1 intel_iommu=on\n",
            "proc/cpuinfo": "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu vmx\n",
            "proc/interrupts": "  0:  12  IR-IO-APIC  2-edge  timer\n",
            "proc/sys/kernel/osrelease": RELEASE + "\n",
            "sys/firmware/acpi/tables/DMAR": "",
            f"lib/modules/{RELEASE}/modules.alias": _modules_alias(),
        }.items():
            (self._base / path).parent.mkdir(parents=True, exist_ok=True)
            (self._base / path).write_text(text)

    def card(self, bus: int) -> None:
        port = f"0000:00:{(bus - 1) // 8 + 1:02x}.{(bus - 1) % 8}"
        self._function(port, "", "8086:352A", "60400", _PORT, "pcieport")
        card = f"0000:{bus:02x}:00.0"
        directory = self._function(card, port, "8086:1592", "20000", _PF, "ice")
        _write(f"{directory}/sriov_totalvfs", f"{VFS}\n")
        _write(f"{directory}/sriov_numvfs", f"{VFS}\n")
        self._interface(f"ens{bus}", directory, bus << 8)
        for number in range(1, VFS + 1):
            with_interface = number % _VFS_PER_INTERFACE == 0
            address = f"0000:{bus:02x}:{number >> 3:02x}.{number & 7}"
            driver = "iavf" if with_interface else "vfio-pci"
            directory = self._function(address, port, "8086:1889", "20000", _VF, driver)
            os.symlink(f"../{card}", f"{directory}/physfn")
            if with_interface:
                self._interface(f"ens{bus}v{number}", directory, bus << 8 | number)

    def _function(self, address: str, port: str, ids: str, class_code: str, config: bytes, driver: str) -> str:
        above = f"pci0000:00/{port}".rstrip("/")
        up = "../" * (above.count("/") + 3)
        directory = f"{self._base}/sys/devices/{above}/{address}"
        os.makedirs(directory)
        vendor, device = ids.split(":")
        _write(
            f"{directory}/uevent",
            f"DRIVER={driver}\nPCI_CLASS={class_code}\nPCI_ID={ids}\nPCI_SUBSYS_ID=8086:0001\nPCI_SLOT_NAME={address}\n"
            f"MODALIAS=pci:v0000{vendor}d0000{device}sv00008086sd00000001bc02sc00i00\n",
        )
        with open(f"{directory}/config", "wb") as stream:
            stream.write(config)
        for name, text in {
            "vendor": f"0x{vendor}\n",
            "device": f"0x{device}\n",
            "class": f"0x{class_code:0>6}\n",
            "irq": "0\n",
            "revision": "0x02\n",
            "numa_node": "1\n",
            "driver_override": "(null)\n",
            "reset_method": "flr bus\n",
            "resource": _REGION + _EMPTY_REGION * (_RESOURCE_LINES - 1),
            "power_state": "D0\n",
        }.items():
            _write(f"{directory}/{name}", text)
        os.symlink(f"{up}bus/pci/drivers/{driver}", f"{directory}/driver")
        os.symlink(f"../../../devices/{above}/{address}", f"{self._base}/sys/bus/pci/devices/{address}")
        members = f"{self._base}/sys/kernel/iommu_groups/{self._groups}"
        os.makedirs(f"{members}/devices")
        os.symlink(f"../../../../devices/{above}/{address}", f"{members}/devices/{address}")
        _write(f"{members}/reserved_regions", "0x00000000fee00000 0x00000000feefffff msi\n")
        _write(f"{members}/type", "DMA-FQ\n")
        os.symlink(f"{up}kernel/iommu_groups/{self._groups}", f"{directory}/iommu_group")
        self._groups += 1
        return directory

    def _interface(self, name: str, function: str, number: int) -> None:
        directory = f"{function}/net/{name}"
        os.makedirs(directory)
        _write(f"{directory}/address", f"52:54:00:aa:{number >> 8:02x}:{number & 0xFF:02x}\n")
        _write(f"{directory}/addr_assign_type", "0\n")
        target = os.path.relpath(directory, self._base / "sys/class/net")
        os.symlink(target, self._base / "sys/class/net" / name)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as stream:
        stream.write(text)


def _modules_alias() -> str:
    """As many lines for PCI devices as a distribution's kernel has."""
    others = (f"alias pci:v{line >> 8:08X}d{line & 0xFF:08X}sv*sd*bc*sc*i* other{line}" for line in range(20_000))
    ours = [
        "alias pci:v00008086d00001592sv*sd*bc*sc*i* ice",
        "alias pci:v00008086d00001889sv*sd*bc*sc*i* iavf",
        "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci",
    ]
    return "\n".join([*others, *ours]) + "\n"

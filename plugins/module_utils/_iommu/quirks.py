# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Devices whose isolation the kernel knows better than their ACS registers say. Pure.

Source: ``pci_dev_acs_enabled`` in drivers/pci/quirks.c of Linux 6.18, in its order: the first entry that has an
answer wins. All entries there answer for the controls in ``acs.REQUIRED`` at once.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.topology import Function
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import (
    DOWNSTREAM_PORT,
    ROOT_COMPLEX_ENDPOINT,
    ROOT_PORT,
    Device,
)

# The line that the kernel logs for each pre-Skylake PCH root port that it made safe.
PCH_WORKAROUND_MESSAGE = "Intel PCH root port ACS workaround enabled"


@dataclasses.dataclass(frozen=True)
class Platform:
    """What besides the devices decides grouping.

    ``ivrs``: there is an ACPI IVRS table (an AMD IOMMU). ``pch_workaround``: the kernel log holds
    :data:`PCH_WORKAROUND_MESSAGE`; ``None`` where the log of this boot could not be read.
    """

    ivrs: bool = False
    pch_workaround: bool | None = None

    def to_json(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> Platform:
        return cls(ivrs=bool(data.get("ivrs")), pch_workaround=data.get("pch_workaround"))


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a function is isolated; if not, ``why`` completes a sentence that begins with its address."""

    isolated: bool
    why: str = ""


ISOLATED = Verdict(True)

Rule = t.Callable[[Function, Platform], t.Optional[Verdict]]


@dataclasses.dataclass(frozen=True)
class Quirk:
    """An entry of the kernel's table; ``devices`` is ``None`` for any device of the vendor."""

    vendor: str
    devices: frozenset[str] | None
    rule: Rule

    def answer(self, function: Function, platform: Platform) -> Verdict | None:
        identity = function.device.identity
        if identity.vendor_id != self.vendor or (self.devices is not None and identity.device_id not in self.devices):
            return None
        return self.rule(function, platform)


def device_quirk(function: Function, platform: Platform) -> Verdict | None:
    """What the kernel's table says of the function, ``None`` where it says nothing."""
    for quirk in ACS_QUIRKS:
        verdict = quirk.answer(function, platform)
        if verdict is not None:
            return verdict
    return None


def _span(first: int, last: int) -> frozenset[str]:
    return frozenset(f"{number:04x}" for number in range(first, last + 1))


def _set(devices: str) -> frozenset[str]:
    return frozenset(devices.split())


# Ibex Peak, Cougar Point, Panther Point, Lynx Point-H and -LP, Wildcat Point, Patsburg, Wellsburg, Lynx Point 9 series
_PCH_ROOT_PORTS = (
    _span(0x3B42, 0x3B51)
    | _span(0x1C10, 0x1C1F)
    | _span(0x1E10, 0x1E1F)
    | _span(0x8C10, 0x8C1F)
    | _span(0x9C10, 0x9C1B)
    | _span(0x9C90, 0x9C9B)
    | _set("1d10 1d12 1d14 1d16 1d18 1d1a 1d1c 1d1e")
    | _span(0x8D10, 0x8D1E)
    | _set("8c90 8c92 8c94 8c96 8c98 8c9a 8c9c 8c9e")
)
_CAVIUM_ROOT_PORTS = _span(0xA000, 0xA7FF) | _set("af84 b884")
_ZHAOXIN_PORTS = _span(0x0710, 0x071E) | _set("0721") | _span(0x0723, 0x0752)
_WANGXUN_NICS = _span(0x0100, 0x010F) | _set("1001 2001 5010 5025 5040 5110 5125 5140")


def isolated_by_design(_function: Function, _platform: Platform) -> Verdict | None:
    """The vendor confirmed that the functions, or root ports, do not reach one another."""
    return ISOLATED


def amd_southbridge(function: Function, platform: Platform) -> Verdict | None:
    """``pci_quirk_amd_sb_acs``: multifunction, on the root bus, with an AMD IOMMU: everything goes upstream."""
    return ISOLATED if function.multifunction and function.above is None and platform.ivrs else None


def intel_root_complex_endpoint(function: Function, _platform: Platform) -> Verdict | None:
    """``pci_quirk_rciep_acs``: the VT-d specification, 3.16, has them send only translated requests to peers."""
    return ISOLATED if function.pcie_type == ROOT_COMPLEX_ENDPOINT else None


def depends_on_pch_workaround(device: Device) -> bool:
    """Whether only the kernel's log tells how isolated the device is (:attr:`Platform.pch_workaround`)."""
    identity = device.identity
    return device.pcie_type == ROOT_PORT and identity.vendor_id == "8086" and identity.device_id in _PCH_ROOT_PORTS


def intel_pch_root_port(function: Function, platform: Platform) -> Verdict | None:
    """``pci_quirk_intel_pch_acs``: isolated only if the kernel could switch the chipset's own controls on."""
    if function.pcie_type != ROOT_PORT or not depends_on_pch_workaround(function.device):
        return None
    if platform.pch_workaround:
        return ISOLATED
    if platform.pch_workaround is None:
        return Verdict(
            False,
            "is an Intel PCH root port without ACS; it is assumed that the kernel could not isolate it by the "
            f"chipset's own controls, because no kernel log was found that would say '{PCH_WORKAROUND_MESSAGE}'",
        )
    return Verdict(
        False,
        "is an Intel PCH root port without ACS, and the kernel did not isolate it by the chipset's own controls",
    )


def cavium_root_port(function: Function, _platform: Platform) -> Verdict | None:
    """``pci_quirk_cavium_acs``: ThunderX root ports."""
    matches = function.pcie_type == ROOT_PORT and function.device.identity.device_id in _CAVIUM_ROOT_PORTS
    return ISOLATED if matches else None


def annapurna_root_port(function: Function, _platform: Platform) -> Verdict | None:
    """``pci_quirk_al_acs``."""
    return ISOLATED if function.pcie_type == ROOT_PORT else None


def zhaoxin_port(function: Function, _platform: Platform) -> Verdict | None:
    """``pci_quirk_zhaoxin_pcie_ports_acs``: answers for every port of the vendor, also with no."""
    if function.pcie_type not in (ROOT_PORT, DOWNSTREAM_PORT):
        return None
    if function.device.identity.device_id in _ZHAOXIN_PORTS:
        return ISOLATED
    return Verdict(False, "is a Zhaoxin port that the kernel does not know to be isolated")


def wangxun_nic(function: Function, _platform: Platform) -> Verdict | None:
    """``pci_quirk_wangxun_nic_acs``: answers for every device of the vendor, also with no."""
    if function.device.identity.device_id in _WANGXUN_NICS:
        return ISOLATED
    return Verdict(False, "is a Wangxun device that the kernel does not know to be isolated")


# 82598, 82599, X520, X540; 82580; 82576; 82575; I350; 82571; I219
_INTEL_NICS = _set(
    "10c6 10db 10dd 10e1 10f1 10f7 10f8 10f9 10fa 10fb 10fc 1507 1514 151c 1529 152a 154d 154f 1551 1558 "
    "1509 150e 150f 1510 1511 1516 1527 10c9 10e6 10e7 10e8 150a 150d 1518 1526 10a7 10a9 10d6 "
    "1521 1522 1523 1524 105e 105f 1060 10d9 15b7 15b8"
)
_NXP_ROOT_PORTS = _set(
    "8d81 8da1 8d83 8d80 8da0 8d82 8d90 8db0 8d92 8d91 8db1 8d93 "
    "8d89 8da9 8d8b 8d88 8da8 8d8a 8d98 8db8 8d9a 8d99 8db9 8d9b"
)

# pci_quirk_intel_spt_pch_acs has no entry: it reads the control register where `_pci/config_space.py` finds it and
# then judges like any port with ACS, which an override leaves alone as well.
ACS_QUIRKS: tuple[Quirk, ...] = (
    Quirk("1002", _set("4385 439c 4383 439d 4384 4399"), amd_southbridge),
    Quirk("1022", _set("780f 7809"), amd_southbridge),
    Quirk("1924", _set("0903 0923 0a03"), isolated_by_design),  # Solarflare
    Quirk("8086", _INTEL_NICS, isolated_by_design),
    Quirk("8086", None, intel_root_complex_endpoint),
    Quirk("17cb", _set("0400 0401 0115"), isolated_by_design),  # Qualcomm root ports
    Quirk("1dbf", _set("0401"), isolated_by_design),  # HXT root ports
    Quirk("8086", None, intel_pch_root_port),
    Quirk("19a2", _set("0710"), isolated_by_design),  # Emulex BE3-R
    Quirk("10df", _set("0720"), isolated_by_design),  # Emulex Skyhawk-R
    Quirk("177d", None, cavium_root_port),
    Quirk("177d", _set("a026 a059 a060"), isolated_by_design),  # Cavium
    Quirk("10e8", _set("e004"), isolated_by_design),  # APM X-Gene root ports
    Quirk("1def", _span(0xE005, 0xE00C), isolated_by_design),  # Ampere root ports
    Quirk("14e4", _set("16d7 1750 1751 1752 1760 1761 1762 1763 d714"), isolated_by_design),  # Broadcom
    Quirk("0014", _set("3c09 3c19 3c29 7a09 7a19 7a29 7a39 7a49 7a59 7a69"), isolated_by_design),  # Loongson
    Quirk("1c36", _set("0031"), annapurna_root_port),
    Quirk("1d17", _set("3038 3104 9083"), isolated_by_design),  # Zhaoxin
    Quirk("1957", _NXP_ROOT_PORTS, isolated_by_design),
    Quirk("1d17", None, zhaoxin_port),
    Quirk("8088", None, wangxun_nic),
)

# IDT switches whose source validation the kernel does not use because it is broken ("Disabling broken ACS SV").
_BROKEN_SOURCE_VALIDATION = ("111d", _set("80b5 8090"))


def source_validation_is_broken(device: Device) -> bool:
    """``pci_disable_broken_acs_cap`` in drivers/pci/quirks.c."""
    vendor, devices = _BROKEN_SOURCE_VALIDATION
    return device.identity.vendor_id == vendor and device.identity.device_id in devices

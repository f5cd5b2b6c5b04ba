# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PCI functions to predict IOMMU groups for: topologies that real kernels grouped, and ones made by hand."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import json
import re
import typing as t
from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override import Override
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.prediction import Platform, predict_groups
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.config_space import ConfigSpace
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity

FIXTURES = tuple(
    Path(__file__).parents[2] / "fixtures/iommu" / name
    for name in ("iommu-groups.json.gz", "random-topologies.json.gz")
)

_PCI_COMPONENT = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


@dataclasses.dataclass(frozen=True)
class Case:
    """A topology with what a kernel makes of it; ``groups`` holds members only, as numbers mean nothing."""

    name: str
    devices: tuple[Device, ...]
    groups: frozenset[frozenset[str]]
    override: Override | None = None
    platform: Platform = dataclasses.field(default_factory=Platform)

    @property
    def without_group(self) -> frozenset[Address]:
        covered = frozenset().union(*self.groups)
        return frozenset(device.address for device in self.devices if str(device.address) not in covered)

    def predicted(self) -> frozenset[frozenset[str]]:
        return memberships(self.devices, self.platform, self.override, self.without_group)


def memberships(
    devices: t.Sequence[Device],
    platform: Platform | None = None,
    override: Override | None = None,
    without_group: t.Collection[Address] = (),
) -> frozenset[frozenset[str]]:
    """Who is predicted to be together."""
    groups = predict_groups(devices, platform or Platform(), override, without_group)
    return frozenset(frozenset(str(address) for address in group.devices) for group in groups)


def together(*groups: str) -> frozenset[frozenset[str]]:
    """``"01:00.0 01:00.1"`` is one group; domain 0000 where none is given."""
    return frozenset(frozenset(str(Address.parse(word)) for word in group.split()) for group in groups)


@functools.cache
def kernel_cases() -> tuple[Case, ...]:
    files = (json.loads(gzip.decompress(fixture.read_bytes())) for fixture in FIXTURES)
    return tuple(_case(name, content) for data in files for name, content in data.items())


def _case(name: str, content: dict[str, t.Any]) -> Case:
    patched = content["kernel"].endswith("patched")
    groups: dict[str, set[str]] = {}
    for address, facts in content["devices"].items():
        if facts["group"] is not None:
            groups.setdefault(facts["group"], set()).add(address)
    return Case(
        name=name,
        devices=tuple(_device(address, facts) for address, facts in content["devices"].items()),
        override=Override.from_command_line(content["cmdline"].split()) if patched else None,
        groups=frozenset(frozenset(members) for members in groups.values()),
    )


def _device(address: str, facts: dict[str, t.Any]) -> Device:
    config = ConfigSpace(bytes.fromhex(facts["config"]).ljust(facts["config_len"], b"\0"))
    path = [part for part in facts["path"].split("/") if _PCI_COMPONENT.fullmatch(part)]
    capability, control = config.acs or (None, None)
    return Device(
        address=Address.parse(address),
        identity=Identity(f"{config.u16(0):04x}", f"{config.u16(2):04x}", "0000", "0000"),
        class_code=facts["class"][2:6],
        is_bridge=config.header_type in (1, 2) or facts["class"].startswith("0x06"),
        parent=Address.parse(path[-2]) if len(path) > 1 else None,
        physfn=Address.parse(facts["physfn"]) if facts["physfn"] else None,
        header_type=config.header_type,
        multifunction=config.multifunction,
        pcie_type=config.pcie_type,
        acs_capability=capability,
        acs_control=control,
    )


def function(
    address: str,
    pcie_type: str | None = "endpoint",
    *,
    under: str | None = None,
    ids: str = "1af4:1000",
    acs: tuple[int, int] | None = None,
    subsystem: str = "0000:0000",
    **fields: t.Any,
) -> Device:
    """A function made by hand; ``acs`` is the capability and the control register."""
    identity = Identity(*ids.split(":"), *subsystem.split(":"))
    return Device(
        address=Address.parse(address),
        identity=identity,
        parent=Address.parse(under) if under else None,
        pcie_type=pcie_type,
        acs_capability=acs[0] if acs else None,
        acs_control=acs[1] if acs else None,
        **{"class_code": "0200", "header_type": 0, **fields},
    )


def bridge(address: str, pcie_type: str | None = "root_port", **fields: t.Any) -> Device:
    return function(address, pcie_type, **{"class_code": "0604", "header_type": 1, "is_bridge": True, **fields})


# The four controls that isolation needs, all there and all on.
ACS_ON = (0x1D, 0x1D)

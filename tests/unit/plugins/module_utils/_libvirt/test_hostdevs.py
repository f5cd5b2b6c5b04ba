# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.hostdevs import (
    Claim,
    judge_devices,
    judge_start,
    read_functions,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import PciHostdev
from tests.unit.plugins.libvirt_host import BRIDGE, GPU, GPU_AUDIO, NIC, LibvirtHost


def _devices(*addresses: str, managed: bool = False) -> tuple[PciHostdev, ...]:
    return tuple(PciHostdev.from_options({"address": address, "managed": managed}, "device") for address in addresses)


@pytest.mark.parametrize(
    ("address", "claims", "reason"),
    [
        ("0000:09:00.0", [], "no PCI device"),
        (BRIDGE, [], "is a bridge"),
        (GPU, [Claim("other", GPU, True, False)], "'other' is running with"),
        (GPU, [Claim("other", GPU, False, True)], "'other' starts with the host"),
        (GPU, [Claim("other", GPU_AUDIO, True, False)], "shares IOMMU group 2"),
    ],
)
def test_devices_that_may_not_be_in_a_definition(
    host: LibvirtHost, address: str, claims: list[Claim], reason: str
) -> None:
    functions = read_functions(host.root, [address, *(claim.address for claim in claims)])
    refusals = judge_devices(_devices(address), functions, claims)
    assert [(refusal.device, refusal.allow) for refusal in refusals] == [(address, None)]
    assert reason in refusals[0].reason


@pytest.mark.parametrize(
    "claims",
    [[], [Claim("other", GPU, False, False)], [Claim("other", NIC, True, True)]],
    ids=["free", "takes turns", "other group"],
)
def test_devices_that_may(host: LibvirtHost, claims: list[Claim]) -> None:
    functions = read_functions(host.root, [GPU, NIC])
    assert judge_devices(_devices(GPU), functions, claims) == ()
    assert judge_start(_devices(GPU), functions) == ()


@pytest.mark.parametrize(
    ("driver", "managed", "kind", "group", "reason"),
    [
        ("e1000e", False, "0x020000", 7, "held by the driver e1000e"),
        (None, False, "0x020000", 7, "has no driver"),
        ("vfio-pci", False, "0x020000", None, "no IOMMU group"),
        ("nouveau", True, "0x030000", 7, "is a display held by nouveau"),
        ("e1000e", True, "0x020000", 7, None),
        ("mlx5_vfio_pci", False, "0x020000", 7, None),
        ("hisi-acc-vfio-pci", False, "0x020000", 7, None),
        ("novfio-pcix", False, "0x020000", 7, "held by the driver"),
    ],
)
def test_obstacles_to_a_start(
    host: LibvirtHost, driver: Any, managed: bool, kind: str, group: Any, reason: Any
) -> None:
    host.function("0000:07:00.0", group, driver, kind)
    functions = read_functions(host.root, ["0000:07:00.0"])
    refusals = judge_start(_devices("0000:07:00.0", managed=managed), functions)
    assert len(refusals) == (0 if reason is None else 1)
    if reason is not None:
        assert reason in refusals[0].reason


@pytest.mark.parametrize(
    ("driver", "kind", "refused"),
    [
        ("snd_hda_intel", "0x040300", True),
        ("vfio-pci", "0x040300", False),
        (None, "0x040300", False),
        ("pci-stub", "0x040300", False),
        ("pcieport", "0x060400", False),
        ("some_bridge", "0x060400", False),
    ],
)
def test_group_mates_need_not_be_in_the_domain_but_off_the_host(
    host: LibvirtHost, driver: Any, kind: str, refused: bool
) -> None:
    host.function("0000:07:00.0", 7)
    host.function("0000:07:00.1", 7, driver, kind)
    functions = read_functions(host.root, ["0000:07:00.0"])
    refusals = judge_start(_devices("0000:07:00.0"), functions)
    assert [refusal.device for refusal in refusals] == (["0000:07:00.1"] if refused else [])


def test_mate_that_libvirt_takes_as_well_is_no_obstacle(host: LibvirtHost) -> None:
    host.function("0000:07:00.0", 7, "xhci_hcd", "0x0c0300")
    host.function("0000:07:00.1", 7, "snd_hda_intel", "0x040300")
    devices = _devices("0000:07:00.0", "0000:07:00.1", managed=True)
    assert judge_start(devices, read_functions(host.root, [str(device.address) for device in devices])) == ()

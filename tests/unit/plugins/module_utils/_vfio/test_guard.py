# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.surroundings import Surroundings
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.guard import judge
from tests.unit.plugins.planned_host import IOMMU_ON

NIC = Device(
    Address.parse("0000:01:00.0"), Identity("8086", "10d3", "8086", "0000"), "0200", driver="e1000e", iommu_group=1
)
MATE = dataclasses.replace(NIC, address=Address.parse("0000:01:00.1"), driver="snd_hda_intel")
PORT = dataclasses.replace(NIC, address=Address.parse("0000:00:02.0"), class_code="0604", is_bridge=True)
ROOT_DISK = Dependency("0000:01:00.0", "root_disk", "holds /, which never goes")
CONFIGURED = Dependency("0000:01:00.0", "configured_nic", "is eth0: has addresses", "configured_nic")


def judged(device: Device, allow: t.Collection[str] = (), **around: t.Any) -> list[tuple[str | None, str | None]]:
    devices = around.pop("devices", [device])
    iommu = {**IOMMU_ON, "enabled": around.pop("iommu_enabled", True)}
    surroundings = Surroundings(devices, around.pop("dependencies", []), iommu, **around)
    return [(refusal.device, refusal.allow) for refusal in judge(device, surroundings, allow)]


def test_a_device_that_nobody_needs_may_go() -> None:
    assert judged(NIC) == []


@pytest.mark.parametrize(
    "bridge", [PORT, dataclasses.replace(PORT, class_code="0680"), dataclasses.replace(NIC, is_bridge=True)]
)
def test_a_bridge_never_goes(bridge: Device) -> None:
    keys = ["configured_nic", "builtin_driver", "changed_identity", "bridge"]
    assert judged(bridge, keys) == [(str(bridge.address), None)]


@pytest.mark.parametrize(
    ("dependency", "allow", "refused"),
    [
        (ROOT_DISK, [], True),
        (ROOT_DISK, ["root_disk", "configured_nic"], True),
        (CONFIGURED, [], True),
        (CONFIGURED, ["management_nic"], True),
        (CONFIGURED, ["configured_nic"], False),
    ],
)
def test_what_the_host_needs_stays_unless_its_key_is_given(
    dependency: Dependency, allow: list[str], refused: bool
) -> None:
    expected = [("0000:01:00.0", dependency.allow)] if refused else []
    assert judged(NIC, allow, dependencies=[dependency]) == expected


def test_a_mate_on_a_host_driver_blocks_the_group() -> None:
    assert judged(NIC, devices=[NIC, MATE]) == [(str(MATE.address), None)]


@pytest.mark.parametrize("driver", [None, "vfio-pci", "pci-stub"])
def test_a_mate_that_no_host_driver_holds_blocks_nothing(driver: str | None) -> None:
    assert judged(NIC, devices=[NIC, dataclasses.replace(MATE, driver=driver)]) == []


def test_a_mate_that_moves_too_and_a_bridge_block_nothing() -> None:
    assert judged(NIC, devices=[PORT, NIC, MATE], selected={MATE.address}) == []


def test_what_the_host_needs_of_a_mate_counts() -> None:
    unbound = dataclasses.replace(MATE, driver=None)
    needed = dataclasses.replace(CONFIGURED, address=str(MATE.address))
    assert judged(NIC, devices=[NIC, unbound], dependencies=[needed]) == [(str(MATE.address), "configured_nic")]
    assert judged(NIC, ["configured_nic"], devices=[NIC, unbound], dependencies=[needed]) == []


def test_another_group_is_none_of_its_business() -> None:
    assert judged(NIC, devices=[NIC, dataclasses.replace(MATE, iommu_group=2)]) == []


def test_a_driver_in_the_kernel_asks_for_consent_and_never_for_storage() -> None:
    disk = dataclasses.replace(NIC, class_code="0108", driver="nvme")
    assert judged(NIC, builtin_drivers=["e1000e"]) == [("0000:01:00.0", "builtin_driver")]
    assert judged(NIC, ["builtin_driver"], builtin_drivers=["e1000e"]) == []
    assert judged(disk, ["builtin_driver"], builtin_drivers=["nvme"]) == [("0000:01:00.0", None)]


def test_without_a_group_it_cannot_go_while_the_iommu_is_on() -> None:
    alone = dataclasses.replace(NIC, iommu_group=None)
    assert judged(alone) == [("0000:01:00.0", None)]
    assert judged(alone, iommu_enabled=False) == []
    # Devices without a group are no mates of each other.
    other = dataclasses.replace(MATE, iommu_group=None)
    assert judged(alone, devices=[alone, other], iommu_enabled=False) == []


GPU = dataclasses.replace(NIC, address=Address.parse("0000:02:00.0"), class_code="0300", driver=None, iommu_group=2)
SECOND_GPU = dataclasses.replace(GPU, address=Address.parse("0000:03:00.0"), iommu_group=3)
AUDIO = dataclasses.replace(GPU, address=Address.parse("0000:02:00.1"), class_code="0403")


@pytest.mark.parametrize(
    ("devices", "selected", "allow", "refused"),
    [
        ([GPU, SECOND_GPU], [GPU], [], False),
        ([GPU, SECOND_GPU], [GPU, SECOND_GPU], [], True),
        ([GPU, SECOND_GPU], [GPU, SECOND_GPU], ["last_display"], False),
        # What vfio-pci has is lost to the host already, also when it is the device itself.
        ([GPU, dataclasses.replace(SECOND_GPU, driver="vfio-pci")], [GPU], [], True),
        ([dataclasses.replace(GPU, driver="vfio-pci"), SECOND_GPU], [GPU], [], False),
        ([dataclasses.replace(GPU, driver="vfio-pci")], [GPU], [], True),
        # The other one shares the group and goes with it.
        ([GPU, dataclasses.replace(SECOND_GPU, iommu_group=2)], [GPU], [], True),
    ],
)
def test_a_selection_leaves_the_host_a_display(
    devices: list[Device], selected: list[Device], allow: list[str], refused: bool
) -> None:
    addresses = {device.address for device in selected}
    found = judged(devices[0], allow, devices=devices, selected=addresses)
    assert found == ([(str(GPU.address), "last_display")] if refused else [])


def test_what_is_no_display_takes_none_away() -> None:
    assert judged(AUDIO, devices=[AUDIO]) == []


def test_the_only_display_is_refused_once() -> None:
    only = Dependency(str(GPU.address), "last_display", "is the only display of this host", "last_display")
    assert judged(GPU, dependencies=[only]) == [(str(GPU.address), "last_display")]


def test_by_ids_no_other_card_of_the_model_may_be_there() -> None:
    twin = dataclasses.replace(NIC, address=Address.parse("0000:05:00.0"), iommu_group=5)
    bridge = dataclasses.replace(twin, is_bridge=True, class_code="0604")
    other = dataclasses.replace(twin, identity=dataclasses.replace(NIC.identity, device_id="10d4"))
    for taken in (twin, bridge):
        assert judged(NIC, ["configured_nic"], devices=[NIC, taken], by_ids=True) == [(str(taken.address), None)]
    assert judged(NIC, devices=[NIC, twin]) == []
    assert judged(NIC, devices=[NIC, twin], by_ids=True, selected={twin.address}) == []
    assert judged(NIC, devices=[NIC, other], by_ids=True) == []


def test_by_ids_a_built_in_driver_is_always_first() -> None:
    assert judged(NIC, builtin_drivers=["e1000e"]) == [(str(NIC.address), "builtin_driver")]
    assert judged(NIC, ["builtin_driver"], builtin_drivers=["e1000e"]) == []
    assert judged(NIC, ["builtin_driver"], builtin_drivers=["e1000e"], by_ids=True) == [(str(NIC.address), None)]

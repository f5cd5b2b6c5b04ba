# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.groups import cpu_vendor, read_iommu
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from tests.unit.plugins.host_tree import HostTree


def read(tree: HostTree, *running: str) -> dict[str, Any]:
    return read_iommu(tree.root, read_devices(tree.root, Ledger()), running)


def test_groups_come_in_numeric_order_and_tell_endpoints_from_bridges(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:00:1e.0", "1b36:0001", "060400", bridge=True, group=10)
    tree.function("0000:05:01.0", "8086:100e", under="0000:00:1e.0", driver="e1000", group=10)
    tree.function("0000:05:02.0", "8086:100e", under="0000:00:1e.0", driver="vfio-pci", group=10)
    tree.function("0000:00:02.0", driver="vfio-pci", group=2)
    found = read(tree)
    assert found["enabled"]
    assert [group["id"] for group in found["groups"]] == [2, 10]
    assert found["groups"][1] == {
        "id": 10,
        "devices": ["0000:00:1e.0", "0000:05:01.0", "0000:05:02.0"],
        "endpoints": ["0000:05:01.0", "0000:05:02.0"],
        "bridges": ["0000:00:1e.0"],
        "other_devices": [],
        "type": None,
        "reserved_regions": [{"start": "0x00000000fee00000", "end": "0x00000000feefffff", "type": "msi"}],
        "viable": False,
        "blockers": ["0000:05:01.0"],
    }


def test_a_group_with_an_unbound_member_and_a_port_driver_is_viable(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:00:1c.0", "1b36:000c", "060400", bridge=True, driver="pcieport", group=1)
    tree.function("0000:01:00.0", under="0000:00:1c.0", group=1)
    tree.function("0000:01:00.1", under="0000:00:1c.0", driver="vfio-pci", group=1)
    assert read(tree)["groups"][0]["viable"]


REASONS = [
    ((), ["intel_iommu=off"], "turned off by 'intel_iommu=off'"),
    ((), [], "firmware describes no IOMMU"),
    (("DMAR",), [], "must be turned on by a kernel parameter"),
    (("DMAR",), ["intel_iommu=off"], "turned off by"),
    (("IVRS",), [], "must be turned on by a kernel parameter"),
]


@pytest.mark.parametrize(("tables", "running", "reason"), REASONS)
def test_why_an_iommu_is_off(tmp_path: Path, tables: tuple[str, ...], running: list[str], reason: str) -> None:
    tree = HostTree(tmp_path)
    for table in tables:
        tree.write(f"/sys/firmware/acpi/tables/{table}", "")
    found = read(tree, *running)
    assert not found["enabled"]
    assert reason in found["reason"]


def test_a_parameter_alone_does_not_make_it_enabled(tmp_path: Path) -> None:
    found = read(HostTree(tmp_path), "intel_iommu=on")
    assert (found["enabled"], found["gaps"]) == (False, [])


@pytest.mark.parametrize(
    ("chip", "remaps"), [("IR-IO-APIC    2-edge", True), ("IO-APIC    2-edge", False), ("ITS-MSI 524288 Edge", None)]
)
def test_interrupt_remapping_shows_in_the_names_of_the_chips(tmp_path: Path, chip: str, remaps: bool | None) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:00:02.0", group=2)
    tree.write("/proc/interrupts", f"   0:    12    {chip}      timer\n")
    assert read(tree)["interrupt_remapping"] is remaps


def test_the_cpu_vendor_is_found_wherever_its_line_stands(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.write("/proc/cpuinfo", "processor\t: 0\nmodel\t\t: 6\nvendor_id\t: AuthenticAMD\n")
    assert cpu_vendor(tree.root) == "AuthenticAMD"


def test_what_the_cpu_can_and_what_the_board_has_are_told_apart(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.write("/proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu vmx sse\n")
    found = read(tree)
    assert (found["kvm_capable"], found["hardware"]) == (True, None)
    tree.write("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu sse\nvmx flags\t: vnmi\n")
    assert not read(tree)["kvm_capable"]
    tree.write("/dev/kvm", "")
    assert read(tree)["kvm_capable"]


def test_devices_with_memory_that_the_firmware_wants_mapped(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    for number, kinds in enumerate((["msi"], ["direct-relaxable", "msi"], ["direct-relaxable", "direct"])):
        tree.function(f"0000:00:{number:02x}.0", group=number)
        lines = [f"0x0 0xffffff {kind}\n" for kind in kinds]
        tree.write(f"/sys/kernel/iommu_groups/{number}/reserved_regions", "".join(lines))
    assert read(tree)["identity_mapped"] == [
        {"device": "0000:00:01.0", "relaxable": True},
        {"device": "0000:00:02.0", "relaxable": False},
    ]


def test_the_default_domain_is_the_one_that_most_groups_have(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    for number, kind in enumerate(("identity", "DMA-FQ", "DMA-FQ", "unknown", "unknown", "unknown")):
        tree.function(f"0000:00:{number:02x}.0", group=number)
        tree.write(f"/sys/kernel/iommu_groups/{number}/type", f"{kind}\n")
    found = read(tree)
    assert found["default_domain_type"] == "DMA-FQ"
    assert [group["type"] for group in found["groups"]] == ["identity", "DMA-FQ", "DMA-FQ", None, None, None]


def test_groups_without_a_unit_contradict_each_other(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:00:02.0", group=2)
    assert "names no IOMMU unit" in read(tree)["gaps"][0]
    tree.write("/sys/class/iommu/dmar0/name", "")
    assert read(tree)["gaps"] == []


def test_the_groups_of_no_iommu_mode_are_no_iommu(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:00:02.0", driver="vfio-pci", group=0)
    tree.write("/sys/kernel/iommu_groups/0/name", "vfio-noiommu\n")
    found = read(tree)
    assert not found["enabled"]
    assert "no-IOMMU mode" in found["reason"]


def test_a_device_of_another_bus_keeps_its_group_as_any_other(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:00:02.0", group=2)
    uart = tree.write("/sys/devices/platform/INTC1234:00/uevent", "").parent
    tree.link("/sys/kernel/iommu_groups/2/devices/INTC1234:00", uart)
    (group,) = read(tree)["groups"]
    assert (group["other_devices"], group["viable"]) == (["INTC1234:00"], True)
    tree.link("/sys/devices/platform/INTC1234:00/driver", tree.write("/sys/bus/platform/drivers/dw/bind", "").parent)
    (group,) = read(tree)["groups"]
    assert (group["viable"], group["blockers"]) == (False, ["INTC1234:00"])


def test_a_variant_driver_of_vfio_is_no_blocker(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    card = tree.function("0000:00:02.0", "15b3:1018", driver="mlx5_vfio_pci", group=2)
    with (card / "uevent").open("a") as uevent:
        uevent.write("MODALIAS=pci:v000015B3d00001018sv000015B3sd00000001bc02sc00i00\n")
    assert not read(tree)["groups"][0]["viable"]
    tree.write("/proc/sys/kernel/osrelease", "6.12\n")
    tree.write("/lib/modules/6.12/modules.alias", "alias vfio_pci:v000015B3d00001018sv*sd*bc*sc*i* mlx5_vfio_pci\n")
    assert read(tree)["groups"][0]["viable"]


def test_oddities_among_the_groups_are_gaps(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:00:02.0", group=2)
    tree.write("/sys/class/iommu/dmar0/name", "")
    tree.write("/sys/kernel/iommu_groups/none/type", "")
    tree.write("/sys/kernel/iommu_groups/3", "")
    tree.write("/sys/kernel/iommu_groups/2/reserved_regions", "0x0\n0x0 0x1 msi\n")
    (tmp_path / "sys/kernel/iommu_groups/2/devices/0000:00:03.0").symlink_to("nowhere")
    found = read(tree)
    assert [group["id"] for group in found["groups"]] == [2]
    assert found["groups"][0]["reserved_regions"] == [{"start": "0x0", "end": "0x1", "type": "msi"}]
    assert found["gaps"] == [
        "/sys/kernel/iommu_groups/none is no IOMMU group",
        "IOMMU group 2 has 0000:00:03.0, which is not among the PCI functions read",
        "IOMMU group 2: '0x0' is no reserved region",
        "IOMMU group 3 is left out: it disappeared while it was read (Not a directory)",
    ]

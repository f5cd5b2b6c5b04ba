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
    assert not read(HostTree(tmp_path), "intel_iommu=on")["enabled"]


@pytest.mark.parametrize(("chip", "remaps"), [("IR-IO-APIC    2-edge", True), ("IO-APIC    2-edge", False)])
def test_interrupt_remapping_shows_in_the_names_of_the_chips(tmp_path: Path, chip: str, remaps: bool) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:00:02.0", group=2)
    tree.write("/proc/interrupts", f"   0:    12    {chip}      timer\n")
    assert read(tree)["interrupt_remapping"] is remaps


def test_the_cpu_vendor_is_found_wherever_its_line_stands(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.write("/proc/cpuinfo", "processor\t: 0\nmodel\t\t: 6\nvendor_id\t: AuthenticAMD\n")
    assert cpu_vendor(tree.root) == "AuthenticAMD"

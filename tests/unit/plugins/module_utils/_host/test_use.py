# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.use import use_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from tests.unit.plugins.host_tree import HostTree

QEMU = ["/usr/bin/qemu-system-x86_64", "-name", "guest=web,debug-threads=on", "-S"]


def found(tree: HostTree) -> list[tuple[str, str]]:
    return [(item.address, item.detail) for item in use_dependencies(tree.root, read_devices(tree.root, Ledger()))]


def test_a_group_that_a_guest_has_open_is_in_use_with_all_its_functions_but_bridges(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:01:00.0", group=5, driver="mlx5_vfio_pci")
    tree.function("0000:01:00.1", group=5)
    tree.function("0000:00:01.0", class_code="060400", group=5, bridge=True)
    tree.function("0000:02:00.0", group=6)
    tree.write("/dev/vfio/5", "")
    tree.process(900, "qemu-system-x86", command=QEMU, files=["/dev/kvm", "/dev/vfio/vfio", "/dev/vfio/5"])
    who = "is in use by the domain 'web' (qemu-system-x86, process 900)"
    assert found(tree) == [("0000:01:00.0", who), ("0000:01:00.1", who)]


def test_what_is_on_vfio_pci_already_is_taken_from_nobody_but_its_pf_is_needed(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    physical = tree.function("0000:01:00.0", group=4, driver="ixgbe")
    virtual = tree.function("0000:01:10.0", group=5, driver="vfio-pci")
    (virtual / "physfn").symlink_to("../0000:01:00.0")
    assert physical.exists()
    tree.write("/dev/vfio/5", "")
    tree.process(900, "dpdk-testpmd", command=["dpdk-testpmd"], files=["/dev/vfio/5"])
    assert found(tree) == [("0000:01:00.0", "carries 0000:01:10.0, which is in use by dpdk-testpmd (process 900)")]


def test_a_device_of_its_own_and_a_mediated_one(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    card = tree.function("0000:01:00.0", group=5, driver="mlx5_vfio_pci")
    (card / "vfio-dev/vfio3").mkdir(parents=True)
    tree.link("/sys/class/vfio-dev/vfio3", card / "vfio-dev/vfio3")
    gpu = tree.function("0000:02:00.0", class_code="030000", group=6, driver="nvidia")
    (gpu / "8c1f-uuid").mkdir()
    tree.link("/sys/kernel/iommu_groups/30/devices/8c1f-uuid", gpu / "8c1f-uuid")
    tree.write("/dev/vfio/devices/vfio3", "")
    tree.process(900, "qemu-kvm", command=["qemu-kvm"], files=["/dev/vfio/devices/vfio3", "/dev/vfio/30"])
    assert {address for address, _detail in found(tree)} == {"0000:01:00.0", "0000:02:00.0"}


@pytest.mark.parametrize(
    ("words", "domain"),
    [
        (["-name", "guest=a,,b,debug-threads=on"], "the domain 'a,b' (qemu-kvm, process 900)"),
        (["-name", "plain"], "the domain 'plain' (qemu-kvm, process 900)"),
        (["-name"], "qemu-kvm (process 900)"),
        ([], "qemu-kvm (process 900)"),
    ],
)
def test_the_name_of_a_domain_is_what_qemu_was_told(tmp_path: Path, words: list[str], domain: str) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:01:00.0", group=5)
    tree.write("/dev/vfio/5", "")
    tree.process(900, "qemu-kvm", command=["qemu-kvm", *words], files=["/dev/vfio/5"])
    assert found(tree) == [("0000:01:00.0", f"is in use by {domain}")]


def test_without_a_node_no_process_is_looked_at(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:01:00.0", group=5)
    tree.write("/dev/vfio/vfio", "")
    # Could not be: the node is gone. It shows that nobody asked.
    tree.process(900, "qemu-kvm", files=["/dev/vfio/5"])
    assert found(tree) == []


def test_processes_that_end_while_they_are_read_hold_nothing(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:01:00.0", group=5)
    tree.write("/dev/vfio/5", "")
    (tmp_path / "proc/901").mkdir(parents=True)
    assert found(tree) == []

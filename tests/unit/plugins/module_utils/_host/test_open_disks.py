# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.dependencies import read_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from tests.unit.plugins.host_tree import HostTree

QEMU = ["/usr/bin/kvm", "-id", "100", "-name", "web,debug-threads=on"]


def found(tree: HostTree) -> list[tuple[str, str | None, str]]:
    read = read_dependencies(tree.root, read_devices(tree.root, Ledger()))
    return [(item.address, item.allow, item.detail) for item in read if item.kind == "in_use"]


def host(base: Path) -> HostTree:
    """A root on one controller, and a disk that the kernel shows no use of on another."""
    tree = HostTree(base)
    tree.disk("sda", "8:0", tree.function("0000:00:17.0", "8086:a352", "010601"))
    disk = tree.disk("nvme0n1", "259:0", tree.function("0000:02:00.0", "144d:a80a", "010802"))
    tree.partition(disk, "nvme0n1p2", "259:2")
    tree.write("/proc/self/mountinfo", "20 1 8:0 / / rw - ext4 /dev/sda rw\n")
    return tree


@pytest.mark.parametrize("node", ["/dev/nvme0n1", "/dev/nvme0n1p2"])
def test_a_disk_that_a_guest_has_as_its_own_is_in_use(tmp_path: Path, node: str) -> None:
    tree = host(tmp_path)
    tree.process(900, "kvm", command=QEMU, files=["/dev/kvm", node, node])
    assert found(tree) == [
        ("0000:02:00.0", "in_use", f"carries {node}, which the domain 'web' (kvm, process 900) has open")
    ]


def test_a_store_without_a_file_system_counts_and_who_looks_on_does_not(tmp_path: Path) -> None:
    tree = host(tmp_path)
    tree.process(700, "multipathd", files=["/dev/nvme0n1"])
    tree.process(701, "(udev-worker)", files=["/dev/nvme0n1"])
    tree.process(800, "less", files=["/dev/pts/0", "/dev/nvme0n1 (deleted)", "/srv/dev/nvme0n1"])
    assert found(tree) == []
    tree.process(702, "ceph-osd", files=["/dev/nvme0n1"])
    assert [detail for _address, _allow, detail in found(tree)] == [
        "carries /dev/nvme0n1, which ceph-osd (process 702) has open"
    ]


def test_a_disk_that_is_needed_anyway_is_not_said_twice(tmp_path: Path) -> None:
    tree = host(tmp_path)
    tree.process(900, "kvm", command=QEMU, files=["/dev/sda"])
    assert found(tree) == []

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

LAN_CARD, STORAGE_CARD, IDLE_CARD = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"

# 10.0.2.0/24 with the default route, and 192.168.7.0/24; little-endian words.
ROUTES = (
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    "eno1\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "eno1\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    "eno2\t0007A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
)


def host(base: Path, mount: str) -> HostTree:
    tree = HostTree(base)
    for name, address in (("eno1", LAN_CARD), ("eno2", STORAGE_CARD), ("eno3", IDLE_CARD)):
        tree.interface(name, tree.function(address))
    tree.write("/proc/net/route", ROUTES)
    tree.write("/proc/self/mountinfo", f"20 1 {mount}\n")
    return tree


def never_released(tree: HostTree) -> set[str]:
    dependencies = read_dependencies(tree.root, read_devices(tree.root, Ledger()))
    return {item.address for item in dependencies if item.allow is None}


@pytest.mark.parametrize(
    ("mount", "needed"),
    [
        ("0:40 / / rw - nfs4 nas:/export rw,vers=4.2,clientaddr=10.0.2.5,addr=192.168.7.9", {STORAGE_CARD}),
        ("0:40 / / rw - nfs 192.168.7.9:/export rw", {STORAGE_CARD}),
        ("0:40 / /usr rw - nfs4 nas:/usr rw,addr=198.51.100.7", {LAN_CARD}),
        ("0:40 / / rw - ceph 192.168.7.9:6789,192.168.7.10:6789:/ rw,name=admin", {STORAGE_CARD}),
        ("0:40 / / rw - cifs //192.168.7.9/share rw", {STORAGE_CARD}),
        # Where it comes from cannot be told: every card that is configured may be the way.
        ("0:40 / / rw - nfs4 nas:/export rw", {LAN_CARD, STORAGE_CARD}),
        ("43:0 / / rw - ext4 /dev/nbd0 rw", {LAN_CARD, STORAGE_CARD}),
        # Not needed to start, or served by this host itself.
        ("0:40 / /srv rw - nfs4 nas:/export rw,addr=192.168.7.9", set()),
        ("0:40 / / rw - nfs4 localhost:/export rw,addr=127.0.0.1", set()),
        ("0:40 / / rw - virtiofs hostshare rw", set()),
    ],
)
def test_the_card_that_a_remote_root_comes_through_never_goes(tmp_path: Path, mount: str, needed: set[str]) -> None:
    tree = host(tmp_path, mount)
    tree.disk("nbd0", "43:0", None)
    assert never_released(tree) == needed


@pytest.mark.parametrize("attribute", ["address", "persistent_address"])
def test_a_root_over_iscsi(tmp_path: Path, attribute: str) -> None:
    tree = host(tmp_path, "8:16 / / rw - ext4 /dev/sdb rw")
    tree.disk("sdb", "8:16", tree.base / "sys/devices/platform/host3/session1/target3:0:0/3:0:0:1")
    tree.write("/sys/class/iscsi_connection/connection10:0/address", "10.0.2.99\n")
    tree.write(f"/sys/class/iscsi_connection/connection1:0/{attribute}", "192.168.7.9\n")
    assert never_released(tree) == {STORAGE_CARD}


def nvme_over_tcp(tree: HostTree, address: str) -> None:
    controller = tree.base / "sys/devices/virtual/nvme-fabrics/ctl/nvme0"
    controller.mkdir(parents=True)
    (controller / "address").write_text(f"{address}\n")
    tree.link("/sys/class/nvme/nvme0", controller)
    disk = tree.base / "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1"
    disk.mkdir(parents=True)
    (disk.parent / "nvme0").symlink_to(controller)
    tree.link("/sys/dev/block/259:0", disk)


@pytest.mark.parametrize(
    ("address", "needed"),
    [
        ("traddr=192.168.7.9,trsvcid=4420,src_addr=192.168.7.5", STORAGE_CARD),
        ("traddr=192.168.7.9,trsvcid=4420,host_iface=eno1", LAN_CARD),
    ],
)
def test_a_root_over_nvme_fabrics_with_multipath(tmp_path: Path, address: str, needed: str) -> None:
    tree = host(tmp_path, "259:0 / / rw - ext4 /dev/nvme0n1 rw")
    nvme_over_tcp(tree, address)
    assert never_released(tree) == {needed}


def test_a_root_over_fcoe_on_a_vlan(tmp_path: Path) -> None:
    tree = host(tmp_path, "8:16 / / rw - ext4 /dev/sdb rw")
    vlan = tree.interface("eno2.100", None)
    tree.build_interface(vlan, tree.base / "sys/devices/pci0000:00" / STORAGE_CARD / "net/eno2")
    tree.disk("sdb", "8:16", vlan / "ctlr_0/host7/rport-7:0-0/target7:0:0/7:0:0:1")
    assert never_released(tree) == {STORAGE_CARD}

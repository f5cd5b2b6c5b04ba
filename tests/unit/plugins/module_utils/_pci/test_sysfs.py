# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from tests.unit.plugins.host_tree import HostTree, with_serial

IDENTITY = {
    "vendor_id": "8086",
    "device_id": "10d3",
    "subsystem_vendor_id": "8086",
    "subsystem_device_id": "0000",
    "serial": None,
}


def read_one(tree: HostTree, address: str, ledger: Ledger | None = None) -> Device:
    return next(device for device in read_devices(tree.root, ledger or Ledger()) if str(device.address) == address)


def test_a_network_card_behind_a_root_port(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:00:1c.0", "1b36:000c", "060400", bridge=True, driver="pcieport")
    card = tree.function("0000:01:00.0", under="0000:00:1c.0", driver="e1000e", group=4, numa_node="1", revision="0x02")
    (card / "config").write_bytes(with_serial("525400fffeaa0010"))
    tree.interface("enp1s0", card, "52:54:00:aa:00:10")
    tree.write("/sys/bus/pci/slots/3/address", "0000:01:00\n")

    data = read_one(tree, "0000:01:00.0").to_json()

    expected = {
        "address": "0000:01:00.0",
        "vendor_id": "8086",
        "device_id": "10d3",
        "class": "0200",
        "revision": "02",
        "driver": "e1000e",
        "native_driver": "e1000e",
        "numa_node": 1,
        "iommu_group": 4,
        "parent": "0000:00:1c.0",
        "root_port": "0000:00:1c.0",
        "interfaces": ["enp1s0"],
        "mac": "52:54:00:aa:00:10",
        "serial": "525400fffeaa0010",
        "slot": "3",
        "is_bridge": False,
    }
    assert {name: data[name] for name in expected} == expected


def test_devices_come_in_the_order_of_their_addresses(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    for address in ("0000:0a:00.0", "0000:02:00.0", "0000:02:00.1", "0000:00:1f.0"):
        tree.function(address)
    found = [str(device.address) for device in read_devices(tree.root, Ledger())]
    assert found == ["0000:00:1f.0", "0000:02:00.0", "0000:02:00.1", "0000:0a:00.0"]


def test_a_virtio_interface_belongs_to_the_function_above_its_own_device(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    function = tree.function("0000:00:02.0", "1af4:1041")
    virtio = function / "virtio0"
    virtio.mkdir()
    tree.interface("enp0s2", virtio)
    assert read_one(tree, "0000:00:02.0").interfaces == ("enp0s2",)


def test_a_bound_device_keeps_its_native_driver_and_mac_from_the_ledger(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:01:00.0", driver="vfio-pci")
    record = {"identity": IDENTITY, "native_driver": "e1000e", "mac": "52:54:00:aa:00:10"}
    device = read_one(tree, "0000:01:00.0", Ledger({"schema": 1, "devices": {"0000:01:00.0": record}}))
    assert (device.native_driver, device.mac) == ("e1000e", "52:54:00:aa:00:10")


def test_the_ledger_says_nothing_about_another_card_at_the_same_address(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:01:00.0", "8086:100e", driver="vfio-pci")
    record = {"identity": IDENTITY, "native_driver": "e1000e", "mac": "52:54:00:aa:00:10"}
    device = read_one(tree, "0000:01:00.0", Ledger({"schema": 1, "devices": {"0000:01:00.0": record}}))
    assert (device.native_driver, device.mac) == (None, None)


def test_native_driver_of_an_unbound_device_comes_from_the_modules_aliases(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    card = tree.function("0000:01:00.0")
    with (card / "uevent").open("a") as uevent:
        uevent.write("MODALIAS=pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00\n")
    tree.write("/proc/sys/kernel/osrelease", "6.1.0-40-amd64\n")
    tree.write(
        "/lib/modules/6.1.0-40-amd64/modules.alias",
        "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
        "alias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e\n"
        "alias pci:v00008086d0000100Esv*sd*bc*sc*i* e1000\n",
    )
    device = read_one(tree, "0000:01:00.0")
    assert (device.native_driver, device.candidate_modules) == ("e1000e", ("e1000e",))


def test_what_is_written_as_json_reads_back_the_same(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:00:1c.0", "1b36:000c", "060400", bridge=True)
    tree.function("0000:01:00.0", under="0000:00:1c.0", driver="e1000e", group=4)
    for device in read_devices(tree.root, Ledger()):
        assert Device.from_json(device.to_json()) == device

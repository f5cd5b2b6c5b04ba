# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.names import PciNames
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices, read_functions
from tests.unit.plugins.config_spaces import EXT_CAP_SRIOV, ROOT_PORT, acs, config_space, pcie
from tests.unit.plugins.host_tree import HostTree, with_serial
from tests.unit.plugins.large_host import FUNCTIONS_PER_CARD, build_large_host

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


def test_the_mac_of_an_adapter_on_a_usb_port_names_no_usb_controller(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    adapter = tree.function("0000:00:14.0", "8086:a36d", "0c0330") / "usb1/1-4/1-4:1.0"
    adapter.mkdir(parents=True)
    tree.interface("enx525400aa0010", adapter)
    controller = read_one(tree, "0000:00:14.0")
    assert (controller.interfaces, controller.mac) == (("enx525400aa0010",), None)


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


def test_candidates_are_found_in_the_files_order_whatever_fields_their_aliases_fix(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    card = tree.function("0000:01:00.0", "15b3:1018", driver="mlx5_vfio_pci")
    with (card / "uevent").open("a") as uevent:
        uevent.write("MODALIAS=pci:v000015B3d00001018sv000015B3sd00000001bc02sc00i00\n")
    tree.write("/proc/sys/kernel/osrelease", "6.1.0-40-amd64\n")
    tree.write(
        "/lib/modules/6.1.0-40-amd64/modules.alias",
        "alias pci:v*d*sv*sd*bc02sc00i* any_network\n"
        "alias pci:v000015B3d00001018sv*sd*bc*sc*i* mlx5_core\n"
        "alias pci:v000015B3d*sv*sd*bc02sc*i* any_mellanox\n"
        "alias pci:v000015B3d00001019sv*sd*bc*sc*i* another_card\n"
        "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
        "alias vfio_pci:v000015B3d00001018sv*sd*bc*sc*i* mlx5_vfio_pci\n",
    )
    device = read_one(tree, "0000:01:00.0")
    assert device.candidate_modules == ("any_network", "mlx5_core", "any_mellanox")
    assert device.vfio_modules == ("mlx5_vfio_pci", "vfio_pci")
    assert device.held_for_guests
    assert device.native_driver == "any_network"


def test_names_come_from_the_sections_of_pci_ids_that_are_needed(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:01:00.0", "8086:10d3")
    tree.function("0000:02:00.0", "10ec:8168", "0c0330")
    # The interface 30 of a USB controller is no sub-class 30.
    tree.function("0000:03:00.0", "8086:ffff", "0c3000")
    tree.write(
        "/usr/share/misc/pci.ids",
        "# header\n8085  Other\n\t10d3  Wrong\n8086  Intel Corporation\n\t10d2  Near\n\t10d3  82574L\n"
        "\t\t8086 0000  Subsystem\n\nC 02  Network controller\n\t00  Ethernet controller\nC 0c  Serial bus controller\n"
        "\t03  USB controller\n\t\t30  XHCI",
    )
    found = [(device.name, device.class_name) for device in read_functions(tree.root, Ledger(), names=True).devices]
    assert found == [
        ("Intel Corporation 82574L", "Ethernet controller"),
        (None, "USB controller"),
        ("Intel Corporation", None),
    ]


def test_the_very_first_line_of_pci_ids_counts() -> None:
    assert PciNames("8086  Intel Corporation\n").device_name(Identity("8086", "10d3", "0", "0")) == "Intel Corporation"


def test_config_space_fills_the_fields_that_decide_grouping(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    port = tree.function("0000:00:1c.0", "8086:a110", "060400")
    registers = (acs(0, 0)[0], b"\x5f\0\0\0\x1d\0\0\0")
    (port / "config").write_bytes(config_space([pcie(ROOT_PORT)], [registers], header_type=0x81))
    device = read_one(tree, "0000:00:1c.0")
    assert (device.header_type, device.multifunction, device.pcie_type) == (1, True, "root_port")
    assert (device.acs_capability, device.acs_control) == (0x5F, 0x1D)
    assert device.gaps == ()


def test_a_pf_its_vf_and_where_their_memory_lies(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    low = "0x00000000fe000000 0x00000000fe0fffff 0x0000000000040200\n"
    high = "0x0000380000000000 0x00003800000fffff 0x000000000014220c\n"
    pf = tree.function("0000:01:00.0", sriov_totalvfs="64", sriov_numvfs="1", power_state="D0", resource=low * 6 + high)
    (pf / "config").write_bytes(config_space([pcie(0)], [(EXT_CAP_SRIOV, bytes(60))]))
    vf = tree.function("0000:01:10.0", power_state="D3hot", resource=high)
    (vf / "physfn").symlink_to("../0000:01:00.0")
    found = read_one(tree, "0000:01:00.0")
    assert (found.sriov_totalvfs, found.sriov_numvfs, found.physfn) == (64, 1, None)
    # The seventh line is a region of VFs.
    assert (found.bar_above_4g, found.power_state) == (False, "D0")
    found = read_one(tree, "0000:01:10.0")
    assert (found.sriov_totalvfs, str(found.physfn)) == (None, "0000:01:00.0")
    assert (found.bar_above_4g, found.power_state) == (True, "D3hot")


@pytest.mark.parametrize("size", [0, 64])
def test_a_pf_shows_its_vfs_also_to_users_who_cannot_see_its_capabilities(tmp_path: Path, size: int) -> None:
    tree = HostTree(tmp_path)
    pf = tree.function("0000:01:00.0", sriov_totalvfs="64", sriov_numvfs="0")
    (pf / "config").write_bytes(config_space([pcie(0)], [(EXT_CAP_SRIOV, bytes(60))], size=size))
    found = read_one(tree, "0000:01:00.0")
    assert (found.sriov_totalvfs, found.sriov_numvfs) == (64, 0)
    assert found.gaps


def test_the_root_port_of_a_device_behind_vmd_is_in_its_own_domain(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:00:0e.0", "8086:467f", "010400")
    tree.function("10000:e0:06.0", "8086:464d", "060400", under="0000:00:0e.0/pci10000:e0")
    tree.function("10000:e1:00.0", "144d:a80a", "010802", under="0000:00:0e.0/pci10000:e0/10000:e0:06.0")
    disk, port = read_one(tree, "10000:e1:00.0"), read_one(tree, "10000:e0:06.0")
    assert (str(disk.parent), str(disk.root_port)) == ("10000:e0:06.0", "10000:e0:06.0")
    assert (str(port.parent), port.root_port) == ("0000:00:0e.0", None)


@pytest.mark.parametrize("method", ["flr bus", ""])
def test_a_reset_file_or_a_method_makes_it_resettable(tmp_path: Path, method: str) -> None:
    tree = HostTree(tmp_path)
    directory = tree.function("0000:01:00.0", resettable=not method)
    if method:
        (directory / "reset_method").write_text(method)
    tree.function("0000:02:00.0", resettable=False)
    assert read_one(tree, "0000:01:00.0").resettable
    assert not read_one(tree, "0000:02:00.0").resettable


def test_links_that_a_capture_made_absolute_stay_in_the_capture(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    directory = tree.function("0000:01:00.0", under="0000:00:1c.0", driver="e1000e")
    link = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    link.unlink()
    link.symlink_to("/" + str(directory.relative_to(tmp_path)))
    device = read_one(tree, "0000:01:00.0")
    assert (device.driver, str(device.parent)) == ("e1000e", "0000:00:1c.0")


def test_functions_that_cannot_be_told_are_named_and_the_others_read(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    for address in ("0000:01:00.0", "0000:02:00.0", "0000:03:00.0", "0000:04:00.0"):
        tree.function(address)
    shutil.rmtree(tmp_path / "sys/devices/pci0000:00/0000:01:00.0")
    tree.write("/sys/devices/pci0000:00/0000:02:00.0/uevent", "PCI_ID=zzzz\n")
    (tmp_path / "sys/devices/pci0000:00/0000:03:00.0/uevent").unlink()
    tree.write("/sys/bus/pci/devices/mdio:00/uevent", "")
    reading = read_functions(tree.root, Ledger())
    assert [str(device.address) for device in reading.devices] == ["0000:04:00.0"]
    assert reading.gaps == (
        "/sys/bus/pci/devices/mdio:00 is no PCI function",
        "0000:01:00.0 is left out: it disappeared while it was read (No such file or directory)",
        "0000:02:00.0 is left out: its uevent does not tell its ids and class",
        "0000:03:00.0 is left out: its uevent does not tell its ids and class",
    )


def test_odd_values_are_gaps_of_their_device(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    directory = tree.function("0000:01:00.0", numa_node="many", group=4)
    (directory / "config").unlink()
    (directory / "revision").mkdir()
    (directory / "iommu_group").unlink()
    (directory / "iommu_group").symlink_to("../elsewhere")
    device = read_one(tree, "0000:01:00.0")
    assert (device.numa_node, device.iommu_group, device.header_type, device.revision) == (None, None, None, "00")
    assert device.gaps == (
        "numa_node is 'many' and no number",
        "revision cannot be read: Is a directory",
        "iommu_group is 'elsewhere' and no number",
    )


def test_a_missing_config_space_is_a_gap(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    (tree.function("0000:01:00.0") / "config").unlink()
    assert read_one(tree, "0000:01:00.0").gaps == ("config is missing or empty",)


ATTRIBUTES = (
    "uevent",
    "config",
    "numa_node",
    "revision",
    "driver_override",
    "reset_method",
    "resource",
    "sriov_totalvfs",
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    contents=st.dictionaries(st.sampled_from(ATTRIBUTES), st.one_of(st.none(), st.binary(max_size=300)), max_size=5),
    links=st.dictionaries(st.sampled_from(("driver", "iommu_group", "physfn")), st.text("/.0:a\u00e9", min_size=1)),
)
def test_nothing_in_a_function_makes_the_reading_fail(
    tmp_path: Path, contents: dict[str, bytes | None], links: dict[str, str]
) -> None:
    shutil.rmtree(tmp_path / "sys", ignore_errors=True)
    tree = HostTree(tmp_path)
    directory = tree.function("0000:01:00.0", numa_node="0")
    tree.function("10000:02:00.0")
    for name, content in contents.items():
        (directory / name).unlink(missing_ok=True)
        if content is None:
            (directory / name).symlink_to("nowhere")
        else:
            (directory / name).write_bytes(content)
    for name, target in links.items():
        (directory / name).symlink_to(target)
    reading = read_functions(tree.root, Ledger())
    assert str(reading.devices[-1].address) == "10000:02:00.0"
    assert len(reading.devices) == 2 or reading.gaps
    for device in reading.devices:
        assert Device.from_json(device.to_json()) == device


class _Opens:
    """Counts what this process opens while it is on. Python knows no way to remove such a hook."""

    def __init__(self) -> None:
        self.counting = False
        self.count = 0
        sys.addaudithook(self._event)

    def _event(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.counting and event in ("open", "os.listdir", "os.scandir"):
            self.count += 1


@pytest.fixture(scope="module")
def card_with_vfs(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return build_large_host(tmp_path_factory.mktemp("large"), FUNCTIONS_PER_CARD)


def test_few_files_are_opened_for_a_function(card_with_vfs: Root) -> None:
    opens = _Opens()
    opens.counting = True
    read_devices(card_with_vfs, Ledger())
    opens.counting = False
    # The directory, its eight attributes and a try for one more; an interface of each eighth VF adds two or three.
    assert FUNCTIONS_PER_CARD < opens.count < 11 * FUNCTIONS_PER_CARD


def test_of_a_long_config_space_only_what_matters_is_read(card_with_vfs: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pread
    sizes: list[int] = []

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        sizes.append(size)
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counted)
    assert all(device.pcie_type for device in read_devices(card_with_vfs, Ledger()))
    assert sum(sizes) < 1024 * FUNCTIONS_PER_CARD

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the listings of guides say about their machines, we say too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.groups import read_iommu
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from tests.unit.plugins.host_tree import HostTree
from tests.unit.plugins.reference_hosts import bound_card, five_groups, resettable_devices, shared_slot


def groups_of(tree: HostTree) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = read_iommu(tree.root, read_devices(tree.root, Ledger()), ())["groups"]
    return groups


def devices_of(tree: HostTree) -> dict[str, dict[str, Any]]:
    return {str(device.address): device.to_json() for device in read_devices(tree.root, Ledger())}


def test_members_of_five_groups_in_numeric_order(tmp_path: Path) -> None:
    found = {group["id"]: group["devices"] for group in groups_of(five_groups(tmp_path))}
    assert list(found.items()) == [
        (1, ["0000:00:01.0"]),
        (2, ["0000:00:14.0"]),
        (4, ["0000:00:1a.0"]),
        (10, ["0000:00:1d.0"]),
        (13, ["0000:06:00.0", "0000:06:00.1"]),
    ]


def test_ids_class_and_revision_need_no_lspci(tmp_path: Path) -> None:
    card = devices_of(five_groups(tmp_path))["0000:06:00.0"]
    assert [card[key] for key in ("vendor_id", "device_id", "class", "revision")] == ["10de", "13c2", "0300", "a1"]


def test_a_port_in_the_group_of_its_card_stays_with_the_host(tmp_path: Path) -> None:
    tree = shared_slot(tmp_path)
    (group,) = groups_of(tree)
    assert (group["viable"], group["bridges"]) == (True, ["0000:00:01.0"])
    card = devices_of(tree)["0000:01:00.0"]
    assert (card["parent"], card["root_port"]) == ("0000:00:01.0", "0000:00:01.0")
    assert devices_of(tree)["0000:00:01.0"]["root_port"] is None


def test_a_network_card_in_the_group_keeps_it_from_vfio(tmp_path: Path) -> None:
    tree = shared_slot(tmp_path)
    tree.function("0000:02:00.0", driver="e1000e", group=1)
    (group,) = groups_of(tree)
    assert (group["viable"], group["blockers"]) == (False, ["0000:02:00.0"])


def test_a_bound_card_shows_its_native_modules_beside_its_driver(tmp_path: Path) -> None:
    found = devices_of(bound_card(tmp_path))
    card, audio = found["0000:06:00.0"], found["0000:06:00.1"]
    assert (card["driver"], card["candidate_modules"]) == ("vfio-pci", ["nouveau", "nvidia"])
    assert (card["driver_override"], card["vfio_modules"]) == ("vfio-pci", ["vfio_pci"])
    assert (audio["driver"], audio["candidate_modules"]) == ("vfio-pci", ["snd_hda_intel"])


def test_which_functions_can_be_reset(tmp_path: Path) -> None:
    found = devices_of(resettable_devices(tmp_path))
    resettable = [address for address, device in found.items() if device["resettable"]]
    assert resettable == ["0000:00:1a.0", "0000:00:1b.0", "0000:00:1d.0"]

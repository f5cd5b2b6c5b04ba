# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.controller import session_from
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.network import network_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from tests.unit.plugins.host_tree import HostTree

HEADER = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"


def route(interface: str, destination: str, mask: str, metric: int = 0) -> str:
    return f"{interface}\t{destination}\t00000000\t0001\t0\t0\t{metric}\t{mask}\t0\t0\t0\n"


def default(interface: str) -> str:
    return route(interface, "00000000", "00000000")


# 10.0.2.0/24 and 192.168.7.0/24 in the host's (little-endian) byte order.
LAN = ("0002000A", "00FFFFFF")
STORAGE_NET = ("0007A8C0", "00FFFFFF")


def found(tree: HostTree, peer: str | None = None) -> set[tuple[str, str, str | None]]:
    devices = read_devices(tree.root, Ledger())
    session = session_from({"SSH_CLIENT": f"{peer} 50000 22"}) if peer is not None else None
    sessions = (session,) if session is not None else ()
    return {(item.address, item.kind, item.allow) for item in network_dependencies(tree.root, devices, sessions)}


def two_cards(base: Path) -> HostTree:
    tree = HostTree(base)
    tree.interface("eno1", tree.function("0000:01:00.0"))
    tree.interface("eno2", tree.function("0000:02:00.0"))
    return tree


def test_the_default_route_is_the_way_when_the_controller_is_unknown(tmp_path: Path) -> None:
    tree = two_cards(tmp_path)
    tree.write("/proc/net/route", HEADER + default("eno1") + route("eno2", *STORAGE_NET))
    assert found(tree) == {
        ("0000:01:00.0", "management_nic", "management_nic"),
        ("0000:02:00.0", "configured_nic", "configured_nic"),
    }


def test_the_most_specific_route_to_the_controller_wins(tmp_path: Path) -> None:
    tree = two_cards(tmp_path)
    tree.write("/proc/net/route", HEADER + default("eno1") + route("eno2", *STORAGE_NET))
    assert ("0000:02:00.0", "management_nic", "management_nic") in found(tree, "192.168.7.9")
    assert ("0000:01:00.0", "configured_nic", "configured_nic") in found(tree, "192.168.7.9")


def test_every_card_below_a_bridge_over_a_vlan_over_a_bond_is_the_way(tmp_path: Path) -> None:
    tree = two_cards(tmp_path)
    stack = {"br0": ["bond0.5"], "bond0.5": ["bond0"], "bond0": ["eno1", "eno2"]}
    for upper in stack:
        tree.interface(upper, None)
    for upper, lowers in stack.items():
        for lower in lowers:
            real = Path(os.path.realpath(tmp_path / "sys/class/net" / upper))
            (real / f"lower_{lower}").symlink_to(os.path.realpath(tmp_path / "sys/class/net" / lower))
    tree.write("/proc/net/route", HEADER + default("br0"))
    assert found(tree) == {
        ("0000:01:00.0", "management_nic", "management_nic"),
        ("0000:02:00.0", "management_nic", "management_nic"),
    }


def test_a_card_in_a_bridge_without_addresses_is_configured(tmp_path: Path) -> None:
    tree = two_cards(tmp_path)
    bridge = tree.interface("br0", None)
    card = Path(os.path.realpath(tmp_path / "sys/class/net/eno2"))
    (card / "master").symlink_to(os.path.relpath(bridge, card))
    assert found(tree) == {("0000:02:00.0", "configured_nic", "configured_nic")}


def test_ipv6_routes_count_and_link_local_ones_do_not(tmp_path: Path) -> None:
    tree = two_cards(tmp_path)
    zeros = "0" * 32
    tree.write(
        "/proc/net/ipv6_route",
        f"20010db8{'0' * 24} 40 {zeros} 00 {zeros} 00000100 00000001 00000000 00000001 eno1\n"
        f"fe80{'0' * 28} 40 {zeros} 00 {zeros} 00000100 00000001 00000000 00000001 eno2\n"
        f"ff00{'0' * 28} 08 {zeros} 00 {zeros} 00000100 00000001 00000000 00000001 eno2\n",
    )
    assert found(tree, "2001:db8::7") == {("0000:01:00.0", "management_nic", "management_nic")}


def test_a_vf_on_the_way_needs_its_pf(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    physical = tree.function("0000:01:00.0")
    virtual = tree.function("0000:01:10.0")
    (virtual / "physfn").symlink_to(os.path.relpath(physical, virtual))
    tree.interface("eno1v0", virtual)
    tree.write("/proc/net/route", HEADER + default("eno1v0"))
    assert {address for address, _kind, _allow in found(tree)} == {"0000:01:00.0", "0000:01:10.0"}


def test_an_idle_card_is_free(tmp_path: Path) -> None:
    assert found(two_cards(tmp_path)) == set()

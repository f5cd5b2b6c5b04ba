# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.controller import session_from
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.network import network_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.routes import read_routes
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
NETWORK = network_dependencies.__module__
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


def net(tree: HostTree, name: str) -> Path:
    return Path(os.path.realpath(tree.base / "sys/class/net" / name))


def test_the_ports_of_open_vswitch_are_below_its_internal_ports(tmp_path: Path) -> None:
    tree = two_cards(tmp_path)
    datapath = tree.interface("ovs-system", None)
    tree.build_interface(datapath, net(tree, "eno1"))
    tree.interface("mgmt0", None)
    tree.write("/proc/net/route", HEADER + default("mgmt0") + route("eno2", *STORAGE_NET))
    assert found(tree, "198.51.100.7") == {
        ("0000:01:00.0", "management_nic", "management_nic"),
        ("0000:02:00.0", "configured_nic", "configured_nic"),
    }


def test_a_tunnel_to_the_controller_is_carried_by_the_default_route(tmp_path: Path) -> None:
    tree = two_cards(tmp_path)
    wireguard = tree.interface("wg0", None)
    (wireguard / "uevent").write_text("DEVTYPE=wireguard\n")
    routes = default("eno1") + route("eno2", *LAN) + route("wg0", *STORAGE_NET)
    tree.write("/proc/net/route", HEADER + routes)
    assert found(tree, "192.168.7.9") == {
        ("0000:01:00.0", "management_nic", "management_nic"),
        ("0000:02:00.0", "configured_nic", "configured_nic"),
    }


def test_a_tunnel_is_no_port_of_open_vswitch(tmp_path: Path) -> None:
    tree = two_cards(tmp_path)
    tree.build_interface(tree.interface("ovs-system", None), net(tree, "eno2"))
    (tree.interface("wg0", None) / "uevent").write_text("DEVTYPE=wireguard\n")
    tree.write("/proc/net/route", HEADER + default("eno1") + route("wg0", *STORAGE_NET))
    assert found(tree, "192.168.7.9") == {
        ("0000:01:00.0", "management_nic", "management_nic"),
        ("0000:02:00.0", "configured_nic", "configured_nic"),
    }


def test_where_no_route_leads_to_the_controller_every_configured_card_may(tmp_path: Path) -> None:
    # Routes of other tables (policy routing, VRF) are not in the file.
    tree = two_cards(tmp_path)
    tree.interface("eno3", tree.function("0000:03:00.0"))
    tree.write("/proc/net/route", HEADER + route("eno1", *LAN) + route("eno2", *STORAGE_NET))
    assert {(address, kind) for address, kind, _allow in found(tree, "198.51.100.7")} == {
        ("0000:01:00.0", "management_nic"),
        ("0000:02:00.0", "management_nic"),
    }


def test_a_link_local_session_names_its_interface(tmp_path: Path) -> None:
    assert found(two_cards(tmp_path), "fe80::9%eno2") == {("0000:02:00.0", "management_nic", "management_nic")}


def test_questions_and_answers_may_take_different_cards(tmp_path: Path) -> None:
    tree = two_cards(tmp_path)
    tree.write("/proc/net/route", HEADER + default("eno1") + route("eno2", *STORAGE_NET))
    session = session_from({"SSH_CONNECTION": "198.51.100.7 50000 192.168.7.1 22"})
    assert session is not None
    items = network_dependencies(tree.root, read_devices(tree.root, Ledger()), [session])
    assert {(item.address, item.kind) for item in items} == {
        ("0000:01:00.0", "management_nic"),
        ("0000:02:00.0", "management_nic"),
    }


def test_a_session_into_a_vrf_comes_in_where_its_address_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = two_cards(tmp_path)
    # The routes of the VRF that eno1 is in stand in a table of their own; its addresses only the kernel tells.
    vrf = tree.interface("mgmt", None)
    tree.build_interface(vrf, net(tree, "eno1"))
    tree.write("/proc/net/route", HEADER + default("eno2"))
    monkeypatch.setattr(f"{NETWORK}.ipv4_addresses", lambda _root: [(ip_address("192.0.2.10"), "eno1")])
    session = session_from({"SSH_CONNECTION": "198.51.100.7 50000 192.0.2.10 22"})
    assert session is not None
    read = network_dependencies(tree.root, read_devices(tree.root, Ledger()), [session])
    assert {item.address for item in read if item.allow == "management_nic"} == {"0000:01:00.0", "0000:02:00.0"}


def test_an_ipv6_address_without_a_route_counts_and_a_link_local_one_does_not(tmp_path: Path) -> None:
    tree = two_cards(tmp_path)
    tree.write(
        "/proc/net/if_inet6",
        f"20010db8{'0' * 23}1 02 80 00 80     eno1\n"
        f"fe80{'0' * 27}1 03 40 20 80     eno2\n"
        f"{'0' * 31}1 01 80 10 80       lo\n",
    )
    assert found(tree) == {("0000:01:00.0", "configured_nic", "configured_nic")}


def test_unreachable_routes_lead_nowhere(tmp_path: Path) -> None:
    tree = two_cards(tmp_path)
    zeros = "0" * 32
    tree.write("/proc/net/route", HEADER + route("*", *LAN).replace("\t0001\t", "\t0201\t"))
    tree.write("/proc/net/ipv6_route", f"{zeros} 00 {zeros} 00 {zeros} ffffffff 1 0 00200200 lo\n")
    assert read_routes(tree.root) == []
    assert found(tree, "2001:db8::7") == set()


def test_a_card_that_a_guest_has_a_macvtap_on_is_configured(tmp_path: Path) -> None:
    tree = two_cards(tmp_path)
    tree.build_interface(tree.interface("macvtap0", None), net(tree, "eno2"))
    assert found(tree) == {("0000:02:00.0", "configured_nic", "configured_nic")}


def test_a_card_on_usb_needs_its_controller(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    controller = tree.function("0000:00:14.0", "8086:a36d", "0c0330")
    tree.interface("usb0", controller / "usb1/1-2/1-2:1.0")
    tree.write("/proc/net/route", HEADER + default("usb0"))
    assert found(tree) == {("0000:00:14.0", "management_nic", "management_nic")}


def test_equally_good_routes_are_all_the_way(tmp_path: Path) -> None:
    tree = two_cards(tmp_path)
    zeros = "0" * 32
    lines = [f"{zeros} 00 {zeros} 00 {zeros} 00000400 1 0 00450003 {name}\n" for name in ("eno1", "eno2")]
    tree.write("/proc/net/ipv6_route", "".join(lines))
    assert {kind for _address, kind, _allow in found(tree, "2001:db8::7")} == {"management_nic"}

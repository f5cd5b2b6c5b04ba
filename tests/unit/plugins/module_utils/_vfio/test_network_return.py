# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.network_return import (
    Settings,
    bring_back,
    commands,
    interfaces_of,
    kept_settings,
    missing,
    parse_settings,
)
from tests.unit.plugins.host_tree import HostTree

NIC = Address.parse("0000:01:00.0")
FULL = Settings("eth1", 9000, True, "br0", ("192.0.2.5/24", "2001:db8::5/64"))
BARE = Settings("eth1", 1500, False, None, ())

# As iproute2 prints it (ip -json address show, 6.1).
LISTING = """[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"mtu":65536,"addr_info":[
{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host","label":"lo"}]},
{"ifindex":3,"ifname":"eth1","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"mtu":9000,"qdisc":"mq","master":"br0",
"operstate":"UP","addr_info":[
{"family":"inet","local":"192.0.2.5","prefixlen":24,"broadcast":"192.0.2.255","scope":"global","label":"eth1"},
{"family":"inet","local":"198.51.100.9","prefixlen":24,"scope":"global","dynamic":true,"label":"eth1"},
{"family":"inet6","local":"2001:db8::5","prefixlen":64,"scope":"global"},
{"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]},{},
{"ifindex":4,"ifname":"eth2","flags":["BROADCAST","MULTICAST"],"mtu":1500,"addr_info":[]}]"""


class Ip:
    """The kernel's side of ``ip``: it does what it is told, but for ``deaf`` subjects, and lists itself."""

    def __init__(self, *interfaces: Settings, deaf: Sequence[str] = ()) -> None:
        self.state = {one.name: one.to_json() for one in interfaces}
        self.deaf = deaf
        self.told: list[str] = []

    def __call__(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        assert (argv[0], cwd) == ("/sbin/ip", None)
        if list(argv[1:]) == ["-json", "address", "show"]:
            return CommandResult(tuple(argv), 0, json.dumps([self._listed(one) for one in self.state.values()]), "")
        self.told.append(" ".join(argv[1:]))
        if any(word in argv for word in self.deaf):
            return CommandResult(tuple(argv), 2, "", "RTNETLINK answers: Operation not supported")
        self._obey(list(argv[1:]))
        return CommandResult(tuple(argv), 0, "", "")

    def _obey(self, words: list[str]) -> None:
        state = self.state[words[words.index("dev") + 1]]
        if words[:2] == ["address", "add"]:
            state["addresses"].append(words[2])
        elif words[-1] == "up":
            state["up"] = True
        else:
            state[words[-2]] = int(words[-1]) if words[-2] == "mtu" else words[-1]

    @staticmethod
    def _listed(state: dict[str, Any]) -> dict[str, Any]:
        pairs = [one.split("/") for one in state["addresses"]]
        return {
            "ifname": state["name"],
            "mtu": state["mtu"],
            "flags": ["UP"] if state["up"] else [],
            **({"master": state["master"]} if state["master"] else {}),
            "addr_info": [{"local": local, "prefixlen": int(length), "scope": "global"} for local, length in pairs],
        }


@pytest.fixture
def tree(tmp_path: Path) -> HostTree:
    tree = HostTree(tmp_path)
    nic = tree.function(str(NIC), "8086:10d3", "020000", driver="e1000e", group=1)
    interface = tree.interface("eth1", nic)
    (interface / "ifindex").write_text("3\n")
    return tree


def test_what_is_kept_of_a_listing() -> None:
    found = parse_settings(LISTING)
    assert found["eth1"] == FULL
    assert found["eth2"] == Settings("eth2", 1500, False, None, ())
    assert (found["eth1"].is_plain, found["eth2"].is_plain) == (False, True)


@pytest.mark.parametrize("text", ["{", '[{"mtu": 1}]', "[1]", '[{"ifname": "a", "addr_info": [{"local": "::1"}]}]'])
def test_a_listing_that_is_none(text: str) -> None:
    with pytest.raises(ToolError, match="cannot be understood"):
        parse_settings(text)


def test_only_a_configured_interface_is_kept(tree: HostTree) -> None:
    other = Address.parse("0000:02:00.0")
    tree.function(str(other), "8086:10d3", "010000", driver="nvme", group=2)
    assert kept_settings(tree.root, Ip(FULL), [NIC, other]) == {NIC: [FULL.to_json()]}
    assert kept_settings(tree.root, Ip(BARE), [NIC, other]) == {}
    silent = Ip()
    assert kept_settings(tree.root, silent, [other]) == {}
    assert Settings.from_json(json.loads(json.dumps(FULL.to_json()))) == FULL


def test_an_interface_of_virtio_hangs_lower(tree: HostTree) -> None:
    function = tree.function("0000:03:00.0", "1af4:1041", "020000", driver="virtio-pci", group=3)
    (function / "virtio2/net/eth7").mkdir(parents=True)
    assert interfaces_of(tree.root, Address.parse("0000:03:00.0")) == ["eth7"]


def test_everything_comes_back(tree: HostTree) -> None:
    ip = Ip(BARE)
    assert bring_back(tree.root, ip, {NIC: [FULL.to_json()]}) == []
    assert ip.told == [
        "link set dev eth1 mtu 9000",
        "link set dev eth1 master br0",
        "link set dev eth1 up",
        "address add 192.0.2.5/24 dev eth1",
        "address add 2001:db8::5/64 dev eth1",
    ]
    assert parse_settings(ip(["/sbin/ip", "-json", "address", "show"]).stdout)["eth1"] == FULL


def test_what_somebody_else_brought_back_is_left_alone(tree: HostTree) -> None:
    ip = Ip(FULL)
    assert bring_back(tree.root, ip, {NIC: [FULL.to_json()]}) == []
    assert ip.told == []


def test_what_could_not_be_brought_back_is_told(tree: HostTree) -> None:
    ip = Ip(BARE, deaf=("master", "2001:db8::5/64"))
    (note,) = bring_back(tree.root, ip, {NIC: [FULL.to_json()]})
    assert note == "eth1 of 0000:01:00.0 is back without address 2001:db8::5/64, master br0: set that by hand"


@pytest.mark.parametrize(
    ("path", "text", "manager"),
    [
        ("/run/systemd/netif/links/3", "# private\nADMIN_STATE=configuring\n", "systemd-networkd"),
        ("/run/systemd/netif/links/3", "ADMIN_STATE=unmanaged\n", None),
        ("/run/NetworkManager/devices/3", "[device]\nmanaged=true\n", "NetworkManager"),
        ("/run/NetworkManager/devices/3", "[device]\nmanaged=false\n", None),
        ("/run/NetworkManager/devices/4", "[device]\nmanaged=true\n", None),
    ],
)
def test_a_manager_does_it_itself(tree: HostTree, path: str, text: str, manager: str | None) -> None:
    tree.write(path, text)
    ip = Ip(BARE)
    notes = bring_back(tree.root, ip, {NIC: [FULL.to_json()]})
    assert bool(ip.told) == (manager is None)
    assert [f"{manager} configures it" in note for note in notes] == ([] if manager is None else [True])


def test_an_interface_under_another_name_is_told(tree: HostTree) -> None:
    gone = Settings("eth9", 1500, True, None, ("192.0.2.9/24",))
    ip = Ip(BARE)
    (note,) = bring_back(tree.root, ip, {NIC: [gone.to_json()]}, wait=False)
    assert "eth9 of 0000:01:00.0 is not back (eth1 is there). It had address 192.0.2.9/24, MTU 1500, and was up" in note
    assert ip.told == []


_SETTINGS = st.builds(
    Settings,
    st.just("eth1"),
    st.sampled_from([1500, 9000]),
    st.booleans(),
    st.sampled_from([None, "br0"]),
    st.sets(st.sampled_from(FULL.addresses)).map(lambda found: tuple(sorted(found))),
)


@given(_SETTINGS, _SETTINGS)
def test_the_commands_leave_nothing_missing(wanted: Settings, present: Settings) -> None:
    ip = Ip(present)
    for arguments in commands(wanted, present):
        ip(["/sbin/ip", *arguments])
    after = parse_settings(ip(["/sbin/ip", "-json", "address", "show"]).stdout)["eth1"]
    assert missing(wanted, after) == []
    assert commands(wanted, after) == []

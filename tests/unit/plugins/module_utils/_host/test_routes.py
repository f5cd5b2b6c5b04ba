# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host import routes
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.controller import management_sessions
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.routes import (
    Route,
    interfaces_towards,
    ipv4_addresses,
    ipv6_addresses,
    read_routes,
)
from tests.unit.plugins.host_tree import HostTree

ROUTES = [
    Route(ip_network("0.0.0.0/0"), 100, "eno1"),
    Route(ip_network("0.0.0.0/0"), 600, "wlan0"),
    Route(ip_network("10.0.0.0/8"), 0, "eno2"),
    Route(ip_network("10.1.0.0/16"), 100, "eno3"),
    Route(ip_network("10.1.0.0/16"), 100, "eno4"),
    Route(ip_network("::/0"), 0, "eno6"),
]


@pytest.mark.parametrize(
    ("address", "interfaces"),
    [
        ("192.0.2.1", {"eno1"}),
        ("10.2.0.1", {"eno2"}),
        ("10.1.0.1", {"eno3", "eno4"}),
        ("2001:db8::1", {"eno6"}),
    ],
)
def test_the_longest_prefix_wins_before_the_lowest_metric(address: str, interfaces: set[str]) -> None:
    assert interfaces_towards(ROUTES, ip_address(address)) == interfaces


def test_the_running_kernel_knows_who_has_an_address(tmp_path: Path) -> None:
    known = {str(address) for address, _interface in ipv4_addresses(Root())}
    trie = Root().read_text("/proc/net/fib_trie") or ""
    local = set(re.findall(r"-- (\S+)\n\s+/32 host LOCAL", trie))
    # Every address is in the local table; 127.0.0.0/8 as a whole is the loopback interface's.
    assert known == local
    assert all(interface == "lo" for address, interface in ipv4_addresses(Root()) if address.is_loopback)
    assert ipv4_addresses(Root(str(tmp_path))) == []


def test_more_addresses_than_were_made_room_for_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    all_of_them = ipv4_addresses(Root())
    monkeypatch.setattr(routes, "_FIRST_COUNT", 1)
    assert ipv4_addresses(Root()) == all_of_them


@pytest.mark.parametrize("path", ["/proc/net/route", "/proc/net/ipv6_route", "/proc/net/if_inet6", "/proc/net/tcp"])
@pytest.mark.parametrize("line", ["eno1 00000000 0101", "-" * 200, "99999999999 : 9 9 9 9 9 9 9 9 9"])
def test_a_line_that_cannot_be_read_is_named_and_not_passed_over(tmp_path: Path, path: str, line: str) -> None:
    tree = HostTree(tmp_path)
    tree.write(path, f"{line}\n{line}\n")
    with pytest.raises(HostStateError, match=path) as raised:
        (read_routes(tree.root), ipv6_addresses(tree.root), management_sessions(tree.root, {}, None))
    assert line[:80] in str(raised.value)

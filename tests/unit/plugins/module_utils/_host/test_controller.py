# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.controller import (
    Session,
    management_sessions,
    session_from,
)
from tests.unit.plugins.host_tree import HostTree

PEER = Session(ip_address("192.168.7.9"), ip_address("192.168.7.1"))
CONNECTION = {"SSH_CONNECTION": "192.168.7.9 50000 192.168.7.1 22"}


@pytest.mark.parametrize(
    ("environment", "session"),
    [
        (CONNECTION, PEER),
        ({"SSH_CLIENT": "192.168.7.9 50000 22"}, Session(ip_address("192.168.7.9"))),
        ({"SSH_CONNECTION": "::ffff:192.168.7.9 5 ::ffff:192.168.7.1 22"}, PEER),
        (
            {"SSH_CONNECTION": "fe80::9%eno1 5 fe80::1%eno1 22"},
            Session(ip_address("fe80::9"), ip_address("fe80::1"), "eno1"),
        ),
        # A tunnel that ends on this host, or a login from it, tells nothing of the way in.
        ({"SSH_CONNECTION": "127.0.0.1 5 127.0.0.1 22"}, None),
        ({"SSH_CONNECTION": "192.168.7.1 5 192.168.7.1 22"}, None),
        ({"SSH_CONNECTION": "UNKNOWN 5 UNKNOWN 22"}, None),
        ({"SSH_CONNECTION": ""}, None),
        ({}, None),
    ],
)
def test_the_session_that_an_environment_names(environment: dict[str, str], session: Session | None) -> None:
    assert session_from(environment) == session


def test_our_own_environment_comes_first(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.process(50, "sshd", environ={"SSH_CONNECTION": "10.0.0.1 5 10.0.0.2 22"})
    assert management_sessions(tree.root, CONNECTION, 50) == (PEER,)


def test_where_sudo_stripped_it_an_ancestor_still_has_it(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.process(100, "bash", environ=CONNECTION, parent=1)
    tree.process(101, "sudo", environ={"TERM": "dumb"}, parent=100)
    tree.process(102, "python3", environ={"SUDO_USER": "admin"}, parent=101)
    assert management_sessions(tree.root, {"SUDO_USER": "admin"}, 102) == (PEER,)


def test_ancestors_that_go_round_end(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.process(100, "a", parent=101)
    tree.process(101, "b", parent=100)
    assert management_sessions(tree.root, {}, 100) == ()


def connection(local: str, peer: str, state: str, inode: int) -> str:
    return f"   0: {local} {peer} {state} 00000000:00000000 00:00000000 00000000 0 0 {inode} 1 0\n"


LISTENING = connection("00000000:0016", "00000000:0000", "0A", 1)
# 192.168.7.1:22 and a client at 192.168.7.9, in the host's (little-endian) byte order.
LOCAL, CLIENT = "0107A8C0:0016", "0907A8C0:C350"
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


@pytest.mark.parametrize(
    ("line", "sessions"),
    [
        (connection(LOCAL, CLIENT, "01", 77), (PEER,)),
        # Closing, of another program, from this host itself, and what the server forwards for its client.
        (connection(LOCAL, CLIENT, "06", 77), ()),
        (connection(LOCAL, CLIENT, "01", 78), ()),
        (connection("0100007F:0016", "0100007F:C350", "01", 77), ()),
        (connection("0107A8C0:9C40", "0907A8C0:0050", "01", 77), ()),
    ],
)
def test_without_any_environment_every_session_of_the_server_counts(
    tmp_path: Path, line: str, sessions: tuple[Session, ...]
) -> None:
    tree = HostTree(tmp_path)
    tree.write("/proc/net/tcp", HEADER + LISTENING + line)
    tree.process(600, "sshd-session", files=["/dev/null", "socket:[77]"])
    tree.process(601, "nginx", files=["socket:[78]"])
    assert management_sessions(tree.root, {}, None) == sessions


def test_a_server_that_listens_on_ipv6_sees_both(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    mapped = "0000000000000000FFFF0000"
    lines = [
        connection("0" * 32 + ":0016", "0" * 32 + ":0000", "0A", 1),
        connection(f"{mapped}{LOCAL}", f"{mapped}{CLIENT}", "01", 77),
        connection("B80D0120" + "0" * 16 + "01000000:0016", "B80D0120" + "0" * 16 + "07000000:C350", "01", 78),
    ]
    tree.write("/proc/net/tcp6", HEADER + "".join(lines))
    tree.process(600, "sshd", files=["socket:[77]", "socket:[78]"])
    other = Session(ip_address("2001:db8::7"), ip_address("2001:db8::1"))
    assert management_sessions(tree.root, {}, None) == (PEER, other)

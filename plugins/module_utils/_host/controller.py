# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""From where this host is being managed: the other ends of the SSH sessions that may be ours."""

from __future__ import annotations

import ipaddress
import re
import struct
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.processes import (
    environment_of,
    open_files,
    parent_of,
    process_ids,
    process_name,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.routes import (
    IPAddress,
    table_lines,
    understood,
)

# Both variables begin with the client's address and port; SSH_CONNECTION goes on with ours (ssh(1)).
_VARIABLES = ("SSH_CONNECTION", "SSH_CLIENT")
# The processes of an SSH server that hold a session's socket; OpenSSH 9.8 split them off.
_SSH_SERVERS = frozenset({"sshd", "sshd-session", "sshd-auth", "dropbear"})
_SOCKET = re.compile(r"socket:\[(\d+)\]")

# include/net/tcp_states.h
_ESTABLISHED = "01"
_LISTENING = "0A"

# A process tree is no deeper; a loop could only come from numbers that were given again while we read.
_MOST_ANCESTORS = 64


class Session(t.NamedTuple):
    """One way in: the other end, our own address, and the interface where the address belongs to one alone."""

    peer: IPAddress
    local: IPAddress | None = None
    interface: str | None = None


def management_sessions(root: Root, environment: t.Mapping[str, str], pid: int | None) -> tuple[Session, ...]:
    """The session that we run in; where that cannot be told, every SSH session of this host; empty without any.

    ``environment`` and ``pid`` are those of the running process. sudo and its like strip the environment of what
    they start, not their own and not that of the shell before them.
    """
    own = session_from(environment) or _session_of_ancestors(root, pid)
    return (own,) if own is not None else _server_sessions(root)


def session_from(environment: t.Mapping[str, str]) -> Session | None:
    """The session that a process's environment names. One that comes from this host itself tells of no way in."""
    for variable in _VARIABLES:
        words = environment.get(variable, "").split()
        if not words:
            continue
        peer, interface = _scoped(words[0])
        local = _scoped(words[2])[0] if variable == "SSH_CONNECTION" and len(words) > 2 else None
        if peer is not None and not peer.is_loopback and peer != local:
            return Session(peer, local, interface)
    return None


def _scoped(text: str) -> tuple[IPAddress | None, str | None]:
    address, _percent, interface = text.partition("%")
    try:
        return _plain(ipaddress.ip_address(address)), interface or None
    except ValueError:
        return None, None


def _plain(address: IPAddress) -> IPAddress:
    # A server that listens on IPv6 alone sees IPv4 clients as ::ffff:a.b.c.d.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _session_of_ancestors(root: Root, pid: int | None) -> Session | None:
    for _step in range(_MOST_ANCESTORS):
        if pid is None or pid <= 1:
            return None
        session = session_from(environment_of(root, pid))
        if session is not None:
            return session
        pid = parent_of(root, pid)
    return None


class _Connection(t.NamedTuple):
    local: IPAddress
    port: int
    peer: IPAddress
    state: str
    inode: str


def _server_sessions(root: Root) -> tuple[Session, ...]:
    """Established connections that an SSH server has accepted, not those that it forwards."""
    connections = [found for table in ("tcp", "tcp6") for found in _connections(root, table)]
    ports = {connection.port for connection in connections if connection.state == _LISTENING}
    candidates = [
        connection
        for connection in connections
        if connection.state == _ESTABLISHED and connection.port in ports and not connection.peer.is_loopback
    ]
    sockets = _server_sockets(root) if candidates else set()
    sessions = (Session(found.peer, found.local) for found in candidates if found.inode in sockets)
    return tuple(dict.fromkeys(sessions))


def _connections(root: Root, table: str) -> t.Iterator[_Connection]:
    path = f"/proc/net/{table}"
    for fields in table_lines(root, path, header=True):
        with understood(path, fields):
            (local, port), (peer, _peer_port) = (end.split(":") for end in fields[1:3])
            yield _Connection(_address(local), int(port, 16), _address(peer), fields[3], fields[9])


def _address(text: str) -> IPAddress:
    """As ``/proc/net/tcp`` prints it: words of four bytes in the host's order."""
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    return _plain(ipaddress.ip_address(struct.pack(f"={len(words)}I", *words)))


def _server_sockets(root: Root) -> set[str]:
    """The inodes of the sockets that SSH servers have open."""
    found: set[str] = set()
    for pid in process_ids(root):
        if process_name(root, pid) in _SSH_SERVERS:
            matches = (_SOCKET.fullmatch(target) for target in open_files(root, pid))
            found.update(match.group(1) for match in matches if match is not None)
    return found

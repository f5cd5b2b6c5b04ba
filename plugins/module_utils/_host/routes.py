# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The kernel's routing tables, the addresses of interfaces, and the way to another machine.

Of the reader's own network namespace: interfaces that were moved into another one, for a container, are out of sight.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import ipaddress
import os
import socket
import struct
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

IPAddress = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

# include/uapi/linux/route.h, ipv6_route.h and sockios.h
_RTF_UP = 0x1
_RTF_REJECT = 0x200
_SIOCGIFCONF = 0x8912
_IFNAMSIZ = 16
# The name and a union, whose largest member has two words of the machine and eight bytes (struct ifmap).
_IFREQ_SIZE = _IFNAMSIZ + 2 * struct.calcsize("P") + 8
_FIRST_COUNT = 64

# The scopes of /proc/net/if_inet6 that every interface gets by itself (include/net/ipv6.h).
_IPV6_LOOPBACK = 0x10
_IPV6_LINK_LOCAL = 0x20

LOOPBACK = "lo"


class Route(t.NamedTuple):
    """One line of the kernel's routing table; for IPv4 only the main one is to be seen."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    metric: int
    interface: str

    @property
    def is_default(self) -> bool:
        return self.network.prefixlen == 0


def read_routes(root: Root) -> list[Route]:
    """IPv4 and IPv6 routes; link-local ones do not make an interface configured and are left out."""
    return [*_ipv4_routes(root), *_ipv6_routes(root)]


def _ipv4_routes(root: Root) -> t.Iterator[Route]:
    for fields in table_lines(root, "/proc/net/route", header=True):
        with understood("/proc/net/route", fields):
            if not _leads_somewhere(fields[3]):
                continue
            # The file prints addresses as host-order words.
            address = socket.inet_ntoa(struct.pack("=I", int(fields[1], 16)))
            mask = socket.inet_ntoa(struct.pack("=I", int(fields[7], 16)))
            yield Route(ipaddress.IPv4Network(f"{address}/{mask}", strict=False), int(fields[6]), fields[0])


def _ipv6_routes(root: Root) -> t.Iterator[Route]:
    for fields in table_lines(root, "/proc/net/ipv6_route"):
        with understood("/proc/net/ipv6_route", fields):
            if not _leads_somewhere(fields[8]) or fields[9] == LOOPBACK:
                continue
            address = ipaddress.IPv6Address(bytes.fromhex(fields[0]))
            network = ipaddress.IPv6Network((address, int(fields[1], 16)), strict=False)
            if not (network.is_link_local or network.is_multicast):
                yield Route(network, int(fields[5], 16), fields[9])


def table_lines(root: Root, path: str, header: bool = False) -> list[list[str]]:
    """The fields of every line of one of the kernel's network tables, none where there is no such table."""
    lines = [line.split() for line in (root.read_text(path) or "").splitlines()[int(header) :]]
    return [fields for fields in lines if fields]


@contextlib.contextmanager
def understood(path: str, fields: t.Sequence[str]) -> t.Iterator[None]:
    """Raises :class:`HostStateError` where ``fields`` are no line of the table ``path``: what is passed over could be
    the way to the controller."""
    try:
        yield
    except (ValueError, IndexError, struct.error) as exc:
        raise HostStateError(
            f"{path} has the line '{' '.join(fields)[:80]}', which the kernel does not write: is the capture damaged?"
        ) from exc


def _leads_somewhere(flags: str) -> bool:
    return bool(int(flags, 16) & _RTF_UP) and not int(flags, 16) & _RTF_REJECT


def interfaces_towards(routes: t.Iterable[Route], address: IPAddress) -> set[str]:
    """The interfaces of the most specific route with the best metric; several where these are equally good."""
    reaching = [route for route in routes if address in route.network]
    best = max(((route.network.prefixlen, -route.metric) for route in reaching), default=None)
    return {route.interface for route in reaching if (route.network.prefixlen, -route.metric) == best}


def ipv6_addresses(root: Root) -> list[tuple[ipaddress.IPv6Address, str]]:
    """Every IPv6 address with its interface, without those that each interface gets by itself."""
    found = []
    for fields in table_lines(root, "/proc/net/if_inet6"):
        with understood("/proc/net/if_inet6", fields):
            if int(fields[3], 16) not in (_IPV6_LOOPBACK, _IPV6_LINK_LOCAL):
                found.append((ipaddress.IPv6Address(bytes.fromhex(fields[0])), fields[5]))
    return found


def ipv4_addresses(root: Root) -> list[tuple[ipaddress.IPv4Address, str]]:
    """Every IPv4 address with its interface, asked of the running kernel; none for a captured tree.

    Most show by a route of the main table as well. A single address (/32), one without a prefix route, and one of a VRF
    do not, and no file below ``/proc`` tells which interface has it (``fib_trie`` names addresses alone).
    """
    if not root.is_live:
        return []
    count = _FIRST_COUNT
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asking:
        while True:
            entries = array.array("B", bytes(count * _IFREQ_SIZE))
            request = struct.pack("iP", len(entries), entries.buffer_info()[0])
            (used,) = struct.unpack_from("i", fcntl.ioctl(asking, _SIOCGIFCONF, request))
            if used < len(entries):
                break
            # It was filled to the end: there may be more.
            count *= 2
    starts = range(0, used, _IFREQ_SIZE)
    return [_address_of_interface(bytes(entries[start : start + _IFREQ_SIZE])) for start in starts]


def _address_of_interface(entry: bytes) -> tuple[ipaddress.IPv4Address, str]:
    # struct ifreq: the name, then the family and the port of a socket address before its four bytes. A further address
    # of an interface may have a label (eth0:1) instead of the name.
    name = os.fsdecode(entry[:_IFNAMSIZ].partition(b"\0")[0]).partition(":")[0]
    return ipaddress.IPv4Address(entry[_IFNAMSIZ + 4 : _IFNAMSIZ + 8]), name

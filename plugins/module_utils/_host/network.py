# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which PCI functions carry the network that this host uses."""

from __future__ import annotations

import ipaddress
import socket
import struct
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency

ALLOW_MANAGEMENT = "management_nic"
ALLOW_CONFIGURED = "configured_nic"

# include/uapi/linux/route.h and ipv6_route.h
_RTF_UP = 0x1


class Route(t.NamedTuple):
    """One line of the kernel's main routing table."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    metric: int
    interface: str


def network_dependencies(root: Root, devices: t.Sequence[Device], peer: str | None) -> list[Dependency]:
    """NICs below a configured interface. ``peer`` is the controller's address where it is known.

    Management is the way to the peer; where the peer is unknown, every default route counts as the way.
    """
    routes = read_routes(root)
    management = _management_interfaces(routes, peer)
    configured = {route.interface for route in routes if route.interface != "lo"}
    configured.update(name for name in root.listdir("/sys/class/net") if root.exists(f"/sys/class/net/{name}/master"))
    owners = {interface: device for device in devices for interface in device.interfaces}
    found: list[Dependency] = []
    for interface in sorted(configured):
        for lower in lowest_interfaces(root, interface):
            device = owners.get(lower)
            if device is not None:
                through = lower if lower == interface else f"{lower}, below {interface}"
                found += _dependencies(device, through, interface in management)
    return list(dict.fromkeys(found))


def _dependencies(device: Device, through: str, is_management: bool) -> t.Iterator[Dependency]:
    # A VF is gone without its PF, so the host needs both.
    for address in filter(None, (device.address, device.physfn)):
        if is_management:
            yield Dependency(
                str(address), "management_nic", f"is {through}: the way to the controller", ALLOW_MANAGEMENT
            )
        else:
            yield Dependency(
                str(address),
                "configured_nic",
                f"is {through}: has addresses, routes or a bond or bridge",
                ALLOW_CONFIGURED,
            )


def lowest_interfaces(root: Root, interface: str) -> list[str]:
    """The interfaces at the bottom of bonds, bridges, VLANs and the like (sysfs ``lower_*`` links)."""
    lowers = [
        name[len("lower_") :] for name in root.listdir(f"/sys/class/net/{interface}") if name.startswith("lower_")
    ]
    if not lowers:
        return [interface]
    return [lowest for lower in lowers for lowest in lowest_interfaces(root, lower)]


def read_routes(root: Root) -> list[Route]:
    """IPv4 and IPv6 routes; link-local ones do not make an interface configured and are left out."""
    return [*_ipv4_routes(root), *_ipv6_routes(root)]


def _ipv4_routes(root: Root) -> t.Iterator[Route]:
    for line in (root.read_text("/proc/net/route") or "").splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or not int(fields[3], 16) & _RTF_UP:
            continue
        # The file prints addresses as host-order words.
        address = socket.inet_ntoa(struct.pack("=I", int(fields[1], 16)))
        mask = socket.inet_ntoa(struct.pack("=I", int(fields[7], 16)))
        yield Route(ipaddress.IPv4Network(f"{address}/{mask}", strict=False), int(fields[6]), fields[0])


def _ipv6_routes(root: Root) -> t.Iterator[Route]:
    for line in (root.read_text("/proc/net/ipv6_route") or "").splitlines():
        fields = line.split()
        if len(fields) < 10 or not int(fields[8], 16) & _RTF_UP:
            continue
        address = ipaddress.IPv6Address(bytes.fromhex(fields[0]))
        network = ipaddress.IPv6Network((address, int(fields[1], 16)), strict=False)
        if not (network.is_link_local or network.is_multicast):
            yield Route(network, int(fields[5], 16), fields[9])


def _management_interfaces(routes: t.Sequence[Route], peer: str | None) -> set[str]:
    address = _peer_address(peer)
    candidates = [
        route for route in routes if route.network.prefixlen == 0 or (address is not None and address in route.network)
    ]
    if address is None:
        return {route.interface for route in candidates if route.interface != "lo"}
    reaching = [route for route in candidates if address in route.network]
    best = max(reaching, key=lambda route: (route.network.prefixlen, -route.metric), default=None)
    return {best.interface} if best is not None else set()


def _peer_address(peer: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address((peer or "").split("%")[0])
    except ValueError:
        return None


def ssh_peer(environment: t.Mapping[str, str]) -> str | None:
    """The client's address of the SSH session that we run in; sudo may have dropped it."""
    words = environment.get("SSH_CONNECTION", "").split()
    return words[0] if words else None

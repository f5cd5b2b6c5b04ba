# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which PCI functions carry the network that this host uses."""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.controller import Session
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.interfaces import Interfaces
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.routes import (
    LOOPBACK,
    IPAddress,
    Route,
    interfaces_towards,
    ipv4_addresses,
    ipv6_addresses,
    read_routes,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.storage import RemoteRoot
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency

MANAGEMENT_NIC = "management_nic"
CONFIGURED_NIC = "configured_nic"
ROOT_NIC = "root_nic"

ALLOW_MANAGEMENT = "management_nic"
ALLOW_CONFIGURED = "configured_nic"


def network_dependencies(
    root: Root, devices: t.Sequence[Device], sessions: t.Sequence[Session], remote_roots: t.Sequence[RemoteRoot] = ()
) -> list[Dependency]:
    """NICs below a configured interface, on the way to the controller, and on the way to what the machine starts from.

    ``sessions`` lead to the controller; without any, every default route counts as the way.
    """
    network = _Network(root, devices)
    found: list[Dependency] = []
    ways = network.ways_to_controller(sessions)
    for interface, why in ways.items():
        found += network.dependencies(interface, MANAGEMENT_NIC, why, ALLOW_MANAGEMENT)
    # One key is enough for one use: what is below the way to the controller is configured as well.
    managed = network.lowest(ways)
    for interface in sorted(network.configured):
        why = "has addresses, routes or a bond or bridge"
        found += network.dependencies(interface, CONFIGURED_NIC, why, ALLOW_CONFIGURED, besides=managed)
    for remote_root in remote_roots:
        for interface, why in network.ways_to_root(remote_root).items():
            found += network.dependencies(interface, ROOT_NIC, why, None)
    return list(dict.fromkeys(found))


class _Network:
    def __init__(self, root: Root, devices: t.Sequence[Device]) -> None:
        self._interfaces = Interfaces(root, devices)
        self._routes: t.Sequence[Route] = read_routes(root)
        self._addresses: t.Sequence[tuple[IPAddress, str]] = [*ipv4_addresses(root), *ipv6_addresses(root)]
        self.configured = {
            *(route.interface for route in self._routes),
            *(interface for _address, interface in self._addresses),
            *self._interfaces.built_on(),
        } - {LOOPBACK}

    def lowest(self, interfaces: t.Iterable[str]) -> set[str]:
        return {lower for interface in interfaces for lower in self._interfaces.lowest(interface)}

    def dependencies(
        self, interface: str, kind: str, why: str, allow: str | None, besides: t.Collection[str] = ()
    ) -> t.Iterator[Dependency]:
        """The functions below ``interface``, except through the lowest interfaces ``besides``."""
        for lower, device in self._interfaces.functions(interface):
            if lower in besides:
                continue
            through = lower if lower == interface else f"{lower}, below {interface}"
            # A VF is gone without its PF, so the host needs both.
            for address in filter(None, (device.address, device.physfn)):
                yield Dependency(str(address), kind, f"is {through}: {why}", allow)

    def ways_to_controller(self, sessions: t.Sequence[Session]) -> dict[str, str]:
        """Interfaces, each with the reason."""
        if not sessions:
            ways = self._with_default_route()
            why = "the way to the controller (by the default route)"
            return dict.fromkeys(sorted(self._to_hardware(ways)), why) if ways else {}
        found: dict[str, str] = {}
        for session in sessions:
            why = f"the way to the controller ({session.peer})"
            ways = {session.interface} if session.interface else self._towards(session.peer)
            # An answer may leave by another interface than the one that the question came in by.
            arriving = self._having(session.local) if session.local is not None else set()
            found.update(dict.fromkeys(sorted(self._to_hardware(ways) | arriving), why))
        return found

    def ways_to_root(self, remote_root: RemoteRoot) -> dict[str, str]:
        """Interfaces, each with the reason; all that are configured where the server is not known."""
        point, remote = remote_root
        if remote.interface is not None:
            return {remote.interface: f"{point} comes through it ({remote.name})"}
        server = _parsed(remote.server)
        if server is None:
            why = f"{point} may come through it: where it comes from cannot be told ({remote.name})"
            return dict.fromkeys(sorted(self.configured), why)
        if server.is_loopback:
            return {}
        ways = self._to_hardware(self._towards(server))
        return dict.fromkeys(sorted(ways), f"{point} comes through it ({remote.name} from {server})")

    def _towards(self, address: IPAddress) -> set[str]:
        return interfaces_towards(self._routes, address)

    def _having(self, address: IPAddress) -> set[str]:
        named = {interface for known, interface in self._addresses if known == address}
        return named or interfaces_towards((route for route in self._routes if not route.is_default), address)

    def _to_hardware(self, ways: t.Iterable[str]) -> set[str]:
        """``ways``, with what carries those among them that are tunnels: the far end of a tunnel is in no table, so
        every default route may lead there, and without one every configured interface."""
        found = set(ways)
        if found and not any(self._interfaces.is_tunnel(way) for way in found):
            return found
        below = {name for name in self._with_default_route() if not self._interfaces.is_tunnel(name)}
        return found | (below or self.configured)

    def _with_default_route(self) -> set[str]:
        return {route.interface for route in self._routes if route.is_default} - {LOOPBACK}


def _parsed(text: str | None) -> IPAddress | None:
    try:
        return ipaddress.ip_address((text or "").partition("%")[0].strip("[]"))
    except ValueError:
        return None

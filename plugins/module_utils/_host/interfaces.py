# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Network interfaces in their stacks: what is below a bond, a bridge, a VLAN, and which PCI function that is."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.routes import LOOPBACK
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device

NET = "/sys/class/net"

_LOWER = "lower_"
_UPPER = "upper_"

# The interface that stands for the kernel's Open vSwitch datapath; the ports of every switch have it as master.
_OVS_DATAPATH = "ovs-system"


class Interfaces:
    """The interfaces of one host; each is resolved once."""

    def __init__(self, root: Root, devices: t.Iterable[Device]) -> None:
        self._root = root
        self._owners = {interface: device for device in devices for interface in device.interfaces}
        self._entries = {name: root.listdir(f"{NET}/{name}") for name in root.listdir(NET)}
        self._lowest: dict[str, tuple[str, ...]] = {}

    def built_on(self) -> set[str]:
        """Interfaces that another one stands on: a bond, a bridge or a switch has them, a VLAN or a macvlan (a
        guest's too) is made from them."""
        return {
            name
            for name, entries in self._entries.items()
            if any(entry == "master" or entry.startswith(_UPPER) for entry in entries)
        }

    def functions(self, name: str) -> list[tuple[str, Device]]:
        """The PCI functions at the bottom of an interface, each with the interface that it has there."""
        return [(lower, self._owners[lower]) for lower in self.lowest(name) if lower in self._owners]

    def is_tunnel(self, name: str) -> bool:
        """Whether what leaves through this interface leaves through another one: nothing below it is hardware."""
        return not any("device" in self._entries.get(lower, ()) for lower in self.lowest(name))

    def lowest(self, name: str) -> tuple[str, ...]:
        """The interfaces at the bottom of bonds, bridges, VLANs and the like (sysfs ``lower_*`` links)."""
        if name not in self._lowest:
            # In place before the walk, so that a loop, which the kernel does not allow, could not hold us up.
            self._lowest[name] = (name,)
            lowers = self._lowers(name)
            if lowers:
                self._lowest[name] = tuple(dict.fromkeys(low for lower in lowers for low in self.lowest(lower)))
        return self._lowest[name]

    def _lowers(self, name: str) -> list[str]:
        lowers = [entry[len(_LOWER) :] for entry in self._entries.get(name, ()) if entry.startswith(_LOWER)]
        if lowers or name == _OVS_DATAPATH or not self._may_be_switch_port(name):
            return lowers
        # Nothing in sysfs tells which switch an internal port belongs to, so the ports of all are below it.
        return [entry[len(_LOWER) :] for entry in self._entries[_OVS_DATAPATH] if entry.startswith(_LOWER)]

    def _may_be_switch_port(self, name: str) -> bool:
        """Whether this may be an internal port of Open vSwitch: an interface without hardware and of no kind that
        says what it is (``DEVTYPE`` of VLANs, tunnels, bridges; ``tun_flags`` of tun and tap)."""
        if _OVS_DATAPATH not in self._entries or name == LOOPBACK:
            return False
        entries = self._entries.get(name, ())
        if "device" in entries or "tun_flags" in entries:
            return False
        return "DEVTYPE=" not in (self._root.read_text(os.path.join(NET, name, "uevent")) or "")

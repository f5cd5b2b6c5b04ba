# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The address that a network card was made with, whatever bonds and people set over it."""

from __future__ import annotations

import array
import fcntl
import os
import socket
import struct

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

# include/uapi/linux/sockios.h and ethtool.h
SIOCETHTOOL = 0x8946
ETHTOOL_GPERMADDR = 0x20
_MAX_ADDRESS = 32

NET_ADDR_PERM = "0"


def permanent_mac(root: Root, interface: str) -> str | None:
    """Lower-case ``aa:bb:…``, or ``None`` where it cannot be known (a captured tree of a bonded card)."""
    base = f"/sys/class/net/{interface}"
    if root.read_word(f"{base}/addr_assign_type") == NET_ADDR_PERM and not root.exists(f"{base}/bonding_slave"):
        return root.read_word(f"{base}/address")
    bonded = root.read_word(f"{base}/bonding_slave/perm_hwaddr")
    if bonded is not None:
        return bonded
    return _ethtool_permanent_address(interface) if root.is_live else None


def _ethtool_permanent_address(interface: str) -> str | None:
    request = array.array("B", struct.pack("II", ETHTOOL_GPERMADDR, _MAX_ADDRESS) + bytes(_MAX_ADDRESS))
    pointer, _length = request.buffer_info()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, SIOCETHTOOL, struct.pack("16sP", os.fsencode(interface), pointer))
    except OSError:
        return None
    _command, size = struct.unpack_from("II", request)
    address = bytes(request[8 : 8 + size])
    return ":".join(f"{octet:02x}" for octet in address) if any(address) else None

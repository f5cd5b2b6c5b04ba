# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Disks and file systems that lie on another machine: which one, as far as the kernel tells."""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.mounts import Mount
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import functions_on_path

# Kernel paths below /sys/devices, after drivers/scsi/scsi_transport_iscsi.c, drivers/scsi/fcoe/fcoe_sysfs.c,
# drivers/nvme/host/fabrics.c and drivers/block.
_ISCSI_SESSION = re.compile(r"/session(\d+)/")
_FCOE = re.compile(r"/net/([^/]+)/ctlr_\d+/")
_FABRICS_CONTROLLER = re.compile(r"/nvme-fabrics/ctl/(nvme\d+)(?:/|$)")
_FIBRE_CHANNEL_PORT = re.compile(r"\bpn-(0x[0-9a-f]+)")
_WITHOUT_SERVER = re.compile(r"nbd\d+|rbd\d+")
_ATA_OVER_ETHERNET = "etherd!"

_NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "afs"})
# Mount sources such as 10.0.0.9:/export, [2001:db8::9]:/export, //10.0.0.9/share or 10.0.0.9:6789,10.0.0.10:6789:/.
_SERVER_IN_SOURCE = re.compile(r"/*(?:\[([0-9a-fA-F:.]+)\]|(\d+\.\d+\.\d+\.\d+))(?=[:/])")


class Remote(t.NamedTuple):
    """A server's address, or our interface on the way to it; neither where the kernel does not tell."""

    name: str
    server: str | None = None
    interface: str | None = None


def remote_mount(mount: Mount) -> Remote | None:
    """Where a network file system comes from, ``None`` for what is no network file system."""
    if mount.kind not in _NETWORK_FILE_SYSTEMS:
        return None
    named = _SERVER_IN_SOURCE.match(mount.source)
    server = mount.option("addr") or (named and (named.group(1) or named.group(2))) or None
    return Remote(f"{mount.kind} {mount.source}", server)


def remote_disk(root: Root, directory: str) -> Remote | None:
    """Where a block device without a PCI function comes from; ``directory`` is its real one in sysfs."""
    name = os.path.basename(directory)
    session = _ISCSI_SESSION.search(directory)
    if session is not None:
        return Remote(f"{name} over iSCSI", _iscsi_server(root, session.group(1)))
    fcoe = _FCOE.search(directory)
    if fcoe is not None:
        return Remote(f"{name} over FCoE", interface=fcoe.group(1))
    fabrics = _FABRICS_CONTROLLER.search(directory)
    if fabrics is not None:
        address = _fabrics_address(root, fabrics.group(1))
        return Remote(f"{name} over NVMe fabrics", address.get("traddr"), address.get("host_iface"))
    if name.startswith(_ATA_OVER_ETHERNET):
        return Remote(f"{name} over Ethernet", interface=root.read_word(f"/sys/class/block/{name}/netif"))
    return Remote(name) if _WITHOUT_SERVER.fullmatch(name) else None


def fibre_channel_function(root: Root, directory: str) -> Address | None:
    """The host bus adapter of an NVMe controller that is reached over Fibre Channel."""
    fabrics = _FABRICS_CONTROLLER.search(directory)
    address = _fabrics_address(root, fabrics.group(1)) if fabrics is not None else {}
    port = _FIBRE_CHANNEL_PORT.search(address.get("host_traddr", ""))
    if port is None:
        return None
    for host in root.listdir("/sys/class/fc_host"):
        if root.read_word(f"/sys/class/fc_host/{host}/port_name") == port.group(1):
            functions = functions_on_path(os.path.realpath(root.path(f"/sys/class/fc_host/{host}")))
            return functions[-1] if functions else None
    return None


def _iscsi_server(root: Root, session: str) -> str | None:
    base = "/sys/class/iscsi_connection"
    for name in root.listdir(base):
        if name.startswith(f"connection{session}:"):
            # ``address`` is empty while the connection is down, and its portal may have redirected us.
            return root.read_word(f"{base}/{name}/address") or root.read_word(f"{base}/{name}/persistent_address")
    return None


def _fabrics_address(root: Root, controller: str) -> dict[str, str]:
    text = root.read_word(f"/sys/class/nvme/{controller}/address") or ""
    return dict(word.split("=", 1) for word in text.split(",") if "=" in word)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The part of the one read that is about VFs: what PFs have, what their VFs are set to, and our files."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest, owned_paths
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import is_pci_address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.boot_files import (
    OWNER,
    RULE_PATH,
    SCRIPT_PATH,
    VFS_PATH,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.links import IP, read_eswitch, read_links
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.record import Before

DEVICES = "/sys/bus/pci/devices"


def read_before(root: Root, run: Runner, address: str, eswitch: bool) -> Before:
    """What a PF has now; the mode of its switch only where that is asked for."""
    return Before(
        numvfs=int(root.read_word(f"{DEVICES}/{address}/sriov_numvfs") or 0),
        autoprobe=root.read_word(f"{DEVICES}/{address}/sriov_drivers_autoprobe") != "0",
        eswitch=read_eswitch(run, address) if eswitch else None,
    )


def read_state(root: Root, run: Runner, ledger: Ledger, wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """``pfs`` (address → ``autoprobe``, ``eswitch``), ``links`` (interface → number of a VF → settings), ``files``
    (path → SHA-256 or ``None``), and ``live``: whether programs could be asked. One process, and one for each PF where
    a switch is wanted."""
    entries = wanted.get("devices")
    if entries is None:
        return {"pfs": {}, "links": {}, "files": {}, "live": root.is_live}
    switches = any(isinstance(entry, dict) and entry.get("switchdev") is not None for entry in entries)
    pfs = {}
    for name in root.listdir(DEVICES):
        if is_pci_address(name) and root.exists(f"{DEVICES}/{name}/sriov_totalvfs"):
            found = read_before(root, run, name, switches and root.is_live)
            pfs[name] = {"autoprobe": found.autoprobe, "eswitch": found.eswitch}
    # Without VFs there is nothing to read, and perhaps no iproute2. A captured tree has no interfaces of its own.
    some = any(int(root.read_word(f"{DEVICES}/{name}/sriov_numvfs") or 0) for name in pfs)
    links = read_links(run) if some and root.is_live and root.exists(IP) else {}
    paths = {VFS_PATH, SCRIPT_PATH, RULE_PATH, *owned_paths(ledger, OWNER)}
    contents = {path: root.read_bytes(path) for path in sorted(paths)}
    return {
        "pfs": pfs,
        "links": {
            interface: {str(index): settings.to_json() for index, settings in vfs.items()}
            for interface, vfs in links.items()
        },
        "files": {path: None if content is None else digest(content) for path, content in contents.items()},
        "live": root.is_live,
    }

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The part of the one read that is about binding: files, table and drivers as they are."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.detection import installed_generators
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._modprobe import read_directives
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest, owned_paths
from ansible_collections.virtfleet.passthrough.plugins.module_utils._this_boot import (
    image_changed_since_boot,
    taken_back,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.driver import builtin_drivers, vfio_pci_kind
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.driverctl import (
    DIRECTORY,
    driverctl_installed,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import OWNER, boot_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.modprobe import MODPROBE_PATH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.runtime import DRIVERS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import TABLE_PATH, Table


def read_state(root: Root, _run: Runner, ledger: Ledger, wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """``table`` (text or ``None``), ``files`` (path → SHA-256 or ``None``: every path that the component uses
    here), ``generators``, ``vfio_pci`` (``module``, ``builtin``, ``missing``), ``builtin_drivers``, ``driverctl``
    (whether it is installed), ``foreign_ids`` (path → ids that somebody else's modprobe.d has for vfio-pci),
    ``image_since_boot`` (whether the running kernel's image is newer than this boot), ``taken_back`` (addresses that
    were given back in this boot for the next ones only), and what other components need to know of this one's part of
    the plan: ``managed``, whether devices are wanted at all, and ``method`` as it was written. No process."""
    generators = installed_generators(root)
    paths = {file.path for file in boot_files(Table(1, {}), generators)} | set(owned_paths(ledger, OWNER))
    paths |= {MODPROBE_PATH, *(f"{DIRECTORY}/{name}" for name in root.listdir(DIRECTORY))}
    contents = {path: root.read_bytes(path) for path in sorted(paths)}
    return {
        "managed": wanted.get("devices") is not None,
        "method": wanted.get("method"),
        "table": root.read_text(TABLE_PATH) if TABLE_PATH in owned_paths(ledger, OWNER) else None,
        "files": {path: None if content is None else digest(content) for path, content in contents.items()},
        "generators": generators,
        "vfio_pci": vfio_pci_kind(root),
        "builtin_drivers": builtin_drivers(root, root.listdir(DRIVERS)),
        "driverctl": driverctl_installed(root),
        "foreign_ids": foreign_ids(root),
        "image_since_boot": image_changed_since_boot(root, ledger),
        "taken_back": sorted(taken_back(root, OWNER)),
    }


def foreign_ids(root: Root) -> dict[str, list[str]]:
    """The files of modprobe.d other than ours that give vfio-pci ids, with those."""
    found: dict[str, list[str]] = {}
    for directive in read_directives(root):
        ids = directive.parameters.get("ids") if directive.module == "vfio_pci" else None
        if ids is not None and directive.path != MODPROBE_PATH:
            found.setdefault(directive.path, []).append(ids)
    return found

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the images of a host must hold for the files that early binding and boots on trial have on it now."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.early_watchdog import OWNER as WATCHDOG
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, modified
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.kernel_modules import (
    NeededModules,
    needed_modules,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest, owned_paths
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import MODULES, OWNER
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.generator_files import is_modprobe_file


def installed_digests(root: Root, ledger: Ledger) -> dict[str, str]:
    """SHA-256 of each file that early binding or a boot on trial installed and that is there, by path; those for
    modprobe that other components installed as well."""
    return _digests(root, _paths(ledger))


def watchdog_digests(root: Root, ledger: Ledger) -> dict[str, str]:
    """The same of those files alone that start a watchdog in a boot on trial: no component asks for them."""
    return _digests(root, owned_paths(ledger, WATCHDOG))


def _digests(root: Root, paths: t.Iterable[str]) -> dict[str, str]:
    contents = {path: root.read_bytes(path) for path in paths}
    return {path: digest(content) for path, content in contents.items() if content is not None}


def ours_since(root: Root, ledger: Ledger) -> int | None:
    """Since when such files are on the host, in nanoseconds; ``None`` where there are none.

    The oldest of them counts and not the table, which is written anew whenever the list of devices changes: an
    image that was made in between (with a new kernel, by the package manager) holds an older table.
    """
    times = (modified(root.path(path)) for path in _paths(ledger))
    return min((time for time in times if time is not None), default=None)


def _paths(ledger: Ledger) -> list[str]:
    files = ledger.section("files")
    ours = (path for path, record in files.items() if record["owner"] in (OWNER, WATCHDOG) or is_modprobe_file(path))
    return sorted(ours)


def early_binding_modules(root: Root, kernel: str) -> NeededModules:
    return needed_modules(root, kernel, MODULES)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the images of a host must hold for the files that early binding has on it now."""

from __future__ import annotations

import os

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.kernel_modules import (
    NeededModules,
    needed_modules,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest, owned_paths
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import MODULES, OWNER
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import TABLE_PATH


def installed_digests(root: Root, ledger: Ledger) -> dict[str, str]:
    """SHA-256 of each file that early binding installed and that is there, by path."""
    contents = {path: root.read_bytes(path) for path in owned_paths(ledger, OWNER)}
    return {path: digest(content) for path, content in contents.items() if content is not None}


def table_written(root: Root) -> int:
    """When the table was written, in nanoseconds; 0 where there is none."""
    try:
        return os.stat(root.path(TABLE_PATH)).st_mtime_ns
    except OSError:
        return 0


def early_binding_modules(root: Root, kernel: str) -> NeededModules:
    return needed_modules(root, kernel, MODULES)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which kernel modules would drive a device: its modalias looked up as modprobe does."""

from __future__ import annotations

import fnmatch
import os

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root


def running_release(root: Root) -> str:
    """The running kernel's release, also in a captured tree."""
    return root.read_word("/proc/sys/kernel/osrelease") or os.uname().release


class ModuleAliases:
    """``modules.alias`` of the running kernel, read only when the first device asks."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._pci: list[tuple[str, str]] | None = None

    def modules(self, modalias: str) -> tuple[str, ...]:
        """Names in the file's order, each once; empty where the kernel ships none or the file is missing."""
        found = [module for pattern, module in self._pci_aliases() if fnmatch.fnmatchcase(modalias, pattern)]
        return tuple(dict.fromkeys(found))

    def _pci_aliases(self) -> list[tuple[str, str]]:
        if self._pci is None:
            text = self._root.read_text(f"/lib/modules/{running_release(self._root)}/modules.alias") or ""
            # "alias vfio_pci:v*…" lines belong to the VFIO variant drivers and are no native drivers.
            lines = (line.split() for line in text.splitlines() if line.startswith("alias pci:"))
            self._pci = [(words[1], words[2]) for words in lines if len(words) == 3]
        return self._pci

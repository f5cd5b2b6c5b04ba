# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which kernel modules would drive a device: its modalias looked up as modprobe does."""

from __future__ import annotations

import fnmatch
import os
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

# The fields that nearly every alias fixes, in the form of scripts/mod/file2alias.c (do_pci_entry).
_IDS = re.compile(r"v([0-9A-F]{8}|\*)d([0-9A-F]{8}|\*)sv")
_ANY = "*"
# VFIO drivers have aliases of a kind of their own, so that no module of theirs is loaded by itself.
_NATIVE = "pci"
_VFIO = "vfio_pci"


class _Alias(t.NamedTuple):
    line: int
    pattern: str
    module: str


def running_release(root: Root) -> str:
    """The running kernel's release, also in a captured tree."""
    return root.read_word("/proc/sys/kernel/osrelease") or os.uname().release


class ModuleAliases:
    """``modules.alias`` of the running kernel, read when the first device asks.

    Its twenty thousand lines are sorted by vendor and device once, so that a device meets only a few patterns.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self._index: dict[tuple[str, str, str], list[_Alias]] | None = None
        self._answers: dict[tuple[str, str], list[_Alias]] = {}

    def native(self, modalias: str) -> tuple[str, ...]:
        """Modules in the file's order, each once; empty where the kernel ships none or the file is missing."""
        return _modules(self._matching(_NATIVE, modalias))

    def vfio(self, modalias: str) -> tuple[str, ...]:
        """Modules that would give it to a guest, the most specific first, as libvirt chooses: a variant driver
        before ``vfio_pci`` itself."""
        return _modules(sorted(self._matching(_VFIO, modalias), key=lambda alias: alias.pattern.count(_ANY)))

    def _matching(self, kind: str, modalias: str) -> list[_Alias]:
        if (kind, modalias) not in self._answers:
            fields = modalias.partition(":")[2]
            ids = _IDS.match(fields)
            vendor, device = ids.groups() if ids else (_ANY, _ANY)
            index = self._aliases()
            keys = {(kind, v, d) for v in (vendor, _ANY) for d in (device, _ANY)}
            near = [alias for key in keys for alias in index.get(key, ())]
            self._answers[kind, modalias] = sorted(
                alias for alias in near if fnmatch.fnmatchcase(fields, alias.pattern)
            )
        return self._answers[kind, modalias]

    def _aliases(self) -> dict[tuple[str, str, str], list[_Alias]]:
        if self._index is None:
            self._index = {}
            text = self._root.read_text(f"/lib/modules/{running_release(self._root)}/modules.alias") or ""
            for number, line in enumerate(text.splitlines()):
                if not line.startswith(("alias pci:", "alias vfio_pci:")):
                    continue
                words = line.split()
                if len(words) != 3:
                    continue
                kind, _colon, pattern = words[1].partition(":")
                ids = _IDS.match(pattern)
                vendor, device = ids.groups() if ids else (_ANY, _ANY)
                self._index.setdefault((kind, vendor, device), []).append(_Alias(number, pattern, words[2]))
        return self._index


def _modules(aliases: t.Iterable[_Alias]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(alias.module for alias in aliases))

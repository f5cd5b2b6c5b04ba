# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Names of PCI classes, vendors and devices from the distribution's ``pci.ids``."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, first_existing
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Identity

PCI_IDS = ("/usr/share/hwdata/pci.ids", "/usr/share/misc/pci.ids")


class _Section(t.NamedTuple):
    """A vendor with its devices or a base class with its sub-classes; ``name`` is ``None`` where it is not listed."""

    name: str | None
    members: t.Mapping[str, str]


class PciNames:
    """The text of a ``pci.ids`` (format: its own header). Of its forty thousand lines only the sections of
    vendors and classes that are asked for are taken apart."""

    def __init__(self, text: str) -> None:
        self._text = "\n" + text
        self._sections: dict[str, _Section] = {}

    @classmethod
    def load(cls, root: Root) -> PciNames:
        """Empty where the host has no ``pci.ids``: names are for people, nothing decides by them."""
        path = first_existing(root, PCI_IDS)
        return cls((root.read_text(path) or "") if path else "")

    def class_name(self, class_code: str) -> str | None:
        return self._section(f"C {class_code[:2]}").members.get(class_code[2:])

    def device_name(self, identity: Identity) -> str | None:
        vendor = self._section(identity.vendor_id)
        device = vendor.members.get(identity.device_id)
        return " ".join(part for part in (vendor.name, device) if part) or None

    def _section(self, code: str) -> _Section:
        if code not in self._sections:
            self._sections[code] = self._parse(f"\n{code}  ")
        return self._sections[code]

    def _parse(self, start: str) -> _Section:
        begin = self._text.find(start)
        if begin < 0:
            return _Section(None, {})
        name, *lines = self._lines(begin + len(start))
        members: dict[str, str] = {}
        for line in lines:
            if line.startswith("\t") and not line.startswith("\t\t"):
                code, _blank, member = line.strip().partition("  ")
                members[code] = member
        return _Section(name.strip(), members)

    def _lines(self, position: int) -> t.Iterator[str]:
        """The first line from ``position`` and those below it that are indented, empty or comments."""
        first = True
        while position < len(self._text):
            end = self._text.find("\n", position)
            end = len(self._text) if end < 0 else end
            line = self._text[position:end]
            if not first and line and line[0] not in "\t#":
                return
            yield line
            first = False
            position = end + 1
        if first:
            yield ""

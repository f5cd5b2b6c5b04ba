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


class PciNames:
    """The parts of ``pci.ids`` (format: its own header) that name vendors, devices and classes."""

    def __init__(self, lines: t.Iterable[str]) -> None:
        self._vendors: dict[str, str] = {}
        self._devices: dict[tuple[str, str], str] = {}
        self._classes: dict[str, str] = {}
        current = ""
        in_classes = False
        for line in lines:
            if not line.strip() or line.startswith(("#", "\t\t")):
                continue
            code, _blank, name = line.strip().partition("  ")
            if not line.startswith("\t"):
                in_classes = code.startswith("C ")
                current = code[2:] if in_classes else code
                if not in_classes:
                    self._vendors[current] = name
            elif in_classes:
                self._classes[current + code] = name
            else:
                self._devices[current, code] = name

    @classmethod
    def load(cls, root: Root) -> PciNames:
        """Empty where the host has no ``pci.ids``: names are for people, nothing decides by them."""
        path = first_existing(root, PCI_IDS)
        return cls((root.read_text(path) or "").splitlines() if path else [])

    def class_name(self, class_code: str) -> str | None:
        return self._classes.get(class_code)

    def device_name(self, identity: Identity) -> str | None:
        vendor = self._vendors.get(identity.vendor_id)
        device = self._devices.get((identity.vendor_id, identity.device_id))
        return " ".join(part for part in (vendor, device) if part) or None

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""What a running domain does not have yet: its active XML against its inactive one, by meaning."""

from __future__ import annotations

import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.compare import (
    Difference,
    pci_source,
    reconcile,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.xml import Wanted

# Path → the attributes that count there. The rest is libvirt's own and differs between the two XMLs by
# nature (aliases, paths of terminals, seclabels, chosen loaders), or changes while a domain runs (the balloon).
_SETTINGS: t.Mapping[str, tuple[str, ...]] = {
    "memory": ("unit",),
    "memoryBacking": (),
    "memoryBacking/hugepages": (),
    "memoryBacking/hugepages/page": ("size", "unit", "nodeset"),
    "memoryBacking/nosharepages": (),
    "memoryBacking/locked": (),
    "memoryBacking/source": ("type",),
    "vcpu": (),
    "cputune": (),
    "cputune/vcpupin": ("vcpu", "cpuset"),
    "cputune/emulatorpin": ("cpuset",),
    "cputune/iothreadpin": ("iothread", "cpuset"),
    "numatune": (),
    "numatune/memory": ("mode", "nodeset"),
    "os": (),
    "os/type": ("machine",),
    "os/kernel": (),
    "os/initrd": (),
    "os/cmdline": (),
    "features": (),
    "features/acpi": (),
    "features/apic": (),
    "cpu": ("mode",),
    "cpu/model": (),
    "cpu/topology": ("sockets", "cores", "threads"),
    "on_poweroff": (),
    "on_reboot": (),
    "on_crash": (),
    "devices": (),
    "devices/disk": ("type", "device"),
    "devices/disk/driver": ("type",),
    "devices/disk/source": ("file", "dev"),
    "devices/disk/target": ("dev", "bus"),
    "devices/disk/readonly": (),
    "devices/disk/boot": ("order",),
    "devices/serial": ("type",),
    "devices/serial/log": ("file", "append"),
    "devices/serial/target": ("port",),
    "devices/hostdev": ("type", "managed"),
    "devices/hostdev/source": (),
    "devices/hostdev/source/address": ("domain", "bus", "slot", "function"),
    "devices/hostdev/boot": ("order",),
    "devices/hostdev/rom": ("bar", "file"),
    "devices/memballoon": ("model",),
}


def _project(element: ET.Element, path: str, skipped: frozenset[str]) -> ET.Element:
    names = ("type",) if not path else _SETTINGS[path]
    projected = ET.Element(element.tag, {name: element.attrib[name] for name in names if name in element.attrib})
    projected.text = element.text
    for child in element:
        child_path = f"{path}/{child.tag}" if path else child.tag
        if child_path not in _SETTINGS or child_path in skipped:
            continue
        if child.tag == "hostdev" and pci_source(child) is None:
            continue
        projected.append(_project(child, child_path, skipped))
    return projected


def pending_differences(active: ET.Element, inactive: ET.Element) -> tuple[Difference, ...]:
    """The settings of ``inactive`` that ``active`` gets with the next start of the domain, ordered by name."""
    mode = inactive.find("cpu")
    # The model that stands for the host's is worked out when the domain starts.
    skipped = frozenset(("cpu",)) if mode is None or mode.get("mode") == "host-model" else frozenset()
    wanted, last = _project(inactive, "", skipped), _project(active, "", skipped)
    differences = reconcile(active, Wanted(wanted), last).differences
    return tuple(sorted(differences, key=lambda difference: difference.setting))

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A capture laid out as sysfs is, so that the collection's own reader reads it."""

from __future__ import annotations

import os
from pathlib import Path

from lab.fuzz.capture import Capture, Function


def write(capture: Capture, base: Path) -> None:
    """Fill the empty directory ``base``, which then stands for ``/``."""
    links = base / "sys/bus/pci/devices"
    links.mkdir(parents=True)
    for address, function in capture.functions.items():
        directory = base / function.path.lstrip("/")
        directory.mkdir(parents=True, exist_ok=True)
        _fill(directory, function)
        _link(links / address, directory)
    for address, function in capture.functions.items():
        if function.physfn:
            _link(links / address / "physfn", links / function.physfn)
        if function.group:
            group = base / "sys/kernel/iommu_groups" / function.group
            group.mkdir(parents=True, exist_ok=True)
            _link(links / address / "iommu_group", group)


def _fill(directory: Path, function: Function) -> None:
    for name, value in function.attributes.items():
        (directory / name).write_text(f"{value}\n", encoding="utf-8")
    (directory / "config").write_bytes(function.config)
    ids = {name: function.attributes[name][2:].upper() for name in _IDS}
    uevent = {
        # The kernel prints a number here: without the zeros that it would begin with.
        "PCI_CLASS": function.attributes["class"][2:].lstrip("0").upper(),
        "PCI_ID": f"{ids['vendor']}:{ids['device']}",
        "PCI_SUBSYS_ID": f"{ids['subsystem_vendor']}:{ids['subsystem_device']}",
    }
    (directory / "uevent").write_text("".join(f"{key}={value}\n" for key, value in uevent.items()), encoding="utf-8")


_IDS = ("vendor", "device", "subsystem_vendor", "subsystem_device")


def _link(link: Path, target: Path) -> None:
    # The link's own directory may be reached through a link; what is written into it must not depend on that.
    place = link.parent.resolve()
    (place / link.name).symlink_to(os.path.relpath(target.resolve(), place))

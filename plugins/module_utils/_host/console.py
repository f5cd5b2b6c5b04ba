# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which PCI functions people and machines reach this host through when its network is gone: displays, the framebuffer
of the firmware, the management controller, serial consoles."""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import (
    BASE_CLASS_DISPLAY,
    HOLDING_DRIVERS,
    Device,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import DEVICES, functions_on_path
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency

ALLOW_BOOT_VGA = "boot_vga"
ALLOW_LAST_DISPLAY = "last_display"
ALLOW_FRAMEBUFFER = "framebuffer"
ALLOW_BMC = "bmc"
ALLOW_SERIAL_CONSOLE = "serial_console"

LAST_DISPLAY = "last_display"

# PCI Code and ID Assignment Specification: a 3D controller is a display class without a connector of its own.
_CLASS_3D = "0302"
_CLASS_IPMI = "0c07"

# The video of management controllers (pci.ids): ASPEED, the Matrox G200 built into iDRAC, iLO and others, iBMC.
_BMC_VIDEO = frozenset(
    {
        ("1a03", "2000"),
        ("102b", "0522"),
        ("102b", "0530"),
        ("102b", "0532"),
        ("102b", "0533"),
        ("102b", "0534"),
        ("102b", "0536"),
        ("102b", "0538"),
        ("19e5", "1711"),
    }
)

# How the firmware's framebuffer is named among the kernel's resources, by who set it up or drives it
# (drivers/firmware/sysfb_simplefb.c, drivers/video/fbdev, drivers/gpu/drm/sysfb).
_FRAMEBUFFERS = frozenset(
    {"BOOTFB", "efifb", "vesafb", "simplefb", "simple-framebuffer", "simpledrm", "efidrm", "vesadrm"}
)
_RESOURCE = re.compile(r"\s*([0-9a-f]+)-([0-9a-f]+) : (.+)")


def console_dependencies(root: Root, devices: t.Sequence[Device]) -> list[Dependency]:
    """Functions behind the host's own display, its management controller and its serial consoles."""
    return [
        *_displays(devices),
        *_framebuffer(root, devices),
        *_management_controller(root, devices),
        *_serial_consoles(root, devices),
    ]


def displays_kept(devices: t.Iterable[Device], leaving: t.Collection[Address] = ()) -> list[Device]:
    """The displays that the host still has once the functions ``leaving`` are gone. Pure.

    What vfio-pci and its like hold is gone already.
    """
    return [
        device
        for device in devices
        if is_display(device) and device.driver not in HOLDING_DRIVERS and device.address not in leaving
    ]


def is_display(device: Device) -> bool:
    """Whether a screen can be on this function; a VF of a display has none, nor has a 3D controller."""
    is_of_class = device.class_code.startswith(BASE_CLASS_DISPLAY) and device.class_code != _CLASS_3D
    return is_of_class and device.physfn is None and not device.is_bridge


def _displays(devices: t.Sequence[Device]) -> t.Iterator[Dependency]:
    for device in devices:
        if device.boot_vga:
            detail = "is the display that the firmware started with"
            yield Dependency(str(device.address), "boot_vga", detail, ALLOW_BOOT_VGA)
    kept = displays_kept(devices)
    if len(kept) == 1:
        detail = "is the only display of this host"
        yield Dependency(str(kept[0].address), LAST_DISPLAY, detail, ALLOW_LAST_DISPLAY)


def _framebuffer(root: Root, devices: t.Sequence[Device]) -> t.Iterator[Dependency]:
    """A display that the kernel still drives through the memory where the firmware left its picture."""
    areas = _framebuffer_areas(root)
    if not areas:
        return
    for device in devices:
        if not device.class_code.startswith(BASE_CLASS_DISPLAY):
            continue
        for name in sorted(_names_within(areas, _regions(root, device.address))):
            detail = f"shows the firmware's framebuffer ({name}), which the kernel uses"
            yield Dependency(str(device.address), "framebuffer", detail, ALLOW_FRAMEBUFFER)
            break


def _framebuffer_areas(root: Root) -> list[tuple[int, int, str]]:
    matches = (_RESOURCE.fullmatch(line) for line in (root.read_text("/proc/iomem") or "").splitlines())
    found = ((int(match[1], 16), int(match[2], 16), match[3]) for match in matches if match is not None)
    # Whoever is not root sees zeros.
    return [area for area in found if area[2] in _FRAMEBUFFERS and area[1]]


def _regions(root: Root, address: Address) -> list[tuple[int, int]]:
    """The address ranges of a function: start, end and flags on each line of ``resource``."""
    lines = (line.split() for line in (root.read_text(f"{DEVICES}/{address}/resource") or "").splitlines())
    return [(int(words[0], 16), int(words[1], 16)) for words in lines if len(words) == 3 and int(words[1], 16)]


def _names_within(areas: t.Iterable[tuple[int, int, str]], regions: t.Sequence[tuple[int, int]]) -> set[str]:
    return {name for start, end, name in areas if any(first <= start and end <= last for first, last in regions)}


def _management_controller(root: Root, devices: t.Sequence[Device]) -> t.Iterator[Dependency]:
    by_interface = {address for name in root.listdir("/sys/class/ipmi") for address in _behind(root, "ipmi", name)}
    for device in devices:
        if (device.identity.vendor_id, device.identity.device_id) in _BMC_VIDEO:
            detail = "is the video of the management controller (BMC): its remote console would stay dark"
        elif device.address in by_interface or device.class_code == _CLASS_IPMI:
            detail = "is the interface to the management controller (BMC)"
        else:
            continue
        yield Dependency(str(device.address), "bmc", detail, ALLOW_BMC)


def _serial_consoles(root: Root, devices: t.Sequence[Device]) -> t.Iterator[Dependency]:
    known = {device.address for device in devices}
    for console in (root.read_word("/sys/class/tty/console/active") or "").split():
        for address in _behind(root, "tty", console):
            if address in known:
                yield Dependency(
                    str(address), "serial_console", f"carries the console {console} of the kernel", ALLOW_SERIAL_CONSOLE
                )


def _behind(root: Root, kind: str, name: str) -> list[Address]:
    """The PCI function that ``/sys/class/KIND/NAME`` hangs on, empty where it hangs on none."""
    directory = root.path(f"/sys/class/{kind}/{name}")
    # Where a class device is no child of its hardware, its link ``device`` leads there.
    paths = (os.path.realpath(path) for path in (directory, os.path.join(directory, "device")))
    return next((functions[-1:] for functions in map(functions_on_path, paths) if functions), [])

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The reader of the plan's component ``kernel_arguments``: what of a machine decides which arguments it can use."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.modalias import running_release
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import DEVICES

_PLATFORM_DRIVERS = "/sys/bus/platform/drivers"
# What drives the devices that drivers/firmware/sysfb.c makes of the firmware's framebuffer. Drivers of two
# subsystems share these names.
_FRAMEBUFFER_DRIVERS = ("efi-framebuffer", "simple-framebuffer", "vesa-framebuffer")
_CLOCK = "/sys/devices/system/clocksource/clocksource0"

# A time stamp counter that neither changes its rate nor stops (arch/x86/kernel/tsc.c).
_STABLE_TSC = {"constant_tsc", "nonstop_tsc"}

# Where the kernel keeps what a file system on a disk may need (the paths in modules.dep).
_STORAGE = ("fs", "drivers/ata", "drivers/block", "drivers/md", "drivers/mmc", "drivers/nvme", "drivers/scsi")
_STORAGE_DIRECTORIES = tuple(
    f"kernel/{directory}/" for directory in (*_STORAGE, "drivers/message", "drivers/usb/storage", "drivers/virtio")
)

# include/linux/ioport.h: an address was never given. Line 6 of ``resource`` is the ROM, which most do without.
_UNSET = 0x20000000
_ROM = 6


def read_state(root: Root, _run: Runner, _ledger: Ledger, wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """``efi``: started by EFI firmware; ``framebuffer_drivers``: names of drivers that can hold the firmware's
    framebuffer, by module where that is known; ``framebuffers``: names of what draws on screens now (``/proc/fb``);
    ``consoles`` of the kernel; ``clocksource`` and the ``clocksources`` to choose from; ``stable_tsc``: the CPU
    promises one. ``builtin``: modules of the wanted ``blacklist`` that are built into the running kernel;
    ``storage_in_use``: those of them that serve disks or file systems and are in use now; ``without_room``: functions
    with a BAR that got no address, ``None`` where ``pci_realloc`` is not wanted."""
    return {
        "efi": root.exists("/sys/firmware/efi"),
        "framebuffer_drivers": [
            _module(root, name) for name in _FRAMEBUFFER_DRIVERS if root.exists(f"{_PLATFORM_DRIVERS}/{name}")
        ],
        "framebuffers": [line.partition(" ")[2] for line in (root.read_text("/proc/fb") or "").splitlines()],
        "consoles": (root.read_word("/sys/class/tty/console/active") or "").split(),
        "clocksource": root.read_word(f"{_CLOCK}/current_clocksource"),
        "clocksources": (root.read_word(f"{_CLOCK}/available_clocksource") or "").split(),
        "stable_tsc": _cpu_flags(root) >= _STABLE_TSC,
        "builtin": _builtin(root, wanted.get("blacklist") or ()),
        "storage_in_use": _storage_in_use(root, wanted.get("blacklist") or ()),
        "without_room": _without_room(root) if wanted.get("pci_realloc") else None,
    }


def _module(root: Root, driver: str) -> str:
    link = root.path(f"{_PLATFORM_DRIVERS}/{driver}/module")
    return os.path.basename(os.readlink(link)) if os.path.islink(link) else driver


def _cpu_flags(root: Root) -> set[str]:
    lines = (root.read_text("/proc/cpuinfo") or "").splitlines()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())


def _builtin(root: Root, modules: t.Iterable[t.Any]) -> list[str]:
    listed = (root.read_text(f"/lib/modules/{running_release(root)}/modules.builtin") or "").split()
    names = {os.path.basename(path).partition(".ko")[0].replace("-", "_") for path in listed}
    return sorted(str(module) for module in modules if str(module).replace("-", "_") in names)


def _storage_in_use(root: Root, modules: t.Iterable[t.Any]) -> list[str]:
    """By the use count in ``/proc/modules``: a mount holds its file system, an open disk its driver."""
    named = {str(module).replace("-", "_"): str(module) for module in modules}
    if not named:
        return []
    words = (line.split() for line in (root.read_text("/proc/modules") or "").splitlines())
    used = {line[0] for line in words if len(line) > 2 and line[2].isdigit() and int(line[2])} & set(named)
    listed = (root.read_text(f"/lib/modules/{running_release(root)}/modules.dep") or "").splitlines()
    paths = [path for path in listed if path.startswith(_STORAGE_DIRECTORIES)]
    storage = {os.path.basename(path.partition(":")[0]).partition(".ko")[0].replace("-", "_") for path in paths}
    return sorted(named[module] for module in used & storage)


def _without_room(root: Root) -> list[str]:
    return [
        address for address in root.listdir(DEVICES) if _lacks_room(root.read_text(f"{DEVICES}/{address}/resource"))
    ]


def _lacks_room(regions: str | None) -> bool:
    lines = [line.split() for line in (regions or "").splitlines()]
    return any(int(line[2], 16) & _UNSET for number, line in enumerate(lines) if number != _ROM and len(line) == 3)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.machine import read_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from tests.unit.plugins.host_tree import HostTree

CPU = "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu tsc {flags}\nbugs\t\t:\n\nprocessor\t: 1\n"
PLATFORM = "/sys/bus/platform/drivers"
CLOCK = "/sys/devices/system/clocksource/clocksource0"


def no_program(argv: Sequence[str], cwd: str | None = None) -> CommandResult:
    raise AssertionError(f"{argv} was started")


def read(root: Root, **wanted: Any) -> dict[str, Any]:
    return read_state(root, no_program, Ledger(), wanted)


def test_a_machine_of_today(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.write("/sys/firmware/efi/fw_platform_size", "64\n")
    tree.write(f"{PLATFORM}/efi-framebuffer/uevent", "")
    tree.write(f"{PLATFORM}/simple-framebuffer/uevent", "")
    tree.write("/sys/module/simpledrm/initstate", "live\n")
    (tmp_path / PLATFORM.lstrip("/") / "simple-framebuffer/module").symlink_to("../../../../module/simpledrm")
    tree.write("/proc/fb", "0 simpledrmdrmfb\n1 EFI VGA\n")
    tree.write("/sys/class/tty/console/active", "tty0 ttyS0\n")
    tree.write(f"{CLOCK}/current_clocksource", "hpet\n")
    tree.write(f"{CLOCK}/available_clocksource", "tsc hpet acpi_pm \n")
    tree.write("/proc/cpuinfo", CPU.format(flags="constant_tsc nonstop_tsc"))
    assert read(tree.root) == {
        "efi": True,
        "framebuffer_drivers": ["efi-framebuffer", "simpledrm"],
        "framebuffers": ["simpledrmdrmfb", "EFI VGA"],
        "consoles": ["tty0", "ttyS0"],
        "clocksource": "hpet",
        "clocksources": ["tsc", "hpet", "acpi_pm"],
        "stable_tsc": True,
        "builtin": [],
        "storage_in_use": [],
        "without_room": None,
    }


def test_a_machine_that_says_nothing(tmp_path: Path) -> None:
    found = read(Root(str(tmp_path)), blacklist=["nouveau"], pci_realloc=True)
    assert (found["efi"], found["clocksource"], found["stable_tsc"]) == (False, None, False)
    assert (found["framebuffer_drivers"], found["builtin"], found["without_room"]) == ([], [], [])


def test_a_counter_that_may_stop_is_not_steady(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.write("/proc/cpuinfo", CPU.format(flags="constant_tsc"))
    assert not read(tree.root)["stable_tsc"]


def test_modules_that_are_built_in(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.write("/proc/sys/kernel/osrelease", "6.12.48-amd64\n")
    tree.write(
        "/lib/modules/6.12.48-amd64/modules.builtin",
        "kernel/drivers/gpu/drm/sysfb/simpledrm.ko\nkernel/drivers/usb/host/xhci-pci.ko\n",
    )
    assert read(tree.root, blacklist=["nouveau", "xhci_pci", "simpledrm"])["builtin"] == ["simpledrm", "xhci_pci"]


def test_modules_of_storage_that_something_uses(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.write("/proc/sys/kernel/osrelease", "6.1\n")
    lines = ("sd_mod 1 2", "ext4 2 1", "raid1 3 0", "dm_crypt 4 1 extra,", "nouveau 5 3", "uas 6 -", "broken")
    tree.write("/proc/modules", "".join(f"{line} - Live 0x0\n" for line in lines))
    directories = ("drivers/scsi/sd_mod", "fs/ext4/ext4", "drivers/md/raid1", "drivers/md/dm-crypt")
    others = ("drivers/gpu/drm/nouveau/nouveau", "drivers/usb/storage/uas")
    tree.write("/lib/modules/6.1/modules.dep", "".join(f"kernel/{path}.ko.xz:\n" for path in (*directories, *others)))
    wanted = ["sd_mod", "ext4", "raid1", "dm-crypt", "nouveau", "uas", "nobody"]
    assert read(tree.root, blacklist=wanted)["storage_in_use"] == ["dm-crypt", "ext4", "sd_mod"]
    assert read(tree.root)["storage_in_use"] == []


def test_bars_without_an_address(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    given = "0x00000000c0000000 0x00000000cfffffff 0x000000000014220c\n"
    unset = "0x0000000000000000 0x000000000fffffff 0x000000002014220c\n"
    unused = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
    for address, regions in {
        "0000:01:00.0": given + unused * 12,
        "0000:02:00.0": given + unset + unused * 11,
        # Its ROM has no address, and needs none.
        "0000:03:00.0": given + unused * 5 + unset + unused * 6,
        # The memory of its virtual functions.
        "0000:04:00.0": given + unused * 6 + unset + unused * 5,
    }.items():
        tree.write(f"/sys/bus/pci/devices/{address}/resource", regions)
    assert read(tree.root, pci_realloc=True)["without_room"] == ["0000:02:00.0", "0000:04:00.0"]

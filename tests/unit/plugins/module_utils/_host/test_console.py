# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.console import console_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.keyboard import keyboard_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from tests.unit.plugins.host_tree import HostTree

GPU, OTHER = "0000:01:00.0", "0000:02:00.0"
KEYBOARD = "1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe"
MOUSE = "1f0000 0 0 0 0"


def found(tree: HostTree) -> set[tuple[str, str | None]]:
    dependencies = console_dependencies(tree.root, read_devices(tree.root, Ledger()))
    return {(dependency.address, dependency.allow) for dependency in dependencies}


def test_the_only_display_and_the_one_of_the_firmware(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function(GPU, class_code="030000", boot_vga="1")
    assert found(tree) == {(GPU, "boot_vga"), (GPU, "last_display")}
    tree.function(OTHER, class_code="038000", boot_vga="0")
    assert found(tree) == {(GPU, "boot_vga")}


def test_what_no_screen_can_be_on_is_no_display_and_none_beside_another(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function(GPU, class_code="030000")
    tree.function("0000:03:00.0", class_code="030200")
    tree.function("0000:04:00.0", class_code="030000", driver="vfio-pci")
    virtual = tree.function("0000:05:00.1", class_code="030000")
    (virtual / "physfn").symlink_to(f"../{GPU}")
    assert found(tree) == {(GPU, "last_display")}


RESOURCE = "0x00000000c0000000 0x00000000cfffffff 0x000000000014220c\n0x0 0x0 0x0\n"


@pytest.mark.parametrize(
    ("iomem", "refused"),
    [
        ("c0000000-cfffffff : 0000:01:00.0\n  c0000000-c02fffff : BOOTFB\n", True),
        ("c0000000-cfffffff : 0000:01:00.0\n  c0000000-c02fffff : simplefb\n", True),
        # Its driver has taken over; it belongs to another card; whoever reads may not see addresses.
        ("c0000000-cfffffff : 0000:01:00.0\n  c0000000-c02fffff : i915\n", False),
        ("d0000000-d02fffff : BOOTFB\n", False),
        ("00000000-00000000 : BOOTFB\n", False),
        ("", False),
    ],
)
def test_the_framebuffer_of_the_firmware(tmp_path: Path, iomem: str, refused: bool) -> None:
    tree = HostTree(tmp_path)
    tree.function(GPU, class_code="030000", resource=RESOURCE)
    tree.function(OTHER, class_code="030000", resource="0x0 0x0 0x0\n")
    tree.write("/proc/iomem", iomem)
    assert found(tree) == ({(GPU, "framebuffer")} if refused else set())


def test_the_management_controller(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function(GPU, "1a03:2000", "030000")
    tree.function(OTHER, "10de:2204", "030000")
    tree.function("0000:03:00.0", "15d9:0001", "0c0700")
    interface = tree.function("0000:04:00.0", "103c:3302", "088000")
    (interface / "ipmi/ipmi0").mkdir(parents=True)
    tree.link("/sys/class/ipmi/ipmi0", interface / "ipmi/ipmi0")
    assert found(tree) == {(GPU, "bmc"), ("0000:03:00.0", "bmc"), ("0000:04:00.0", "bmc")}


def test_a_serial_console_that_the_kernel_uses(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    for number, address in enumerate((GPU, OTHER)):
        port = tree.function(address, "8086:a13d", "070002") / f"{address}:0/{address}:0.0/tty/ttyS{number + 4}"
        port.mkdir(parents=True)
        tree.link(f"/sys/class/tty/ttyS{number + 4}", port)
    tree.write("/sys/class/tty/console/active", "tty0 ttyS4 ttyS0\n")
    assert found(tree) == {(GPU, "serial_console")}


def keyboards(tree: HostTree, *plugged: tuple[str, str]) -> set[str]:
    """``plugged``: the kernel's directory of each input device, and its keys."""
    for number, (directory, keys) in enumerate(plugged):
        made = tree.base / "sys/devices" / directory / f"input/input{number}"
        (made / "capabilities").mkdir(parents=True)
        (made / "capabilities/key").write_text(keys + "\n")
        (made / "name").write_text("Logitech USB Receiver\n")
        tree.link(f"/sys/class/input/input{number}", made)
    return {dependency.address for dependency in keyboard_dependencies(tree.root)}


USB = f"pci0000:00/{GPU}/usb1/1-1/1-1:1.0/0003:046D:C52B.0001"
SAME = f"pci0000:00/{GPU}/usb2/2-1/2-1:1.0/0003:046D:C52B.0002"
ELSEWHERE = f"pci0000:00/{OTHER}/usb3/3-1/3-1:1.0/0003:0557:2419.0003"


@pytest.mark.parametrize(
    ("plugged", "needed"),
    [
        ([(USB, KEYBOARD)], {GPU}),
        ([(USB, KEYBOARD), (SAME, KEYBOARD)], {GPU}),
        ([(USB, KEYBOARD), (ELSEWHERE, MOUSE)], {GPU}),
        ([(USB, KEYBOARD), (ELSEWHERE, KEYBOARD)], set()),
        ([(USB, KEYBOARD), ("platform/i8042/serio0", KEYBOARD)], set()),
        ([(USB, KEYBOARD), ("virtual", KEYBOARD)], {GPU}),
        ([(USB, MOUSE)], set()),
        ([("platform/i8042/serio0", KEYBOARD)], set()),
        ([], set()),
    ],
)
def test_the_controller_with_the_only_keyboard(
    tmp_path: Path, plugged: list[tuple[str, str]], needed: set[str]
) -> None:
    assert keyboards(HostTree(tmp_path), *plugged) == needed

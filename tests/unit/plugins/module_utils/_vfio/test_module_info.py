# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.module_info import (
    ModuleInfo,
    is_loaded,
    parse_modinfo,
    read_modules,
    running_value,
)
from tests.unit.plugins.host_tree import HostTree

RUNNING = "6.12.1-test"

# From modinfo of kmod 34 on Debian 13, shortened.
TWO_MODULES = """\
filename:       /lib/modules/6.12.1-test/kernel/drivers/vfio/pci/vfio-pci.ko.xz
description:    VFIO PCI - User Level meta-driver
depends:        vfio-pci-core
name:           vfio_pci
parm:           ids:Initial PCI IDs to add to the vfio driver, format is "vendor:device" (string)
parm:           disable_vga:Disable VGA resource access through vfio-pci (bool)
filename:       /lib/modules/6.12.1-test/kernel/arch/x86/kvm/kvm.ko.xz
parm:           ignore_msrs:bool
"""


@pytest.fixture
def tree(tmp_path: Path) -> HostTree:
    tree = HostTree(tmp_path)
    tree.write("/proc/sys/kernel/osrelease", RUNNING + "\n")
    tree.write("/usr/sbin/modinfo", "")
    tree.write(
        f"/lib/modules/{RUNNING}/modules.dep",
        "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/pci/vfio-pci-core.ko.xz\n"
        "kernel/arch/x86/kvm/kvm.ko.xz:\n",
    )
    tree.write("/boot/vmlinuz-6.1.0-old", "")
    tree.write("/lib/modules/6.1.0-old/modules.dep", "kernel/drivers/vfio/vfio_iommu_type1.ko:\n")
    tree.write("/lib/modules/6.1.0-old/modules.builtin", "kernel/arch/x86/kvm/kvm.ko\n")
    tree.write(
        "/lib/modules/6.1.0-old/modules.builtin.modinfo",
        "kvm.parm=ignore_msrs:bool\0kvm.parmtype=ignore_msrs:bool\0kvm_intel.parm=nested:bool\0",
    )
    # Left behind by a removed package: nothing boots it.
    tree.write("/lib/modules/5.10.0-gone/modules.dep", "kernel/arch/x86/kvm/kvm.ko:\n")
    return tree


def test_every_kernel_that_can_boot(tree: HostTree) -> None:
    asked: list[tuple[str, ...]] = []

    def run(argv: object, cwd: str | None = None) -> CommandResult:
        assert cwd is None
        assert isinstance(argv, list)
        asked.append(tuple(argv))
        return CommandResult(tuple(argv), 0, TWO_MODULES, "")

    found = read_modules(tree.root, run, ["kvm", "vfio_pci"], ["kvm", "vfio_pci"])
    assert found == {
        "6.1.0-old": {"kvm": ModuleInfo("builtin", ("ignore_msrs",)), "vfio_pci": ModuleInfo("missing", ())},
        RUNNING: {
            "kvm": ModuleInfo("module", ("ignore_msrs",)),
            "vfio_pci": ModuleInfo("module", ("disable_vga", "ids")),
        },
    }
    # One process for the kernel that has loadable ones, none for the other.
    assert asked == [("modinfo", f"--set-version={RUNNING}", "kvm", "vfio_pci")]


def test_what_nobody_can_say_is_not_made_up(tree: HostTree) -> None:
    def fails(argv: object, cwd: str | None = None) -> CommandResult:
        assert cwd is None
        assert isinstance(argv, list)
        return CommandResult(tuple(argv), 1, "", "modinfo: ERROR: Module kvm not found.")

    assert read_modules(tree.root, fails, ["kvm"], ["kvm"])[RUNNING]["kvm"] == ModuleInfo("module", None)


def test_nothing_is_started_where_no_parameter_is_asked_for(tree: HostTree) -> None:
    def never(argv: object, cwd: str | None = None) -> CommandResult:
        raise AssertionError((argv, cwd))

    assert read_modules(tree.root, never, ["vfio_pci"], [])[RUNNING]["vfio_pci"].kind == "module"
    assert read_modules(tree.root, never, [], []) == {}


def test_modinfo_of_several_modules() -> None:
    assert parse_modinfo(TWO_MODULES) == {"vfio_pci": ("disable_vga", "ids"), "kvm": ("ignore_msrs",)}


def test_loaded_modules(tree: HostTree) -> None:
    tree.write("/sys/module/kvm/parameters/ignore_msrs", "N\n")
    assert running_value(tree.root, "kvm", "ignore_msrs") == "N"
    assert running_value(tree.root, "kvm", "nested") is None
    assert is_loaded(tree.root, "kvm")
    assert not is_loaded(tree.root, "vendor_reset")

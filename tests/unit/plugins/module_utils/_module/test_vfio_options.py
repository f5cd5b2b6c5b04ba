# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _held_back
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    InputError,
    RefusedError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import LEDGER_PATH, Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.vfio_options import change
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.options import (
    MODPROBE_PATH,
    MODULES_LOAD_PATH,
    RULE_PATH,
    SCRIPT_PATH,
    XORG_PATH,
)
from tests.unit.plugins.fake_kernel import FakeKernel

GPU = "0000:0b:00.0"
SMALL = "0x00000008e0000000 0x00000008efffffff 0x000000000014220c\n"
DEFAULTS: dict[str, Any] = {
    "state": "present",
    "resizable_bars": [],
    "resize_now": False,
    "xorg_host_gpu": None,
    "bootloader": "auto",
    "trial_first": False,
}
BAR: dict[str, Any] = {"resizable_bars": [{"address": GPU, "bar": 0, "size": "16G"}]}


class Module:
    """What the body uses of AnsibleModule."""

    def __init__(self, check_mode: bool, **params: Any) -> None:
        self.params = {**DEFAULTS, **params}
        self.check_mode = check_mode


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    fake = FakeKernel(tmp_path)
    device = fake.device(GPU, None, ids="1002:73bf", class_code="030000")
    (device / "resource").write_text(SMALL)
    (device / "resource0_resize").write_text("0000000000007f00\n")
    return fake


def run(kernel: FakeKernel, check_mode: bool = False, **params: Any) -> Result:
    module: Any = Module(check_mode, **params)
    return change(module, kernel.run, kernel.root, kernel.attribute)


def tree(kernel: FakeKernel) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted((kernel.base / "etc").rglob("*")) if path.is_file()}


def test_check_mode_predicts_and_a_second_run_changes_nothing(kernel: FakeKernel) -> None:
    wanted: dict[str, Any] = {**BAR, "disable_vga": True, "xorg_host_gpu": {"address": GPU, "driver": "amdgpu"}}
    before = tree(kernel)
    predicted = run(kernel, check_mode=True, **wanted)
    assert tree(kernel) == before
    done = run(kernel, **wanted)
    assert (done.changed, done.diff, done.data) == (True, predicted.diff, predicted.data)
    assert done.data["files"] == [MODPROBE_PATH, SCRIPT_PATH, RULE_PATH, XORG_PATH]
    assert done.data["reboot_required"]
    assert (kernel.base / SCRIPT_PATH.lstrip("/")).stat().st_mode & 0o777 == 0o755
    again = run(kernel, **wanted)
    assert (again.changed, again.diff) == (False, ())


def test_what_is_left_out_is_taken_back_byte_for_byte(kernel: FakeKernel) -> None:
    before = tree(kernel)
    run(kernel, disable_vga=True, ignore_msrs=False, **BAR)
    shrunk = run(kernel, disable_vga=True)
    assert shrunk.changed
    assert [path for path in tree(kernel) if path.endswith(("rules", "resize-bar"))] == []
    assert run(kernel, state="absent").changed
    assert tree(kernel) == before
    assert not (kernel.base / LEDGER_PATH.lstrip("/")).exists()
    assert not run(kernel, state="absent").changed


def test_a_file_of_somebody_else_is_refused_before_the_first_write(kernel: FakeKernel) -> None:
    kernel.write(XORG_PATH, "theirs\n")
    before = tree(kernel)
    with pytest.raises(RefusedError, match="was not written by"):
        run(kernel, disable_vga=True, xorg_host_gpu={"address": GPU, "driver": "amdgpu"})
    assert tree(kernel) == before


def test_what_runs_beside_what_is_configured(kernel: FakeKernel) -> None:
    kernel.write("/sys/module/vfio_pci/parameters/disable_vga", "N\n")
    result = run(kernel, disable_vga=True)
    assert result.data["parameters"] == [
        {"module": "vfio_pci", "name": "disable_vga", "configured": "1", "running": "N"}
    ]
    assert result.data["reboot_required"]
    kernel.write("/sys/module/vfio_pci/parameters/disable_vga", "Y\n")
    assert not run(kernel, disable_vga=True).data["reboot_required"]


def test_the_guard_speaks_here_too(kernel: FakeKernel) -> None:
    kernel.write("/etc/modprobe.d/site.conf", "options vfio-pci disable_vga=0\n")
    with pytest.raises(
        RefusedError, match=r"contradicts 'options vfio_pci disable_vga=0' in /etc/modprobe\.d/site\.conf"
    ):
        run(kernel, disable_vga=True)
    with pytest.raises(RefusedError, match="no module vendor-reset"):
        run(kernel, vendor_reset=True)


def test_the_command_line_is_written_by_the_boot_loader_that_was_named(kernel: FakeKernel) -> None:
    """Where a kernel has the module built in; a loader that is not there shows that the name arrived."""
    kernel.write("/lib/modules/6.12.0-test/modules.builtin", "kernel/arch/x86/kvm/kvm.ko\n")
    kernel.write("/lib/modules/6.12.0-test/modules.builtin.modinfo", "kvm.parm=ignore_msrs:bool\0")
    before = tree(kernel)
    with pytest.raises(InputError, match="bootloader=proxmox-boot-tool"):
        run(kernel, ignore_msrs=True, bootloader="proxmox-boot-tool")
    assert tree(kernel) == before


def test_resizing_now(kernel: FakeKernel) -> None:
    predicted = run(kernel, check_mode=True, resize_now=True, **BAR)
    assert kernel.writes == []
    done = run(kernel, resize_now=True, **BAR)
    assert done.diff == predicted.diff
    assert kernel.writes == [(f"/sys/bus/pci/devices/{GPU}/resource0_resize", "14")]
    assert not done.data["reboot_required"]
    assert not run(kernel, resize_now=True, **BAR).changed


def test_a_held_device_is_not_resized_now(kernel: FakeKernel) -> None:
    kernel.load("vfio-pci")
    kernel.link(f"/sys/bus/pci/devices/{GPU}/driver", kernel.base / "sys/bus/pci/drivers/vfio-pci")
    with pytest.raises(RefusedError, match="the driver vfio-pci holds the device"):
        run(kernel, resize_now=True, **BAR)
    assert kernel.writes == []
    assert run(kernel, **BAR).changed


def test_a_size_that_the_kernel_does_not_give(kernel: FakeKernel) -> None:
    def ignored(path: str, value: str) -> None:
        """A kernel that says nothing and does nothing: ``value`` never gets to ``path``."""

    module: Any = Module(False, resize_now=True, **BAR)
    with pytest.raises(HostStateError, match="has 256M after 16G was written"):
        change(module, kernel.run, kernel.root, ignored)
    kernel.fail["resource0_resize"] = errno.ENOSPC
    with pytest.raises(HostStateError, match="No space left on device"):
        run(kernel, resize_now=True, **BAR)
    assert not (kernel.base / RULE_PATH.lstrip("/")).exists()


def test_what_is_not_there(kernel: FakeKernel) -> None:
    with pytest.raises(HostStateError, match="there is no device at 0000:0c"):
        run(kernel, resizable_bars=[{"address": "0c:00.0", "bar": 0, "size": "16G"}])
    with pytest.raises(InputError, match="twice"):
        run(kernel, resizable_bars=[*BAR["resizable_bars"], *BAR["resizable_bars"]])


def test_an_option_that_was_taken_back_runs_until_the_next_boot(kernel: FakeKernel) -> None:
    """Lesson 6: the run after the one that changed something says the same, and nothing is left once it is over."""
    kernel.write("/sys/module/vfio_pci/parameters/disable_vga", "Y\n")
    before = tree(kernel)
    run(kernel, disable_vga=True, **BAR)
    # Some other boot, so that its files were there when this one began.
    kernel.write("/proc/stat", "btime 99999999999\n")
    foretold = run(kernel, check_mode=True, state="absent")
    assert run(kernel, state="absent").data == foretold.data
    assert foretold.data["reboot_required"]
    assert tree(kernel) == before
    assert run(kernel, state="absent").data["reboot_required"]
    kernel.boot("ro")
    assert not run(kernel, state="absent").data["reboot_required"]


def test_what_no_boot_began_with_is_taken_back_at_once(kernel: FakeKernel) -> None:
    kernel.write("/proc/stat", "cpu 1\nbtime 1\n")
    run(kernel, **BAR)
    assert not run(kernel, state="absent").data["reboot_required"]


def waiting(kernel: FakeKernel) -> list[str]:
    return list(_held_back.read_held(Ledger.read(kernel.root)))


def with_vendor_reset(kernel: FakeKernel) -> None:
    kernel.write("/lib/modules/6.12.0-test/modules.dep", "extra/vendor-reset.ko:\nkernel/vfio-pci.ko:\n")
    kernel.write("/boot/vmlinuz-6.12.0-test", "")


def test_what_no_entry_can_switch_off_waits_for_the_end_of_a_trial(kernel: FakeKernel) -> None:
    with_vendor_reset(kernel)
    before = tree(kernel)
    wanted: dict[str, Any] = {"disable_vga": True, "vendor_reset": True, **BAR, "trial_first": True}
    foretold = run(kernel, check_mode=True, **wanted)
    assert tree(kernel) == before
    done = run(kernel, **wanted)
    assert (done.changed, done.diff, done.data) == (True, foretold.diff, foretold.data)
    assert waiting(kernel) == [MODPROBE_PATH, MODULES_LOAD_PATH]
    assert [kernel.root.exists(path) for path in (MODPROBE_PATH, MODULES_LOAD_PATH)] == [False, False]
    # The rule for BARs asks for the generation.
    assert kernel.root.exists(RULE_PATH)
    again = run(kernel, **wanted)
    assert (again.changed, again.diff) == (False, ())
    off = run(kernel, **{**wanted, "trial_first": False})
    assert off.changed
    assert waiting(kernel) == []
    assert kernel.root.exists(MODULES_LOAD_PATH)


def test_options_that_are_dropped_wait_no_more(kernel: FakeKernel) -> None:
    before = tree(kernel)
    run(kernel, disable_vga=True, trial_first=True)
    foretold = run(kernel, check_mode=True, trial_first=True)
    dropped = run(kernel, trial_first=True)
    assert (dropped.changed, dropped.diff) == (foretold.changed, foretold.diff) == (True, dropped.diff)
    run(kernel, disable_vga=True, trial_first=True)
    assert run(kernel, state="absent").changed
    assert tree(kernel) == before
    assert not (kernel.base / LEDGER_PATH.lstrip("/")).exists()
    assert not run(kernel, state="absent").changed


def test_what_the_boot_on_trial_had_from_its_line_is_taken_back_with_a_reboot(kernel: FakeKernel) -> None:
    """The file came with the commit, and is newer than the boot that acts as if it had always been there."""
    with_vendor_reset(kernel)
    kernel.write("/proc/stat", "cpu 1\nbtime 1\n")
    kernel.write("/sys/module/vendor_reset/initstate", "live\n")
    run(kernel, vendor_reset=True, trial_first=True)
    kernel.boot("ro virtfleet_passthrough.trial=a modules_load=vendor_reset virtfleet_passthrough.trial=a")
    with locked(kernel.root) as ledger:
        _held_back.keep(kernel.root, ledger, [MODULES_LOAD_PATH])
    assert not run(kernel, vendor_reset=True).data["reboot_required"]
    assert run(kernel, state="absent").data["reboot_required"]

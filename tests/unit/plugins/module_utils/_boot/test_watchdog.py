# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hardware watchdogs: found in sysfs, started by the script in a real shell, and stopped."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import deadline, early_files, watchdog
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from tests.unit.plugins.cpio_images import archive
from tests.unit.plugins.host_tree import HostTree
from tests.unit.plugins.module_utils._boot.trial_host import KERNELS, TrialHost

TRIAL = "virtfleet_passthrough.trial=abc"
WANTED = "virtfleet_passthrough.watchdog=i6300esb,heartbeat=895"


@pytest.fixture
def tree(tmp_path: Path) -> HostTree:
    return HostTree(tmp_path)


def _device(tree: HostTree, identity: str, name: str = "watchdog0", **attributes: str) -> Path:
    for key, value in {"identity": identity, **attributes}.items():
        tree.write(f"/sys/class/watchdog/{name}/{key}", f"{value}\n")
    return tree.write(f"/dev/{name}", "")


def test_one_whose_driver_is_loaded_is_found(tree: HostTree) -> None:
    _device(tree, "iTCO_wdt")
    # It resets at the second expiry.
    assert watchdog.choose(tree.root, "auto", 900).argument == "iTCO_wdt,heartbeat=448"


def test_one_whose_driver_is_not_loaded_is_found_by_its_ids(tree: HostTree) -> None:
    tree.write("/sys/bus/pci/devices/0000:00:05.0/vendor", "0x8086\n")
    tree.write("/sys/bus/pci/devices/0000:00:05.0/device", "0x25ab\n")
    assert watchdog.choose(tree.root, "auto", 900).argument == "i6300esb,heartbeat=895"


@pytest.mark.parametrize("seconds", [60, 151, 600, 1200])
@pytest.mark.parametrize("kind", watchdog.KINDS, ids=watchdog.NAMES)
def test_user_space_gives_up_first_and_the_watchdog_keeps_the_deadline(kind: watchdog.Kind, seconds: int) -> None:
    timer = next(file for file in deadline.unit_files("abc", seconds) if file.path == deadline.TIMER_PATH)
    (given,) = re.findall(rb"OnBootSec=(\d+)s", timer.content)
    argument = kind.argument(seconds)
    assert argument is not None
    reset = int(argument.rpartition("=")[2]) * kind.rounds
    # Not even where the kernel reaches its initramfs at once.
    assert int(given) + 10 <= reset < seconds


@pytest.mark.parametrize(("wanted", "words"), [("i6300esb", "shows one"), ("iTCO_wdt", "too short")])
def test_a_name_that_cannot_be_used_is_refused_and_auto_does_without(tree: HostTree, wanted: str, words: str) -> None:
    _device(tree, "iTCO_wdt")
    with pytest.raises(HostStateError, match=words):
        watchdog.choose(tree.root, wanted, 4000)
    choice = watchdog.choose(tree.root, "auto", 4000)
    assert choice.argument is None
    assert "too short" in (choice.reason or "")


def test_off_and_none_say_why(tree: HostTree) -> None:
    assert "asked" in (watchdog.choose(tree.root, "off", 900).reason or "")
    assert "found" in (watchdog.choose(tree.root, "auto", 900).reason or "")


def test_a_running_one_is_stopped_by_the_magic_close_and_others_are_let_alone(tree: HostTree) -> None:
    ours = _device(tree, "i6300ESB timer", state="active", nowayout="0")
    other = _device(tree, "Software Watchdog", "watchdog1", state="active", nowayout="0")
    idle = _device(tree, "iTCO_wdt", "watchdog2", state="inactive", nowayout="0")
    assert watchdog.stop_all(tree.root) == []
    assert [path.read_text() for path in (ours, other, idle)] == ["V", "", ""]


def test_one_that_cannot_be_stopped_is_named_with_the_time_left(tree: HostTree) -> None:
    _device(tree, "i6300ESB timer", state="active", nowayout="1", timeleft="77")
    (warning,) = watchdog.stop_all(tree.root)
    assert "/dev/watchdog0" in warning
    assert "77 s" in warning


def _start(tree: HostTree, line: str) -> subprocess.CompletedProcess[str]:
    tree.write("/proc/cmdline", line + "\n")
    tree.write("/dev/kmsg", "")
    modprobe = tree.write("/sbin/modprobe", f'#!/bin/sh\necho "$*" >>{tree.base}/modprobed\n')
    modprobe.chmod(0o755)
    script = tree.write("/script", early_files.SCRIPT)
    return subprocess.run(["sh", str(script), str(tree.base)], capture_output=True, text=True, check=False, timeout=30)


def test_the_script_loads_the_module_and_starts_it(tree: HostTree) -> None:
    device = _device(tree, "i6300ESB timer", timeout="895")
    other = _device(tree, "Software Watchdog", "watchdog1")
    done = _start(tree, f"ro {TRIAL} {WANTED} {TRIAL}")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tree.base / "modprobed").read_text() == "i6300esb heartbeat=895 nowayout=0\n"
    assert device.read_text() == "1\n"
    assert other.read_text() == ""
    assert "resets this machine" in (tree.base / "dev/kmsg").read_text()


def test_the_script_loads_what_makes_the_device_first(tree: HostTree) -> None:
    device = _device(tree, "iTCO_wdt", timeout="300")
    assert _start(tree, f"ro {TRIAL} virtfleet_passthrough.watchdog=iTCO_wdt,heartbeat=300").returncode == 0
    assert (tree.base / "modprobed").read_text() == "lpc_ich\ni2c_i801\niTCO_wdt heartbeat=300 nowayout=0\n"
    assert device.read_text() == "1\n"


def test_only_the_one_that_is_named_is_started(tree: HostTree) -> None:
    named = _device(tree, "i6300ESB timer", "watchdog1", timeout="895")
    other = _device(tree, "iTCO_wdt", timeout="895")
    _start(tree, f"ro {TRIAL} {WANTED}")
    assert (named.read_text(), other.read_text()) == ("1\n", "")


def test_one_that_did_not_take_the_time_is_left_alone(tree: HostTree) -> None:
    """Built into the kernel it would reset after its own 30 s, in the middle of every boot."""
    device = _device(tree, "i6300ESB timer", timeout="30")
    assert _start(tree, f"ro {TRIAL} {WANTED}").returncode == 0
    assert device.read_text() == ""
    log = (tree.base / "dev/kmsg").read_text()
    assert "after 30 s, not as told (heartbeat=895)" in log
    assert "not covered" in log


@pytest.mark.parametrize("line", ["ro quiet", f"ro {WANTED}", f"ro {TRIAL}", "", f"ro {TRIAL} * {TRIAL}"])
def test_in_any_other_boot_the_script_does_nothing(tree: HostTree, line: str) -> None:
    device = _device(tree, "i6300ESB timer", timeout="895")
    done = _start(tree, line)
    assert (done.returncode, done.stderr) == (0, "")
    assert device.read_text() == ""
    assert not (tree.base / "modprobed").exists()


def test_without_the_device_the_boot_goes_on_and_the_log_says_so(tree: HostTree) -> None:
    assert _start(tree, f"ro {TRIAL} {WANTED}").returncode == 0
    assert "not covered" in (tree.base / "dev/kmsg").read_text()


@pytest.mark.parametrize("generator", list(early_files.IN_IMAGE))
def test_every_script_is_one_for_a_shell_and_all_that_is_proven_is_installed(generator: str, tmp_path: Path) -> None:
    files = early_files.early_files([generator])
    for file in files:
        text = tmp_path / "text"
        text.write_bytes(file.content)
        subprocess.run(["sh", "-n", str(text)], check=True)
        assert file.mode == 0o755
    assert set(early_files.IN_IMAGE[generator]) <= {file.path for file in files}


def _image(host: TrialHost, **members: bytes) -> str:
    return host.stage(content=archive({"init": b"", **members}))


def test_a_trial_names_a_watchdog_only_where_its_image_can_start_it(host: TrialHost) -> None:
    _device(HostTree(host.base), "i6300ESB timer")
    script = early_files.SCRIPT_PATH.lstrip("/")
    module = "lib/modules/6.12/kernel/drivers/watchdog/i6300esb.ko"
    unreadable = host.arm(host.request(images={KERNELS[0]: host.stage()}, watchdog="auto"))
    assert "unknown" in unreadable.record.not_covered[0]
    lacking = _image(host, **{module: b""})
    wanted = {"images": {KERNELS[0]: lacking}, "watchdog": "auto"}
    armed = host.arm(host.request(**wanted))
    assert armed.record.watchdog is None
    assert "does not hold" in armed.record.not_covered[0]
    with pytest.raises(HostStateError, match="does not hold"):
        host.arm(host.request(**{**wanted, "watchdog": "i6300esb"}))
    _image(host, **{module: b"", script: early_files.SCRIPT.encode()})
    unheard = host.arm(host.request(**wanted))
    assert "nothing that runs it" in unheard.record.not_covered[0]
    hook = early_files.IN_IMAGE["initramfs-tools"][early_files.INIT_TOP_PATH]
    _image(host, **{module: b"", script: early_files.SCRIPT.encode(), hook: b""})
    armed = host.arm(host.request(**wanted))
    assert "virtfleet_passthrough.watchdog=i6300esb,heartbeat=895" in armed.record.line
    assert not armed.record.not_covered

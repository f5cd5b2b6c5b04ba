# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The watchdog of a management controller: the program against a timer that behaves as IPMI 2.0 says, and its files.

The real ``/dev/ipmi0`` is the lab's.
"""

from __future__ import annotations

import subprocess
import types
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import bmc_script, bmc_watchdog
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.record import read_record
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from tests.unit.plugins.host_tree import HostTree
from tests.unit.plugins.module_utils._boot.trial_host import TrialHost

DRIVER = "/sys/bus/platform/drivers/ipmi_si"
SMS = 4


class Timer:
    """A controller's watchdog timer (IPMI 2.0, 27.4 to 27.7). A ``deaf`` one does not start, a ``silent`` one does not
    say that it runs, as QEMU's does not: there only the time that is left tells."""

    def __init__(self, use: int = 0, running: bool = False, *, deaf: bool = False, silent: bool = False) -> None:
        self.use, self.action, self.countdown, self.running = use, 0, 100 if running else 0, running
        self.deaf, self.silent = deaf, silent

    def ask(self, _device: int, command: int, data: bytes = b"") -> bytes:
        if command == 0x22:
            self.running = not self.deaf
        elif command == 0x24:
            # The timer stops, unless bit 6 forbids it.
            self.running = self.running and bool(data[0] & 0x40)
            self.use, self.action = data[0] & 7, data[1] & 7
            self.countdown = int.from_bytes(data[4:6], "little")
        left = self.countdown if self.running else 0
        said = 0x40 if self.running and not self.silent else 0
        return bytes((self.use | said, self.action, 0, 0)) + b"".join(
            number.to_bytes(2, "little") for number in (self.countdown, left)
        )


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Any:
    module: Any = types.ModuleType("trial_bmc")
    exec(compile(bmc_script.SCRIPT, bmc_script.SCRIPT_PATH, "exec"), module.__dict__)  # noqa: S102  # hosts get it as text
    monkeypatch.setattr(module, "find_device", lambda: 0)
    # The log of the machine that runs the tests.
    monkeypatch.setattr(module, "open", _no_log, raising=False)
    return module


def _no_log(*_arguments: Any) -> Any:
    raise PermissionError


def _run(program: Any, timer: Timer, *words: str) -> int:
    program.ask = timer.ask
    return int(program.main(list(words)))


@pytest.mark.parametrize("silent", [False, True])
def test_started_for_the_load_of_a_system_with_a_hard_reset_and_stopped_again(program: Any, silent: bool) -> None:
    timer = Timer(silent=silent)
    assert _run(program, timer, "start", "1500") == 0
    assert (timer.running, timer.use, timer.action, timer.countdown) == (True, program.OS_LOAD, 1, 15000)
    # Again, by the next run: its time counts.
    assert _run(program, timer, "start", "900") == 0
    assert timer.countdown == 9000
    assert _run(program, timer, "stop") == 0
    assert not timer.running


@pytest.mark.parametrize("silent", [False, True])
def test_a_timer_of_somebody_else_is_left_alone(program: Any, capsys: pytest.CaptureFixture[str], silent: bool) -> None:
    timer = Timer(SMS, running=True, silent=silent)
    assert _run(program, timer, "start", "1500") == 1
    assert "in use" in capsys.readouterr().out
    assert _run(program, timer, "stop") == 0
    assert (timer.running, timer.use) == (True, SMS)


def test_one_that_does_not_run_although_started_is_an_error(program: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(program, Timer(deaf=True), "start", "1500") == 1
    assert "does not run" in capsys.readouterr().out


def test_without_a_device_it_says_so(program: Any, capsys: pytest.CaptureFixture[str]) -> None:
    program.find_device = lambda: program.os.open("/nonexistent/ipmi0", program.os.O_RDWR)
    assert program.main(["start", "10"]) == 1
    assert "No such file" in capsys.readouterr().out


def test_a_controller_is_one_that_the_driver_holds_and_time_enough(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    assert bmc_watchdog.seconds_for(tree.root, 600) is None
    tree.write(f"{DRIVER}/bind", "")
    assert bmc_watchdog.seconds_for(tree.root, 600) is None
    tree.write(f"{DRIVER}/IPI0001:00/modalias", "")
    assert bmc_watchdog.seconds_for(tree.root, 600) == 1200
    assert bmc_watchdog.seconds_for(tree.root, 6000) is None


def test_only_a_reboot_of_the_boot_that_armed_starts_it(tmp_path: Path) -> None:
    files = {file.path: file.content.decode() for file in bmc_watchdog.bmc_files("abc", "boot-1", 1200)}
    calls, boot_id = tmp_path / "calls", tmp_path / "boot_id"
    text = files[bmc_watchdog.SHUTDOWN_PATH].replace("/proc/sys/kernel/random/boot_id", str(boot_id))
    (tmp_path / "timeout").write_text(f'#!/bin/sh\necho "$*" >>{calls}\n')
    (tmp_path / "timeout").chmod(0o755)
    hook = tmp_path / "hook"
    hook.write_text(text)
    for present, word in (("boot-1", "poweroff"), ("boot-2", "reboot"), ("boot-1", "reboot")):
        boot_id.write_text(f"{present}\n")
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        subprocess.run(["sh", str(hook), word], check=True, env=environment, timeout=30)
    assert [line.split()[-2:] for line in calls.read_text().splitlines()] == [["start", "1200"]]
    assert "ConditionKernelCommandLine=!virtfleet_passthrough.trial=abc\n" in files[bmc_watchdog.SERVICE_PATH]


def _controller(host: TrialHost) -> None:
    HostTree(host.base).write(f"{DRIVER}/IPI0001:00/modalias", "")


def _installed(host: TrialHost) -> bool:
    paths = (bmc_watchdog.SHUTDOWN_PATH, bmc_watchdog.SERVICE_PATH, bmc_watchdog.DROP_IN_PATH, bmc_script.SCRIPT_PATH)
    (found,) = {(host.base / path.lstrip("/")).exists() for path in paths}
    return found


def test_a_trial_brings_it_and_takes_it_away(host: TrialHost) -> None:
    _controller(host)
    armed = host.arm(host.request(watchdog="auto"))
    assert _installed(host)
    assert not [text for text in armed.record.not_covered if "hang" in text]
    host.boot(lost=True)
    host.roll_back()
    assert not _installed(host)


def test_a_commit_stops_it(host: TrialHost) -> None:
    _controller(host)
    host.arm(host.request(watchdog="auto"))
    host.boot()
    host.commit()
    assert not _installed(host)
    assert host.bmc == ["stop"]


def test_one_that_cannot_be_stopped_is_told(host: TrialHost) -> None:
    _controller(host)
    host.arm(host.request(watchdog="auto"))
    host.boot()
    host.fail = "python"
    (warning,) = host.commit().warnings
    assert "resets the machine unless somebody stops it" in warning


def test_a_commit_that_was_cut_off_later_does_not_stop_it_twice(host: TrialHost) -> None:
    _controller(host)
    host.arm(host.request(watchdog="auto"))
    host.boot()
    # Released, because it had been stopped.
    (host.base / bmc_script.SCRIPT_PATH.lstrip("/")).unlink()
    assert not host.commit().warnings
    assert not host.bmc


def test_without_one_nothing_of_it_is_there(host: TrialHost) -> None:
    armed = host.arm(host.request(watchdog="auto"))
    assert not _installed(host)
    assert any("hang" in text for text in armed.record.not_covered)
    record = read_record(Ledger.read(host.root))
    assert record is not None
    assert record.bmc is None

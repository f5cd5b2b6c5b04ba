# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from lab import monitor
from lab.stall import Watch

BEGIN = b"\x1b[2JLoading Linux 6.12.0-amd64 ...\r\r\nLoading initial ramdisk ...\r\r\n"
LOGIN = b"\r\nDebian GNU/Linux 13 lab ttyS0\r\n\r\nlab login: "
STALL = (
    b"[   34.1] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\r\n"
    b"[   34.2] rcu: \t0-...!: (1 GPs behind) idle=0\r\n[   34.3] Sending NMI from CPU 1 to CPUs 0:\r\n"
)


class Console:
    """A host's console log, and what its monitor was asked for."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "console.log"
        self.asked: list[str] = []
        self.silent = False
        self.watch = Watch(directory, patience=100)

    def says(self, text: bytes, at: float) -> None:
        with self.log.open("ab") as log:
            log.write(text)
        self.watch.look(at)

    def ask(self, _directory: Path, command: str) -> object:
        if self.silent:
            raise ConnectionRefusedError
        self.asked.append(command)
        return {}


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    console = Console(tmp_path)
    monkeypatch.setattr(monitor, "ask", console.ask)
    return console


def test_a_boot_that_goes_on_is_left_alone(console: Console) -> None:
    console.watch.look(0)
    console.says(BEGIN, 10)
    console.says(b"[    2.2] shpchp 0000:03:00.0: pci_hp_register failed\r\n", 100)
    console.says(LOGIN, 190)
    console.watch.look(5000)
    assert console.asked == []


def test_a_silent_boot_is_reset_once(console: Console) -> None:
    console.says(BEGIN, 10)
    console.watch.look(109)
    assert console.asked == []
    console.watch.look(111)
    console.says(BEGIN, 120)
    console.watch.look(5000)
    assert (console.asked, console.watch.resets) == (["system_reset"], 1)


def test_what_the_kernel_says_of_a_stall_is_no_progress(console: Console) -> None:
    console.says(BEGIN, 10)
    for moment in range(40, 111, 10):
        console.says(STALL, moment)
    assert console.asked == []
    console.says(STALL, 111)
    assert console.asked == ["system_reset"]


def test_after_a_stall_that_passed_the_boot_goes_on(console: Console) -> None:
    console.says(BEGIN + STALL, 10)
    console.says(b"Begin: Running /scripts/init-bottom ... done.\r\n", 90)
    console.says(STALL, 150)
    console.says(LOGIN, 180)
    assert console.asked == []


def test_the_next_boot_has_its_own_reset(console: Console) -> None:
    console.says(BEGIN, 0)
    console.watch.look(200)
    console.says(BEGIN, 210)
    console.says(LOGIN, 250)
    console.says(BEGIN, 1000)
    console.watch.look(1200)
    assert console.watch.resets == 2


def test_a_monitor_that_does_not_answer_is_told_of(console: Console, capsys: pytest.CaptureFixture[str]) -> None:
    console.silent = True
    console.says(BEGIN, 0)
    console.watch.look(200)
    assert console.watch.resets == 0
    assert "no reset" in capsys.readouterr().err


def test_without_a_host_there_is_nothing_to_do(console: Console) -> None:
    console.watch.look(0)
    console.watch.look(5000)
    assert console.asked == []

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a QEMU that is a few lines of Python: their outcome, what is kept, and that no machine outlives them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lab.emulator import QEMU
from lab.errors import LabError
from lab.fuzz import boot, kernel, run
from lab.fuzz.capture import Capture
from lab.fuzz.topology import generate
from lab.paths import REPOSITORY
from tests.unit.lab.fuzz.guest import bridged, payload, serial

# Says what it is told to say and ends; or, told nothing, leaves its process id and runs on.
STAND_IN = """\
#!{python}
import os, re, sys, time
from pathlib import Path

here = Path(__file__).parent
if "help" in sys.argv:
    print('name "e1000e", bus PCI')
    raise SystemExit
if (here / "refuse").exists():
    print("no such device")
    raise SystemExit(1)
if not (here / "capture").exists():
    (here / f"pid-{{os.getpid()}}").touch()
    time.sleep(300)
target = re.search(r"path=(.*capture.log)", " ".join(sys.argv[sys.argv.index("-serial") + 2:])).group(1)
Path(target).write_text((here / "capture").read_text())
"""


@pytest.fixture(name="qemu")
def _qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    program = directory / QEMU
    program.write_text(STAND_IN.format(python=sys.executable), encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return directory


@pytest.fixture(name="debian")
def _debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> kernel.Kernel:
    """A cache that is filled already."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    directory = kernel.path("bookworm")
    directory.mkdir(parents=True)
    for name in ("vmlinuz", "busybox", kernel.PF_MODULE, "package"):
        (directory / name).write_text("", encoding="utf-8")
    return kernel.ensure("bookworm")


@pytest.fixture(name="output")
def _output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run, "OUTPUT", tmp_path / "output")
    return tmp_path / "output"


def says(qemu: Path, seen: Capture) -> None:
    (qemu / "capture").write_text(serial(payload(seen)), encoding="ascii")


def split() -> Capture:
    """What the prediction cannot be: one of two functions behind a conventional bridge in a group of its own."""
    seen = bridged()
    return replace(
        seen, functions={**seen.functions, "0000:01:04.0": replace(seen.functions["0000:01:04.0"], group="7")}
    )


def started(qemu: Path) -> int:
    begun = time.monotonic()
    while time.monotonic() - begun < 60:
        for path in qemu.glob("pid-*"):
            return int(path.name.removeprefix("pid-"))
        time.sleep(0.05)
    raise AssertionError("QEMU was not started")


def running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


# --- one boot ----------------------------------------------------------------------------------


def booted(debian: kernel.Kernel, directory: Path, stop: threading.Event, limit: float = 60) -> Capture:
    topology = generate(1, {"e1000e"})
    return boot.boot(topology, debian, directory / "initramfs", directory / "run", stop, limit)


def test_a_machine_that_hangs_is_ended_at_its_deadline(qemu: Path, debian: kernel.Kernel, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"not done after 3 s.*console shows last: nothing"):
        booted(debian, tmp_path, threading.Event(), limit=3)
    assert not running(started(qemu))


def test_a_machine_is_ended_when_the_run_stops(qemu: Path, debian: kernel.Kernel, tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(boot.StoppedError):
        booted(debian, tmp_path, stop)
    assert not any(running(int(path.name.removeprefix("pid-"))) for path in qemu.glob("pid-*"))


def test_what_qemu_refuses_is_told(qemu: Path, debian: kernel.Kernel, tmp_path: Path) -> None:
    (qemu / "refuse").touch()
    with pytest.raises(LabError, match="status 1: no such device"):
        booted(debian, tmp_path, threading.Event())


def test_drivers_are_what_qemu_lists(qemu: Path) -> None:
    assert boot.drivers() == {"e1000e"}


# --- whole runs --------------------------------------------------------------------------------


def test_equal_topologies_leave_nothing(
    qemu: Path, debian: kernel.Kernel, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    says(qemu, bridged())
    assert run.Fuzz([debian]).run(range(7, 9), jobs=2) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.partition("seed ")[2].partition(",")[0] for line in lines[:2]) == [
        "7: bookworm: 4 devices",
        "8: bookworm: 4 devices",
    ]
    assert lines[0].startswith("1/2 seed ")
    assert "equal" in lines[0]
    assert lines[2].startswith("2 of 2 topologies as predicted")
    assert [path.name for path in output.iterdir()] == ["initramfs-bookworm.gz"]


def test_a_difference_is_told_and_its_capture_can_be_compared_again(
    qemu: Path, debian: kernel.Kernel, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    says(qemu, split())
    assert run.Fuzz([debian]).run([7], jobs=1) == 1
    said = capsys.readouterr().out
    assert "1/1 seed 7: bookworm: 4 devices, 3 groups, DIFFERENT" in said
    assert "    kernel:    0000:01:04.0\n" in said
    assert said.splitlines()[-1].endswith("failed: seed 7")
    kept = output / "7/capture.json"
    assert str(kept) in said
    assert list(json.loads(kept.read_text(encoding="utf-8"))) == ["seed 7, bookworm"]
    assert run.replay(kept) == 1
    assert "kernel:    0000:01:04.0" in capsys.readouterr().out


def test_a_machine_without_its_iommu_is_a_failure(
    qemu: Path, debian: kernel.Kernel, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # No group at all is what is predicted for functions without an IOMMU: equal, and worth nothing.
    bare = {address: replace(function, group="") for address, function in bridged().functions.items()}
    says(qemu, replace(bridged(), functions=bare))
    assert run.Fuzz([debian]).run([7], jobs=1) == 1
    said = capsys.readouterr().out
    assert "4 devices, 0 groups, equal, INCOMPLETE" in said
    assert "0000:00:01.0 has no IOMMU group, and its root bus has an IOMMU" in said
    assert (output / "7/capture.json").exists()


def test_a_machine_that_says_nothing_is_a_failure(
    qemu: Path, debian: kernel.Kernel, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (qemu / "capture").write_text("[    0.0] panic\n", encoding="ascii")
    assert run.Fuzz([debian]).run([7], jobs=1) == 1
    said = capsys.readouterr().out
    assert "1/1 seed 7: bookworm: no capture" in said
    assert "its kernel did not come up" in said
    assert str(output / "7/console.log") in said


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_ends_its_machines(
    qemu: Path, debian: kernel.Kernel, number: signal.Signals, status: int
) -> None:
    arguments = ["--count", "3", "--seed", "5", "--suite", "bookworm", "--keep"]
    # What runs in the background has inherited that interrupts are ignored.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "lab.fuzz", *arguments]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as child:
        try:
            pid = started(qemu)
            child.send_signal(number)
            said, _nothing = child.communicate(timeout=60)
        finally:
            child.kill()
    assert child.returncode == status
    assert said.startswith("first seed 5")
    assert not running(pid)
    assert len(list(qemu.glob("pid-*"))) == 1

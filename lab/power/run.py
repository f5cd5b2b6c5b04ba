# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many power cuts of one recording, one or two at a time: booted, judged, some converged again, failures kept."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab import machine
from lab.errors import LabError
from lab.machine import Host
from lab.paths import REPOSITORY
from lab.power import boot, playbooks, state, write_log
from lab.power.disk import Disk
from lab.power.draw import Phase, Point, phase_of
from lab.power.playbooks import StoppedError
from lab.power.recording import NAME, Recording
from lab.power.write_log import WriteLog

OUTPUT = REPOSITORY / ".build/fuzz-power"
NOT_UP = "not up"


@dataclass(frozen=True)
class Outcome:
    """Of one point: ``configuration`` is what came up, ``problem`` is empty when all is well."""

    number: int
    point: Point
    configuration: str
    seconds: float
    problem: str = ""
    converged: float | None = None


@dataclass
class Cuts:
    """The boots of one run, each under its number; ``again`` are those after which the next converge is tried."""

    recording: Recording
    found: Sequence[Phase]
    points: Mapping[int, Point]
    again: Collection[int]
    kept: Path
    host: str = NAME
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _outcomes: list[Outcome] = field(default_factory=list)

    def run(self, jobs: int) -> int:
        """Print a line for each point and a summary; give the number of points that failed."""
        begun = time.monotonic()
        with write_log.opened(self.recording.writes) as log, ThreadPoolExecutor(max_workers=jobs) as pool:
            following = iter(self.points.items())
            workers = [pool.submit(self._work, f"{self.host}-{number}", log, following) for number in range(jobs)]
            try:
                for worker in workers:
                    worker.result()
            finally:
                # Whatever ended the run, an interrupt too: each worker ends its host, and starts none any more.
                self._stop.set()
        failed = [outcome for outcome in self._outcomes if outcome.problem]
        self._summarize(time.monotonic() - begun, failed)
        return len(failed)

    def _work(self, name: str, log: WriteLog, following: Iterator[tuple[int, Point]]) -> None:
        with rolling(self.recording, name, log) as disk:
            while not self._stop.is_set():
                with self._lock:
                    number, point = next(following, (0, None))
                if point is None:
                    return
                try:
                    outcome = self._one(name, disk, number, point)
                except StoppedError:
                    return
                self._tell(outcome)

    def _one(self, name: str, disk: Disk, number: int, point: Point) -> Outcome:
        begun = time.monotonic()
        configuration, problem, converged = NOT_UP, "", None
        with disk.at(point) as image, _booted(self.recording, name, image) as host:
            try:
                facts = boot.facts(host, self._stop)
                verdict = state.judge(facts, self.recording.old, self.recording.new)
                configuration, problem = verdict.configuration, "; ".join(verdict.faults)
                seconds = time.monotonic() - begun
                if number in self.again and not problem:
                    self._converge(host)
                    converged = time.monotonic() - begun - seconds
            except LabError as error:
                problem = str(error)
            if problem:
                problem = f"{problem}\nkept: {self._keep(host, image, number)}"
        return Outcome(number, point, configuration, time.monotonic() - begun - (converged or 0), problem, converged)

    def _converge(self, host: Host) -> None:
        playbooks.converge(host, self._stop)
        facts = boot.facts(host, self._stop)
        verdict = state.judge(facts, self.recording.old, self.recording.new)
        if verdict.configuration not in (state.NEW, state.TRIAL) or verdict.faults:
            raise LabError(f"after the next converge: {verdict.configuration}; {'; '.join(verdict.faults)}")
        playbooks.check_in_sync(host, self._stop)

    def _keep(self, host: Host, image: Path, number: int) -> Path:
        """The disk as it stood when the power went, and what the boot said."""
        directory = self.kept / str(number)
        directory.mkdir(parents=True, exist_ok=True)
        machine.cut(host)
        command = ["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", str(image), str(directory / "disk.qcow2")]
        subprocess.run(command, check=True, timeout=300)
        for log in host.directory.glob("*.log"):
            shutil.copy(log, directory)
        return directory

    def _tell(self, outcome: Outcome) -> None:
        point = outcome.point
        with self._lock:
            self._outcomes.append(outcome)
            phase = phase_of(point.index, self.found).name
            where = f"cut {outcome.number} after entry {point.index} ({phase}), {point.told}"
            text = f"{outcome.configuration}{', FAILED' * bool(outcome.problem)}, {outcome.seconds:.0f} s"
            if outcome.converged is not None:
                text += f"; converged and in sync after {outcome.converged:.0f} s"
            print(f"{len(self._outcomes)}/{len(self.points)} {where}: {text}", flush=True)
            for line in outcome.problem.splitlines():
                print(f"    {line}", flush=True)

    def _summarize(self, took: float, failed: Sequence[Outcome]) -> None:
        counts = Counter(outcome.configuration for outcome in self._outcomes)
        shares = ", ".join(f"{counts[name]} {name}" for name in sorted(counts))
        converged = sum(outcome.converged is not None for outcome in self._outcomes)
        wanted = len([number for number in self.points if number in self.again])
        text = f"{len(self._outcomes) - len(failed)} of {len(self.points)} well ({shares})"
        text += f", {converged} of {wanted} converged again, {took:.0f} s"
        if failed:
            text += f"; failed: cut {', '.join(str(outcome.number) for outcome in failed)}"
        print(text, flush=True)


@contextmanager
def rolling(recording: Recording, name: str, log: WriteLog) -> Iterator[Disk]:
    """A disk as it was at power-on, for as long as the block lasts."""
    path = OUTPUT / f"{name}.raw"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _unpack(Path(recording.host.image), path)
        yield Disk(path, log)
    finally:
        path.unlink(missing_ok=True)


def _unpack(image: Path, path: Path) -> None:
    try:
        subprocess.run(["qemu-img", "convert", "-q", "-O", "raw", str(image), str(path)], check=True, timeout=300)
    except subprocess.SubprocessError as error:
        raise LabError(f"unpacking {image}: {error}", cause="no disk space") from None


@contextmanager
def _booted(recording: Recording, name: str, image: Path) -> Iterator[Host]:
    host = machine.start_as(name, recording.host, image, recording.variables)
    try:
        yield host
    finally:
        machine.forget(host)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many topologies, one or two at a time: booted, compared, and what differs kept."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import LabError
from lab.fuzz import boot, capture, initramfs
from lab.fuzz.compare import Comparison, compare
from lab.fuzz.kernel import Kernel
from lab.fuzz.shortcomings import shortcomings
from lab.fuzz.topology import generate
from lab.paths import REPOSITORY

OUTPUT = REPOSITORY / ".build/fuzz-iommu"
# Firmware, kernel and script have used ten times less; this is for a machine under heavy load.
_DEADLINE = 120.0


@dataclass(frozen=True)
class Outcome:
    """Of one topology: ``problem`` is empty when the prediction equals the kernel."""

    seed: int
    text: str
    problem: str = ""


@dataclass
class Fuzz:
    """The boots of one run; ``keep`` leaves logs and captures of those that were equal too."""

    kernels: Sequence[Kernel]
    keep: bool = False
    deadline: float = _DEADLINE
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._drivers = boot.drivers()
        OUTPUT.mkdir(parents=True, exist_ok=True)
        self._initramfs = {kernel.suite: OUTPUT / f"initramfs-{kernel.suite}.gz" for kernel in self.kernels}
        for kernel in self.kernels:
            # Another run in this checkout may be booting from it.
            fresh = OUTPUT / f"initramfs-{kernel.suite}.{os.getpid()}"
            fresh.write_bytes(initramfs.build(kernel))
            fresh.rename(self._initramfs[kernel.suite])

    def run(self, seeds: Sequence[int], jobs: int) -> int:
        """Print a line for each topology and a summary; give the number of those that differ or say nothing."""
        begun = time.monotonic()
        failed: list[int] = []
        with self._boots(seeds, jobs) as boots:
            for count, done in enumerate(as_completed(boots), start=1):
                outcome = done.result()
                print(f"{count}/{len(seeds)} seed {outcome.seed}: {outcome.text}", flush=True)
                if outcome.problem:
                    failed.append(outcome.seed)
                    print(outcome.problem, flush=True)
        took = time.monotonic() - begun
        equal = f"{len(seeds) - len(failed)} of {len(seeds)} topologies as predicted, {took:.0f} s"
        print(f"{equal}; failed: seed {', '.join(map(str, sorted(failed)))}" if failed else equal, flush=True)
        return len(failed)

    @contextmanager
    def _boots(self, seeds: Sequence[int], jobs: int) -> Iterator[list[Future[Outcome]]]:
        with ThreadPoolExecutor(max_workers=jobs) as pool:
            boots = [pool.submit(self._one, seed) for seed in seeds]
            try:
                yield boots
            finally:
                # Whatever ended the run, an interrupt too: no boot starts any more, and each running one ends its QEMU.
                self._stop.set()
                pool.shutdown(cancel_futures=True)

    def _one(self, seed: int) -> Outcome:
        kernel = self.kernels[seed % len(self.kernels)]
        topology = generate(seed, self._drivers, config_acs=kernel.knows_config_acs)
        directory = OUTPUT / str(seed)
        shutil.rmtree(directory, ignore_errors=True)
        begun = time.monotonic()
        try:
            seen = boot.boot(
                topology, kernel, self._initramfs[kernel.suite], directory, self._stop, limit=self.deadline
            )
        except LabError as error:
            return Outcome(seed, f"{kernel.suite}: no capture", _indented(f"{error}\n{topology.description}"))
        took = time.monotonic() - begun
        saved = directory / "capture.json"
        case = {f"seed {seed}, {kernel.suite}": capture.to_json(seen)}
        saved.write_text(json.dumps(case, indent=1) + "\n", encoding="utf-8")
        found = compare(seen)
        missing = shortcomings(topology, seen)
        text = f"{kernel.suite}: {_counted(found)}{', INCOMPLETE' * bool(missing)}, {took:.0f} s"
        if missing or found.differences:
            lines = [*missing, *found.differences, f"topology: {topology.description}", f"capture: {saved}"]
            return Outcome(seed, text, _indented("\n".join(lines)))
        if not self.keep:
            shutil.rmtree(directory)
        return Outcome(seed, text)


def _counted(found: Comparison) -> str:
    return f"{found.functions} devices, {found.groups} groups, {'DIFFERENT' if found.differences else 'equal'}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def replay(path: Path) -> int:
    """Compare the captures of a file again, without booting anything; give the number of those that differ."""
    failed = 0
    for name, case in json.loads(path.read_text(encoding="utf-8")).items():
        found = compare(capture.from_json(case))
        print(f"{name}: {_counted(found)}", flush=True)
        for line in found.differences:
            print(f"    {line}")
        failed += bool(found.differences)
    return failed

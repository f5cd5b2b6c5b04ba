# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command line: python -m lab.power, from the repository root (`make fuzz-power`)."""

from __future__ import annotations

import argparse
import random
import secrets
import signal
import sys
import threading
import time
from collections.abc import Sequence

from lab.errors import LabError
from lab.power import looks, write_log
from lab.power import recording as recordings
from lab.power.draw import draw, phases
from lab.power.playbooks import StoppedError
from lab.power.recording import NAME, Recording
from lab.power.run import OUTPUT, Cuts

RECORDING = OUTPUT / "recording"


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    # So that a terminated run ends its hosts as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    try:
        return _run(options)
    except LabError as error:
        print(f"power: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, StoppedError):
        return 130


def _run(options: argparse.Namespace) -> int:
    seed = secrets.randbelow(1_000_000_000) if options.seed is None else options.seed
    repeat = f"--recorded --count {options.count} --seed {seed}"
    print(f"seed {seed}; the same points again, as long as their recording is there: {repeat}", flush=True)
    recording = recordings.load(RECORDING) if options.recorded else _record()
    with write_log.opened(recording.writes) as log:
        found = phases(recording.marks, log.entries)
        size = recording.writes.stat().st_size >> 20
        print(
            f"recorded: {len(log.entries)} writes and flushes, {size} MiB, of them"
            f" {len(log.entries) - found[0].first} in {len(found)} tasks of the converge",
            flush=True,
        )
        points = dict(enumerate(draw(log.entries, found, options.count, seed), start=1))
        glances = options.looks if options.looks is not None else 0 if options.only else 10 * options.count
        faults = looks.look(recording, log, found, draw(log.entries, found, glances, seed + 1)) if glances else 0
    wanted = max(1, options.count // 10) if options.converge is None else options.converge
    again = random.Random(seed).sample(list(points), min(wanted, len(points)))
    if options.only is not None:
        points = {number: point for number, point in points.items() if number in options.only}
    faults += Cuts(recording, found, points, again, OUTPUT / str(seed), options.host).run(options.jobs)
    return 1 if faults else 0


def _record() -> Recording:
    print("recording one converge (usually 4 min)", flush=True)
    begun = time.monotonic()
    made = recordings.record(RECORDING, threading.Event())
    print(f"recording: done in {time.monotonic() - begun:.0f} s", flush=True)
    return made


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab.power",
        description="Records a converge, and boots the disk as it was when the power went at random moments of it.",
    )
    parser.add_argument("--count", type=int, default=20, metavar="N", help="how many power cuts (default: 20)")
    parser.add_argument("--seed", type=int, metavar="S", help="decides where the power goes (default: random)")
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=1, help="how many at a time (default: 1)")
    parser.add_argument(
        "--converge", type=int, metavar="M", help="after how many of them to converge again (default: N/10, at least 1)"
    )
    parser.add_argument(
        "--looks",
        type=int,
        metavar="N",
        help="how many more power cuts to look at as GRUB does, without a boot (default: 10 for each that is booted)",
    )
    parser.add_argument("--recorded", action="store_true", help="use the recording of the last run")
    parser.add_argument(
        "--host",
        default=NAME,
        metavar="NAME",
        help="what the booted hosts are called, for a second run beside this one",
    )
    parser.add_argument(
        "--only",
        type=int,
        action="append",
        metavar="NUMBER",
        help="of the drawn power cuts, only the one of this number",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

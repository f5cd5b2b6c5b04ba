# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command line: python -m lab.fuzz, from the repository root (`make fuzz-iommu`)."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.emulator import QEMU
from lab.errors import LabError
from lab.fuzz import kernel, run
from lab.progress import require_tools


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    # So that a terminated run ends its machines as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    try:
        return _run(options)
    except LabError as error:
        print(f"fuzz: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace) -> int:
    if options.replay:
        return 1 if sum(run.replay(path) for path in options.replay) else 0
    seed = secrets.randbelow(1_000_000_000) if options.seed is None else options.seed
    suites = options.suite or list(kernel.SUITES)
    again = "".join(f" --suite {suite}" for suite in options.suite or ())
    print(
        f"first seed {seed}, kernels of {' and '.join(suites)} by turns; one again: --count 1{again} --seed SEED",
        flush=True,
    )
    require_tools("booting topologies", {QEMU: "qemu-system-x86"})
    kernels = [kernel.ensure(suite, refresh=options.refresh) for suite in suites]
    fuzz = run.Fuzz(kernels, keep=options.keep)
    return 1 if fuzz.run(range(seed, seed + options.count), options.jobs) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab.fuzz",
        description="Boots random PCI topologies and compares the kernel's IOMMU groups with the predicted ones.",
    )
    parser.add_argument("--count", type=int, default=20, metavar="N", help="how many topologies (default: 20)")
    parser.add_argument(
        "--seed", type=int, metavar="S", help="the first one's seed, the others follow (default: random)"
    )
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=1, help="how many at a time (default: 1)")
    parser.add_argument(
        "--suite", action="append", choices=tuple(kernel.SUITES), help="Debian's kernel of this suite (default: all)"
    )
    parser.add_argument("--keep", action="store_true", help="keep logs and captures of topologies that are equal too")
    parser.add_argument("--refresh", action="store_true", help="fetch the newest kernels instead of the cached ones")
    parser.add_argument(
        "--replay", action="append", type=Path, metavar="FILE", help="compare kept captures again, boot nothing"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

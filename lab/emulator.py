# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which QEMU runs a host: this machine's own, or one of a Debian suite that is unpacked in the cache.

QEMU has igb, a NIC with VFs, from 8.0 on, and Debian 12 has 7.2. The unpacked one brings every library that it
needs, down to the C library and its loader, so it runs on any machine, beside the installed one, and without root.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab import apt
from lab.apt import Apt
from lab.errors import LabError
from lab.locking import locked
from lab.paths import cache
from lab.progress import require_space, require_tools, say

QEMU = "qemu-system-x86_64"
# What a topology may ask for; the first is the default.
OWN = "own"
SUITES = ("trixie",)
CHOICES = (OWN, *SUITES)
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_LOADER = "usr/lib64/ld-linux-x86-64.so.2"
# Goes up when another part of the packages is kept, so that an older cache entry is made anew.
_LAYOUT = 1


@dataclass(frozen=True)
class Emulator:
    """The words that come before QEMU's own arguments, and what is added to its environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def ensure(choice: str) -> Emulator:
    """Give a QEMU that is ready to run; one of a suite is fetched the first time."""
    if choice == OWN:
        require_tools("starting a host", {QEMU: "qemu-system-x86"})
        return Emulator((QEMU,))
    if choice not in SUITES:
        raise LabError(f"there is no QEMU {choice!r}", cause=f"known: {', '.join(CHOICES)}")
    tree = cache() / "qemu" / f"{choice}-{_LAYOUT}"
    base = tree.parent
    base.mkdir(parents=True, exist_ok=True)
    with locked(base / f"{choice}.lock", f"QEMU of {choice}", limit=900):
        if not tree.exists():
            _fetch(choice, tree)
    return unpacked(tree)


def unpacked(tree: Path) -> Emulator:
    """Give the QEMU of a tree of unpacked packages."""
    libraries = str(tree / _LIBRARIES)
    program = str(tree / "usr/bin" / QEMU)
    data = (word for name in ("qemu", "seabios") for word in ("-L", str(tree / "usr/share" / name)))
    return Emulator(
        (str(tree / _LOADER), "--library-path", libraries, program, *data),
        # Parts that QEMU loads at run time: only those of the same build will do.
        {"QEMU_MODULE_DIR": f"{libraries}/qemu"},
    )


def _fetch(suite: str, tree: Path) -> None:
    what = f"QEMU of {suite}"
    require_tools(what, apt.TOOLS)
    base = tree.parent
    require_space(what, base, 1)
    log = base / f"{suite}.log"
    log.unlink(missing_ok=True)
    say(f"{what}: fetching 40 MB, usually 10 to 30 s, once; log: {log}")
    for left in base.glob(f"fetch-{suite}-*"):
        # Of a fetch that was killed: the caller holds the suite's lock, so none of them lives.
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f"fetch-{suite}-", dir=base))
    try:
        debian = Apt(what, suite, work, log)
        made = work / "made"
        debian.unpack(debian.download_complete("qemu-system-x86"), made)
        for part in (_LOADER, _LIBRARIES, f"usr/bin/{QEMU}", "usr/share/qemu", "usr/share/seabios"):
            if not (made / part).exists():
                raise LabError(f"{what}: {part} is not in the packages", cause="packaged in another way now", log=log)
        made.rename(tree)
        say(f"{what}: version {debian.version('qemu-system-x86')}")
    finally:
        shutil.rmtree(work, ignore_errors=True)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One boot of one topology under QEMU, from its arguments to what the guest said."""

from __future__ import annotations

import shlex
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lab import console
from lab.emulator import QEMU
from lab.errors import LabError
from lab.fuzz import capture
from lab.fuzz.capture import Capture
from lab.fuzz.kernel import Kernel
from lab.fuzz.topology import Topology

DEADLINE = 120.0
_MEMORY = "384M"
# What "max" adds and this takes away costs time at every memory access or system call.
_CPU = "max,la57=off,smap=off,smep=off,pku=off,umip=off"
_KERNEL_PARAMETERS = (
    "console=ttyS0",
    "quiet",
    # A panic ends QEMU at once (with -no-reboot) and not at the deadline.
    "panic=-1",
    "intel_iommu=on",
    # On a loaded machine the timer check may take the emulator's delays for a broken timer and panic.
    "no_timer_check",
    "mitigations=off",
)


class StoppedError(Exception):
    """The run ends: a boot was given up because of that, and its outcome means nothing."""


def drivers() -> frozenset[str]:
    """Give what this QEMU offers as ``-device``."""
    done = subprocess.run([QEMU, "-device", "help"], capture_output=True, text=True, timeout=60, check=True)
    words = (line.split('"') for line in done.stdout.splitlines() if line.startswith("name "))
    return frozenset(parts[1] for parts in words)


def arguments(topology: Topology, kernel: Kernel, initramfs: Path, directory: Path) -> list[str]:
    return [
        *(QEMU, "-name", f"fuzz-{topology.seed}", "-nodefaults", "-display", "none", "-no-reboot"),
        *("-machine", topology.machine),
        *("-accel", "tcg", "-cpu", _CPU, "-smp", "1", "-m", _MEMORY),
        *("-kernel", str(kernel.image), "-initrd", str(initramfs)),
        *("-append", " ".join((*_KERNEL_PARAMETERS, *topology.kernel_parameters))),
        *_serial("console", directory / "console.log"),
        *_serial("capture", directory / "capture.log"),
        *topology.devices,
    ]


def _serial(name: str, path: Path) -> Sequence[str]:
    return "-chardev", f"file,id={name},path={str(path).replace(',', ',,')}", "-serial", f"chardev:{name}"


def boot(
    topology: Topology, kernel: Kernel, initramfs: Path, directory: Path, stop: threading.Event, limit: float = DEADLINE
) -> Capture:
    """Boot, wait until the guest has switched itself off, and read what it said.

    :class:`LabError` when it does not, :class:`StoppedError` when ``stop`` is set meanwhile. QEMU never outlives this.
    """
    directory.mkdir(parents=True, exist_ok=True)
    command = arguments(topology, kernel, initramfs, directory)
    log = directory / "qemu.log"
    with log.open("w", encoding="utf-8") as sink:
        sink.write(f"+ {shlex.join(command)}\n")
        sink.flush()
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            # A Ctrl-C in the terminal is for us: we end QEMU and know that we did.
            start_new_session=True,
        )
    try:
        _wait(child, stop, limit, directory)
    finally:
        child.kill()
        child.wait(20)
    if child.returncode != 0:
        said = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        raise LabError(f"QEMU ended with status {child.returncode}: {said[-300:]}", log=log)
    text = ""
    with suppress(FileNotFoundError):
        text = (directory / "capture.log").read_bytes().decode("ascii", errors="replace")
    try:
        return capture.parse(text)
    except LabError as error:
        raise LabError(error.attempted, cause=error.cause, log=directory / "console.log") from None


def _wait(child: subprocess.Popen[bytes], stop: threading.Event, limit: float, directory: Path) -> None:
    begun = time.monotonic()
    while child.poll() is None:
        if stop.wait(0.1):
            raise StoppedError
        if time.monotonic() - begun > limit:
            last = console.last_line(directory / "console.log") or "nothing"
            raise LabError(
                f"the guest is not done after {limit:.0f} s; its console shows last: {last}",
                cause="a machine under heavy load, or the kernel hangs",
                log=directory / "console.log",
            )

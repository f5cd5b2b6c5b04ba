# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Long commands: one line before, a log file meanwhile, one line after."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lab.errors import LabError


def say(text: str) -> None:
    # Standard output belongs to what a command was asked for (an inventory, a path).
    print(f"lab: {text}", file=sys.stderr, flush=True)


def require_tools(purpose: str, tools: Mapping[str, str]) -> None:
    """Check that every tool is installed; `tools` maps it to its Debian package."""
    missing = {tool: package for tool, package in tools.items() if not shutil.which(tool)}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise LabError(
            f"{purpose}: not installed: {', '.join(sorted(missing))}",
            cause=f"missing Debian packages: apt-get install --no-install-recommends {packages}",
        )


def require_space(purpose: str, where: Path, gib: float) -> None:
    free = shutil.disk_usage(where).free / 2**30
    if free < gib:
        raise LabError(
            f"{purpose}: needs {gib:.0f} GiB in {where}, {free:.1f} GiB are free",
            cause="no disk space",
        )


def run(
    what: str,
    argv: Sequence[str | Path],
    *,
    log: Path,
    limit: float,
    env: Mapping[str, str] | None = None,
    cause: str = "",
) -> None:
    """Run a command with its output in `log`, and fail with a reason."""
    command = [str(word) for word in argv]
    begun = time.monotonic()
    with log.open("ab") as sink:
        sink.write(f"\n+ {what}: {' '.join(command)}\n".encode())
        sink.flush()
        try:
            # A session of its own, so that an early end can take along what the command has started.
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )
        except OSError as error:
            raise LabError(f"{what}: {error}", cause="missing program", log=log) from None
        try:
            status = child.wait(limit)
        except subprocess.TimeoutExpired:
            _end(child)
            raise LabError(
                f"{what}: not finished after {limit:.0f} s",
                cause=cause or "a stalled download or a machine under heavy load",
                log=log,
            ) from None
        except BaseException:
            _end(child)
            raise
    if status != 0:
        raise LabError(
            f"{what}: {command[0]} ended with status {status}",
            cause=_guess(log) or cause,
            log=log,
        )
    elapsed = time.monotonic() - begun
    if elapsed >= 1:
        say(f"{what}: done in {elapsed:.0f} s")


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a command and its children; first gently, since mmdebstrap undoes its mounts then."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(20)
            return


_SIGNS = (
    ("No space left on device", "no disk space"),
    ("Unable to locate package", "a package of the recipe is missing from the mirror"),
    ("has no installation candidate", "a package of the recipe is missing from the mirror"),
    ("Could not resolve", "no name resolution: is the Debian mirror reachable? (LAB_MIRROR)"),
    ("Could not connect", "the Debian mirror is not reachable (LAB_MIRROR)"),
    ("Failed to fetch", "the Debian mirror is not reachable (LAB_MIRROR)"),
    ("NO_PUBKEY", "debian-archive-keyring is too old for this suite"),
)


def _guess(log: Path) -> str:
    tail = log.read_bytes()[-20000:].decode(errors="replace")
    return next((cause for sign, cause in _SIGNS if sign in tail), "")

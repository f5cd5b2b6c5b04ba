# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a step of the toolchain: say what it does, keep its output in a log, explain its failure.

Standard library only: this runs before there is a virtual environment.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
LOGS = BUILD / "log"
COLLECTIONS = BUILD / "collections"

# First match wins, so the specific causes come before the general ones.
CAUSES: tuple[tuple[str, str], ...] = (
    (r"No space left on device", "the disk is full"),
    (
        r"Could not get lock|is held by process|Unable to acquire the dpkg",
        "another package manager is running",
    ),
    (
        r"Unable to locate package|has no installation candidate",
        "the package is missing from the configured Debian suites (is 'main' of bookworm or trixie enabled?)",
    ),
    (r"dpkg was interrupted|Unmet dependencies", "the package database is broken: run 'apt-get -f install'"),
    (
        r"name resolution|Could not resolve|Network is unreachable|Connection (refused|timed out)|Failed to fetch",
        "the package server cannot be reached (network, proxy)",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "the package server's certificate is not trusted (set PIP_CERT or update ca-certificates)",
    ),
    (r"No matching distribution found", "the package index does not have a version that the lock file names"),
    (r"Python\.h: No such file", "the headers of this Python are missing (Debian: python3-dev)"),
    (r"ensurepip is not available|No module named '?ensurepip", "the package python3-venv is missing"),
    (r"Address already in use|Could not set up host forwarding", "a port is taken"),
    (r"Permission denied|are you root", "missing rights: run it as root or make sudo available"),
    (r"Killed|MemoryError|Cannot allocate memory", "not enough memory"),
    (r"no hosts matched|Could not match supplied host pattern", "the inventory has no host for a play"),
)


class StepError(Exception):
    """A step ended with an error; the message tells a person what to look at."""


def likely_cause(text: str) -> str:
    """Name the likely cause of a failure from its output, where it is one that we know."""
    return next((f"  likely cause: {cause}\n" for pattern, cause in CAUSES if re.search(pattern, text)), "")


def tail(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def say(text: str) -> None:
    print(text, flush=True)


def run(
    argv: Sequence[str | Path],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    seconds: float = 3600,
) -> None:
    """Run a command with its output appended to a log, with a time limit."""
    command = [str(word) for word in argv]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as sink:
        sink.write(f"$ {' '.join(command)}\n")
        sink.flush()
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                timeout=seconds,
                check=False,
            )
        except FileNotFoundError as exc:
            raise StepError(f"{command[0]} is not installed") from exc
        except subprocess.TimeoutExpired as exc:
            raise StepError(f"{command[0]} did not end within {seconds:.0f} s; log: {shown(log)}") from exc
    if done.returncode:
        end = tail(log)
        raise StepError(
            f"{Path(command[0]).name} failed with status {done.returncode}.\n"
            f"{likely_cause(end)}  log: {shown(log)}, which ends with\n{end}"
        )


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


class Step:
    """One visible step: `with Step("make .venv", usual="1 min") as log: …`."""

    def __init__(self, what: str, *, log: str, usual: str) -> None:
        self.what = what
        self.usual = usual
        self.log = LOGS / f"{log}.log"

    def __enter__(self) -> Path:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_text("", encoding="utf-8")
        say(f"==> {self.what} (usually {self.usual}; log: {shown(self.log)})")
        self.started = time.monotonic()
        return self.log

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        if kind is None:
            say(f"    done in {time.monotonic() - self.started:.0f} s")


def find_python(*versions: str) -> tuple[str, Path] | None:
    """Find an interpreter of one of these versions ("3.13"), on PATH or among pyenv's."""
    roots: list[Path] = []
    if shutil.which("pyenv"):
        found = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            roots.append(Path(found.stdout.strip()) / "versions")
    for version in versions:
        candidates = [Path(found) for found in [shutil.which(f"python{version}")] if found]
        for root in roots:
            candidates += sorted(root.glob(f"{version}.*/bin/python{version}"), reverse=True)
        for candidate in candidates:
            # pyenv's shims exist for versions that are not selected, and then only print an error.
            probe = subprocess.run(
                [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"],
                capture_output=True,
                text=True,
                check=False,
            )
            words = probe.stdout.split(maxsplit=1)
            if probe.returncode == 0 and words[:1] == [version]:
                return version, Path(words[1].strip())
    return None


def fail(exc: StepError) -> int:
    print(f"\nFAILED: {exc}", file=sys.stderr, flush=True)
    return 1

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs that prove something on a host: their steps, the error that names the one that failed, what lies there."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from lab.machine import Host
from lab.paths import HERE


class StepFailedError(Exception):
    """A step did not come out as it must."""


@contextmanager
def step(number: str, what: str, usual: str) -> Iterator[None]:
    """Say what begins and how long it usually takes; name the step when it fails."""
    print(f"\n=== {number}  {what} (usually {usual})", flush=True)
    begun = time.monotonic()
    try:
        yield
    except StepFailedError as error:
        raise StepFailedError(f"step {number}, {what}: {error}") from None
    print(f"=== {number}  done in {time.monotonic() - begun:.0f} s", flush=True)


def manifest(host: Host, *directories: str) -> dict[str, str]:
    """What lies on the host, or in ``directories`` of it; see ``manifest.py``."""
    script = (HERE / "manifest.py").read_text(encoding="utf-8")
    command = shlex.join(["python3", "-c", script, *directories])
    found: dict[str, str] = json.loads(host.ssh(command, limit=300))
    return found


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Paths that came, went or changed."""
    marks = {(True, False): "gone", (False, True): "new", (True, True): "changed"}
    return [
        f"{marks[path in before, path in after]}: {path}"
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One whole converge of a host, with every write to its disk from power-on."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab import machine
from lab.errors import LabError
from lab.machine import Host
from lab.power import boot, playbooks, state
from lab.power.state import Facts

TOPOLOGY = "power"
FLAVOUR = "debian12"
NAME = "power"


@dataclass(frozen=True)
class Recording:
    """What lies in ``directory``: ``marks`` say how long the log was when each task of the converge began."""

    directory: Path
    host: Host
    marks: tuple[tuple[int, str], ...]
    old: Facts
    new: Facts

    @property
    def writes(self) -> Path:
        return self.directory / "writes.log"

    @property
    def variables(self) -> Path:
        """What the firmware had stored when the converge began; no part of one changes that where GRUB boots."""
        return self.directory / "firmware.fd"


def record(directory: Path, stop: threading.Event) -> Recording:
    """Start a fresh host, converge it and keep what it has written."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    host = machine.start(NAME, TOPOLOGY, FLAVOUR, recorded=True)
    try:
        old = boot.facts(host, stop)
        host.ssh("sync")
        shutil.copy(host.directory / "firmware.fd", directory / "firmware.fd")
        marks = directory / "marks.jsonl"
        playbooks.converge(host, stop, marks)
        new = boot.facts(host, stop)
        _check(old, new)
        machine.cut(host)
        shutil.move(host.write_log, directory / "writes.log")
    finally:
        machine.cut(host)
        for left in (host.directory / "disk.qcow2", host.write_log):
            left.unlink(missing_ok=True)
    lines = marks.read_text(encoding="utf-8").splitlines()
    made = Recording(directory, host, tuple((size, name) for size, name in map(json.loads, lines)), old, new)
    _save(made)
    return made


def _check(old: Facts, new: Facts) -> None:
    # What was committed runs as the trial that it was until the next boot.
    for facts, names in ((old, (state.OLD,)), (new, (state.NEW, state.TRIAL))):
        verdict = state.judge(facts, old, new)
        if verdict.configuration not in names or verdict.faults:
            raise LabError(f"the recorded host is no measure for what is {names[0]}: {verdict}")


def _save(made: Recording) -> None:
    data = {**asdict(made), "directory": ""}
    (made.directory / "recording.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def load(directory: Path) -> Recording:
    """Give the recording that lies in a directory."""
    try:
        data = json.loads((directory / "recording.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LabError(f"there is no recording in {directory}") from None
    made = Recording(
        directory=directory,
        host=Host(**data["host"]),
        marks=tuple((size, name) for size, name in data["marks"]),
        old=_facts(data["old"]),
        new=_facts(data["new"]),
    )
    if not Path(made.host.image).exists():
        raise LabError(f"{made.host.image} is gone, on which {directory} was recorded", cause="record anew")
    return made


def _facts(data: dict[str, Any]) -> Facts:
    # JSON has no tuples.
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return Facts(**fields)

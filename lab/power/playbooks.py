# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's playbooks against one host, with their output in a file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lab.demo.steps import Playbooks
from lab.errors import LabError
from lab.machine import Host
from lab.paths import REPOSITORY

HERE = Path(__file__).resolve().parent
# On two busy cores, with a reboot and two builds of the initramfs inside.
_LIMIT = 1500.0


class StoppedError(Exception):
    """The run ends: what was going on was given up because of that, and means nothing."""


def converge(host: Host, stop: threading.Event, marks: Path | None = None) -> None:
    """``site.yml`` with its reboot; ``marks`` is where to write which task wrote what."""
    added = {}
    if marks is not None:
        added = {
            "LAB_WRITE_LOG": str(host.write_log),
            "LAB_LOG_MARKS": str(marks),
            "ANSIBLE_CALLBACKS_ENABLED": "log_marks",
        }
    _play(host, "site", {"boot_reboot": True}, stop, added)


def check_in_sync(host: Host, stop: threading.Event) -> None:
    """``plan.yml``, which has to find nothing to do."""
    _play(host, "plan", {"plan_fail_on_drift": True}, stop, {})


def _play(
    host: Host, playbook: str, variables: Mapping[str, object], stop: threading.Event, added: Mapping[str, str]
) -> None:
    inventory = Playbooks(host, HERE / "group_vars").write_inventory()
    log = host.directory / f"{playbook}.log"
    command = ["ansible-playbook", "-i", str(inventory), str(REPOSITORY / "playbooks" / f"{playbook}.yml")]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callbacks"),
        "ANSIBLE_NOCOLOR": "1",
        **added,
    }
    with log.open("ab") as sink:
        child = subprocess.Popen(
            [*command, "-e", json.dumps(variables)],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            # A session of its own, so that an early end can take along what it has started.
            start_new_session=True,
        )
    try:
        _wait(child, playbook, log, stop)
    finally:
        _end(child)
    if child.returncode != 0:
        raise LabError(f"{host.name}: {playbook}.yml ended with status {child.returncode}: {_reason(log)}", log=log)


def _wait(child: subprocess.Popen[bytes], playbook: str, log: Path, stop: threading.Event) -> None:
    begun = time.monotonic()
    while child.poll() is None:
        if stop.wait(0.2):
            raise StoppedError
        if time.monotonic() - begun > _LIMIT:
            raise LabError(f"{playbook}.yml: no end after {_LIMIT:.0f} s", log=log)


def _end(child: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(20)


def _reason(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    failed = [place for place, line in enumerate(lines) if line.startswith(("fatal:", "[ERROR]", "ERROR!"))]
    return " ".join(" ".join(lines[failed[-1] : failed[-1] + 12]).split())[:800] if failed else "see the log"

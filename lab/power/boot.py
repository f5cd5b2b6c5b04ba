# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for a host, and asking it what it has booted."""

from __future__ import annotations

import socket
import threading
import time

from lab import console
from lab.errors import LabError
from lab.machine import Host
from lab.power import state
from lab.power.playbooks import StoppedError
from lab.power.state import Facts

# Several times what a boot takes here; a trial that hangs comes back within its own deadline, which is longer.
DEADLINE = 300.0


def facts(host: Host, stop: threading.Event, deadline: float = DEADLINE) -> Facts:
    """Ask the host as soon as it lets anybody in; :class:`LabError` when it does not in time."""
    begun = time.monotonic()
    while not _greets(host):
        if stop.wait(0.5):
            raise StoppedError
        if not host.alive:
            raise LabError("its QEMU has ended", log=host.qemu_log)
        if time.monotonic() - begun > deadline:
            last = console.last_line(host.console_log) or "nothing"
            raise LabError(f"not up after {deadline:.0f} s; its console shows last: {last}", log=host.console_log)
    return state.parse(host.ssh(state.QUESTION, limit=240))


def _greets(host: Host) -> bool:
    # QEMU accepts the connection long before the host listens: only its greeting counts.
    try:
        with socket.create_connection(("127.0.0.1", host.ssh_port), 2) as connection:
            connection.settimeout(3)
            return connection.recv(4).startswith(b"SSH")
    except OSError:
        return False

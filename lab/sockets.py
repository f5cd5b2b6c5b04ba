# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections to the sockets that a host's QEMU leaves in its directory."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def connected(directory: Path, name: str, limit: float) -> Iterator[socket.socket]:
    """OSError when nobody listens there."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(limit)
            # A socket's path is limited to 107 bytes; a checkout may lie deeper than that.
            connection.connect(f"/proc/self/fd/{descriptor}/{name}")
            yield connection
    finally:
        os.close(descriptor)

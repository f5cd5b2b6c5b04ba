# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The logs that a diagnosis looks at, beside the kernel's."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._diagnosis.signatures import LIBVIRT, QEMU, XORG
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, first_existing

QEMU_LOGS = "/var/log/libvirt/qemu"
_XORG_LOGS = ("/var/log/Xorg.0.log",)
_JOURNALCTL = "/usr/bin/journalctl"
_LIBVIRT_UNITS = ("libvirtd.service", "virtqemud.service")

# Logs of domains grow for years; only what happened last is of interest.
_TAIL = 64 * 1024


class Log(t.NamedTuple):
    """``kind`` as the table of signatures has it, and the text."""

    kind: str
    text: str


def read_logs(root: Root, run: Runner) -> list[Log]:
    """The end of every domain's log, libvirt's own messages of this boot, and Xorg's log."""
    logs = [Log(QEMU, tail(root, f"{QEMU_LOGS}/{name}")) for name in root.listdir(QEMU_LOGS) if name.endswith(".log")]
    logs.append(Log(LIBVIRT, _libvirt_messages(root, run)))
    logs += [Log(XORG, tail(root, path)) for path in _XORG_LOGS]
    return [log for log in logs if log.text]


def read_previous_boot(root: Root, run: Runner) -> str:
    """The kernel's log of the boot before this one; empty where the journal does not go back to it."""
    if not root.is_live or first_existing(root, (_JOURNALCTL,)) is None:
        return ""
    result = run(["journalctl", "--dmesg", "--boot=-1", "--output=cat", "--no-pager"])
    return result.stdout if result.rc == 0 else ""


def _libvirt_messages(root: Root, run: Runner) -> str:
    if not root.is_live or first_existing(root, (_JOURNALCTL,)) is None:
        return ""
    units = [f"--unit={unit}" for unit in _LIBVIRT_UNITS]
    result = run(["journalctl", "--boot", "--output=cat", "--no-pager", "--lines=1000", *units])
    return result.stdout if result.rc == 0 else ""


def tail(root: Root, path: str) -> str:
    """The end of a log, empty where there is none."""
    data = root.read_bytes(path) or b""
    return data[-_TAIL:].decode("utf-8", "replace")

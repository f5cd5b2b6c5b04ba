# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The running processes. Any of them may end while it is read: what it had then simply is not there."""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

# QEMU's option: -name guest=NAME,… or -name NAME,…; a comma within the name is doubled.
_QEMU_NAME = re.compile(r"(?:guest=)?((?:[^,]|,,)*)")


def process_ids(root: Root) -> list[int]:
    return [int(name) for name in root.listdir("/proc") if name.isdigit()]


def process_name(root: Root, pid: int) -> str | None:
    return _word(root, f"/proc/{pid}/comm")


def parent_of(root: Root, pid: int) -> int | None:
    for line in (_text(root, f"/proc/{pid}/status") or "").splitlines():
        if line.startswith("PPid:"):
            return int(line.split()[1])
    return None


def environment_of(root: Root, pid: int) -> dict[str, str]:
    """What the process was started with; empty where we may not see it."""
    words = (_text(root, f"/proc/{pid}/environ") or "").split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)


def command_line_of(root: Root, pid: int) -> list[str]:
    return (_text(root, f"/proc/{pid}/cmdline") or "").rstrip("\0").split("\0")


def describe_process(root: Root, pid: int) -> str:
    """For a message: its name and number, and the domain that it runs."""
    name = process_name(root, pid) or "a process"
    words = command_line_of(root, pid)
    named = words[words.index("-name") + 1 :][:1] if "-name" in words else []
    match = _QEMU_NAME.match(named[0]) if named else None
    if match is None:
        return f"{name} (process {pid})"
    domain = match.group(1).replace(",,", ",")
    return f"the domain '{domain}' ({name}, process {pid})"


def open_files(root: Root, pid: int) -> t.Iterator[str]:
    """What the process's file descriptors lead to: paths, or the kernel's words such as ``socket:[4711]``."""
    directory = root.path(f"/proc/{pid}/fd")
    try:
        names = os.listdir(directory)
    except OSError:
        return
    targets = (_link(os.path.join(directory, name)) for name in names)
    yield from (target for target in targets if target is not None)


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _text(root: Root, path: str) -> str | None:
    try:
        return root.read_text(path)
    except OSError:
        # ESRCH: the process has ended since its file was opened.
        return None


def _word(root: Root, path: str) -> str | None:
    return (_text(root, path) or "").strip() or None

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""GRUB's environment block: what is chosen for one boot, and whether GRUB can clear that choice again.

GRUB writes the block without a file system driver, over the blocks that it has found the file in
(grub-core/commands/loadenv.c). It cannot where the file does not lie on plain blocks of one disk: then the choice for
one boot would hold for every boot.
"""

from __future__ import annotations

import os
import re
import shutil

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_menu import parse_environment
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, first_existing, remove
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.mounts import mount_of, read_mounts

NEXT_ENTRY = "next_entry"
# Fedora's, of a boot that a user's session or greenboot has called good.
BOOT_SUCCESS = "boot_success"

_EDITORS = ("/usr/bin/grub-editenv", "/usr/bin/grub2-editenv")
_PROBES = ("/usr/sbin/grub-probe", "/usr/sbin/grub2-probe", "/usr/bin/grub-probe")
_FILE_SYSTEMS = frozenset({"ext2", "ext3", "ext4", "xfs", "vfat", "msdos"})
_LASTS = "a choice for one boot would hold for every boot, and a trial would be no trial"
# In a configuration of grub-mkconfig: the block is read, the choice taken and cleared.
_HANDLED = (re.compile(r"(?m)^\s*load_env\b"), re.compile(r"(?m)^\s*save_env\b.*\bnext_entry\b"))
# Where Fedora takes the mark away from every boot before it starts (10_reset_boot_success).
_TAKEN_AWAY = re.compile(rf"(?m)^\s*save_env\b.*\b{BOOT_SUCCESS}\b")


class Environment:
    """The block at ``path`` (as the host sees it) beside a configuration with ``text``."""

    def __init__(self, root: Root, path: str, text: str) -> None:
        self._root = root
        self._path = path
        self._text = text

    def next_entry(self) -> str | None:
        return self._read().get(NEXT_ENTRY) or None

    def _read(self) -> dict[str, str]:
        return parse_environment(self._root.read_text(self._path) or "")

    def obstacle(self, run: Runner) -> str | None:
        """Why GRUB would not take the choice back, ``None`` where it does."""
        if not all(pattern.search(self._text) for pattern in _HANDLED):
            return f"the configuration of GRUB does not take {NEXT_ENTRY} from its environment block and clear it"
        if not self._read() and not self._root.exists(self._path):
            return f"there is no {self._path}: make one with 'grub-editenv {self._path} create'"
        if self._read().get("boot_counter"):
            return (
                f"{self._path} has boot_counter: greenboot counts boots at this moment and may choose another entry. "
                "Wait until it has called this boot good"
            )
        if first_existing(self._root, _EDITORS) is None:
            return f"{_EDITORS[0]} is not installed"
        return self._on_unsuitable_disk() or self._seen_by_grub(run)

    def _on_unsuitable_disk(self) -> str | None:
        mount = mount_of(
            self._path if not self._root.is_live else os.path.realpath(self._path), read_mounts(self._root)
        )
        if mount is None:
            return f"it is unknown which file system {self._path} lies on"
        if mount.kind not in _FILE_SYSTEMS:
            return f"{self._path} lies on {mount.kind}, where GRUB cannot write: {_LASTS}"
        if "ro" in mount.options:
            return f"the file system at {mount.point} is mounted read-only"
        device = f"/sys/dev/block/{mount.device}"
        for sign, kind in (("md", "an MD RAID array"), ("dm", "a device-mapper volume (LVM, encryption, multipath)")):
            if any(self._root.exists(f"{device}/{place}{sign}") for place in ("", "../")):
                return f"{self._path} lies on {kind}, where GRUB cannot write: {_LASTS}"
        return None

    def _seen_by_grub(self, run: Runner) -> str | None:
        probe = first_existing(self._root, _PROBES)
        if probe is None:
            return None
        directory = os.path.dirname(self._path)
        argv = [probe, "--target=abstraction", directory]
        layers = run_checked(run, argv, "Asking GRUB what its directory lies on").stdout.split()
        return f"{directory} lies on {' '.join(layers)}, where GRUB cannot write: {_LASTS}" if layers else None

    def called_good(self) -> bool:
        """Whether the last boot is marked as a good one, in a menu that shows itself, and that greenboot falls back
        in, after a boot without that mark."""
        return self._read().get(BOOT_SUCCESS) == "1" and _TAKEN_AWAY.search(self._text) is not None

    def choose(self, run: Runner, entry: str) -> None:
        """Set ``entry`` for the next boot."""
        self._change(run, entry, ["set", f"{NEXT_ENTRY}={entry}"])

    def clear(self, run: Runner) -> None:
        """Choose nothing for the next boot."""
        if NEXT_ENTRY in self._read():
            self._change(run, None, ["unset", NEXT_ENTRY])

    def _change(self, run: Runner, wanted: str | None, command: list[str]) -> None:
        """``grub-editenv`` empties the file before it writes: it gets a copy, and its result is written over the very
        blocks of the file, as GRUB does it."""
        tool = first_existing(self._root, _EDITORS) or _EDITORS[0]
        real = os.path.realpath(self._root.path(self._path))
        work = f"{real}.virtfleet-passthrough"
        try:
            shutil.copyfile(real, work)
            run_checked(run, [tool, work, *command], "Changing GRUB's environment block")
            with open(work, "rb") as stream:
                data = stream.read()
        finally:
            remove(work)
        found = parse_environment(data.decode("utf-8", "replace"))
        others = {name: value for name, value in self._read().items() if name != NEXT_ENTRY}
        expected = others if wanted is None else {**others, NEXT_ENTRY: wanted}
        if found != expected or len(data) != os.path.getsize(real):
            raise ToolError(f"{tool} wrote another environment block than expected: {self._path} stays as it was")
        _overwrite(real, data)


def _overwrite(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(descriptor, data, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

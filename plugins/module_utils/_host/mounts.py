# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Mounts and swap areas, as the kernel lists them for the process that reads.

Only the reader's own mount namespace: what a container has mounted for itself alone is out of sight.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

# Without these the machine does not come up again; no option releases them.
BOOT_MOUNTS = frozenset({"/", "/usr", "/boot", "/boot/efi", "/efi", "/boot/firmware"})

OVERLAY = "overlay"

# Where an overlay has its layers (Documentation/filesystems/overlayfs.rst); with "+" through the newer system calls.
_LAYER_OPTIONS = frozenset({"lowerdir", "lowerdir+", "datadir+", "upperdir"})
# A colon within a directory's name is escaped by a backslash; two of them begin the layers that hold data alone.
_LAYER_SEPARATOR = re.compile(r"(?<!\\):+")

_OCTAL_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclasses.dataclass(frozen=True)
class Mount:
    """A line of ``/proc/self/mountinfo`` (proc_pid_mountinfo(5)): ``device`` is ``major:minor``, ``kind`` the file
    system's type, ``options`` those of the file system itself."""

    device: str
    point: str
    source: str
    kind: str
    options: tuple[str, ...] = ()

    @property
    def needed_to_start(self) -> bool:
        return self.point in BOOT_MOUNTS

    def option(self, name: str) -> str | None:
        """The value of ``name=value`` among the file system's options."""
        return next((word[len(name) + 1 :] for word in self.options if word.startswith(f"{name}=")), None)

    @property
    def is_file(self) -> bool:
        """Whether it is the content of a file (Documentation/admin-guide/devices.txt, loopback devices)."""
        return self.device.startswith("7:")

    @property
    def layers(self) -> list[str]:
        """The directories that an overlay is made of, by the names that they had when it was mounted."""
        options = (word.partition("=") for word in self.options)
        values = (_unescape(value) for name, _equals, value in options if name in _LAYER_OPTIONS)
        return [part.replace("\\:", ":") for value in values for part in _LAYER_SEPARATOR.split(value) if part]


def mount_of(path: str, mounts: t.Iterable[Mount]) -> Mount | None:
    """The mount that ``path`` lies in: the last one on the longest part of it."""
    holding = [mount for mount in mounts if f"{path}/".startswith(f"{mount.point.rstrip('/')}/")]
    longest = max((len(mount.point) for mount in holding), default=0)
    return next((mount for mount in reversed(holding) if len(mount.point) == longest), None)


def read_mounts(root: Root) -> list[Mount]:
    mounts = []
    # The kernel escapes the blanks of ASCII alone: str.split() would part a name at any blank of Unicode.
    for line in (root.read_text("/proc/self/mountinfo") or "").split("\n"):
        before, _separator, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if len(fields) >= 5 and len(rest) >= 2:
            options = tuple(rest[2].split(",")) if len(rest) > 2 else ()
            mounts.append(Mount(fields[2], _unescape(fields[4]), _unescape(rest[1]), rest[0], options))
    return mounts


def read_swap_areas(root: Root) -> list[str]:
    """The block devices in use as swap; a swap file is part of a mount, which is judged by itself."""
    lines = (root.read_text("/proc/swaps") or "").splitlines()[1:]
    return [_unescape(line.split()[0]) for line in lines if line.startswith("/dev/")]


def _unescape(text: str) -> str:
    return _OCTAL_ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), text)

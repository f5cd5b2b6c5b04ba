# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""A directory of sysfs attributes (a PCI function, an IOMMU group), read with few system calls and without failing.

Everything is opened relative to the directory's descriptor. So a path of ten components is walked once and not
for each attribute, and all answers are about one device also if another appears at its address meanwhile.
Attributes that a device may lack are tried: a failing ``openat`` is cheaper than a listing of the sixty
names that sysfs has there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import typing as t

# A sysfs attribute is at most one page, given in one read (fs/sysfs/file.c).
_PAGE = 4096

_WINDOW = 64

# How sysfs says that there is no such attribute, or no value in it, for this device.
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.EOPNOTSUPP})

_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


class WindowedFile:
    """A binary attribute by offset, read when first asked for in windows of 64 bytes; nothing where it ends.

    Made for ``config``: each of its double words is an access to the device, and the few capabilities that matter
    lie in a tenth of its 4096 bytes.
    """

    def __init__(self, descriptor: int | None, note: t.Callable[[OSError], None]) -> None:
        self._descriptor = descriptor
        self._note = note
        self._windows: dict[int, bytes] = {}

    def __getitem__(self, part: slice, /) -> bytes:
        start, stop = part.start, part.stop
        first = start - start % _WINDOW
        content = self._window(first)
        for window in range(first + _WINDOW, stop, _WINDOW):
            if len(content) < window - first:
                break
            content += self._window(window)
        return content[start - first : stop - first]

    def _window(self, offset: int) -> bytes:
        if offset not in self._windows:
            content = b""
            if self._descriptor is not None:
                try:
                    content = os.pread(self._descriptor, _WINDOW, offset)
                except OSError as exc:
                    self._note(exc)
                    self._descriptor = None
            self._windows[offset] = content
        return self._windows[offset]


class AttributeDirectory:
    """``gaps`` collects what is there and could not be read, each with the system's reason."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.gaps: list[str] = []

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: str, parent: int | None = None) -> t.Iterator[AttributeDirectory]:
        """``path`` is a real one or relative to the descriptor ``parent``. Raises ``OSError`` where it is gone."""
        descriptor = os.open(path, _OPEN | os.O_DIRECTORY, dir_fd=parent)
        try:
            yield cls(descriptor)
        finally:
            os.close(descriptor)

    def _open(self, name: str, flags: int = 0) -> int | None:
        try:
            return os.open(name, _OPEN | flags, dir_fd=self._descriptor)
        except OSError as exc:
            self._note(name, exc)
            return None

    def _note(self, name: str, exc: OSError) -> None:
        if exc.errno not in _ABSENT:
            self.gaps.append(f"{name} cannot be read: {exc.strerror}")

    def text(self, name: str) -> str | None:
        descriptor = self._open(name)
        if descriptor is None:
            return None
        try:
            return os.read(descriptor, _PAGE).decode("utf-8", "replace")
        except OSError as exc:
            self._note(name, exc)
            return None
        finally:
            os.close(descriptor)

    def word(self, name: str) -> str | None:
        """A one-line attribute without its line end; ``None`` where it is missing or empty."""
        text = self.text(name)
        return text.strip() or None if text is not None else None

    def number(self, name: str) -> int | None:
        word = self.word(name)
        return None if word is None else self._number(name, word)

    def _number(self, name: str, word: str) -> int | None:
        try:
            return int(word)
        except ValueError:
            self.gaps.append(f"{name} is '{word[:40]}' and no number")
            return None

    def link(self, name: str) -> str | None:
        """The last component of what a symbolic link points to."""
        try:
            return os.readlink(name, dir_fd=self._descriptor).rpartition("/")[2]
        except OSError as exc:
            self._note(name, exc)
            return None

    def link_number(self, name: str) -> int | None:
        word = self.link(name)
        return None if word is None else self._number(name, word)

    def exists(self, name: str) -> bool:
        return os.access(name, os.F_OK, dir_fd=self._descriptor)

    def names(self, name: str) -> list[str]:
        """What a directory below holds, sorted; empty where it is missing."""
        descriptor = self._open(name, os.O_DIRECTORY)
        if descriptor is None:
            return []
        try:
            return sorted(os.listdir(descriptor))
        except OSError as exc:
            self._note(name, exc)
            return []
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def binary(self, name: str) -> t.Iterator[WindowedFile]:
        """An attribute that is read in parts."""
        descriptor = self._open(name)
        try:
            yield WindowedFile(descriptor, lambda exc: self._note(name, exc))
        finally:
            if descriptor is not None:
                os.close(descriptor)

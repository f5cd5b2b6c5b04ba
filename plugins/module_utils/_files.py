# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Files below a root: reading what may be missing, and writing so that a power cut leaves old or new.

``root`` is ``/`` on a live host and a directory when a captured tree is analysed; ``path`` is always
written as the host sees it (``/etc/…``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import shutil
import stat
import tempfile
import typing as t

# linux/fs.h: _IOWR('X', 119, int) and _IOWR('X', 120, int)
FIFREEZE = 0xC0045877
FITHAW = 0xC0045878

SELINUX_XATTR = "security.selinux"

# Where file systems of their own lie that may be frozen for a moment: nothing that runs writes to them.
_BOOT_MOUNT_POINTS = ("/boot", "/boot/efi", "/efi")

# What is as good as not there. "EINVAL", "EIO", "ENODEV" and "ENXIO" are how sysfs says "no value here".
_UNREADABLE = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EACCES,
        errno.EINVAL,
        errno.EIO,
        errno.ENODEV,
        errno.ENXIO,
    }
)


@dataclasses.dataclass(frozen=True)
class Root:
    """The directory that stands for ``/``."""

    base: str = "/"

    @property
    def is_live(self) -> bool:
        return os.path.realpath(self.base) == "/"

    def path(self, path: str) -> str:
        """Where ``path`` of the host lies for us."""
        return os.path.join(self.base, path.lstrip("/"))

    def exists(self, path: str) -> bool:
        return os.path.exists(self.path(path))

    def read_bytes(self, path: str) -> bytes | None:
        """The file's content, or ``None`` where there is nothing to read."""
        try:
            with open(self.path(path), "rb") as stream:
                return stream.read()
        except OSError as exc:
            if exc.errno in _UNREADABLE:
                return None
            raise

    def read_text(self, path: str) -> str | None:
        data = self.read_bytes(path)
        return None if data is None else data.decode("utf-8", "replace")

    def read_word(self, path: str) -> str | None:
        """A one-line attribute without its line end; ``None`` where it is missing or empty."""
        text = self.read_text(path)
        return (text.strip() or None) if text is not None else None

    def listdir(self, path: str) -> list[str]:
        """Sorted names, empty where there is no directory to read."""
        try:
            return sorted(os.listdir(self.path(path)))
        except OSError as exc:
            if exc.errno in _UNREADABLE:
                return []
            raise

    def link_name(self, path: str) -> str | None:
        """The last component of what a symbolic link points to, or ``None``."""
        try:
            return os.path.basename(os.readlink(self.path(path)))
        except OSError:
            return None


@dataclasses.dataclass(frozen=True)
class FileMeta:
    """Owner and permission bits (``0o644``) of a file."""

    mode: int = 0o644
    uid: int = 0
    gid: int = 0


def file_meta(path: str) -> FileMeta | None:
    """Owner and mode of ``path`` (a real path), or ``None`` where there is no file."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return FileMeta(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


def modified(path: str) -> int | None:
    """When ``path`` (a real path) was last written, in nanoseconds, or ``None`` where there is no file."""
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return None


def _selinux_label(path: str) -> bytes | None:
    try:
        return os.getxattr(path, SELINUX_XATTR)
    except OSError:
        return None


def fsync_directory(path: str) -> None:
    """Make names in ``path`` (a real path) durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: str, data: bytes, meta: FileMeta | None = None) -> None:
    """Replace ``path`` (a real path): temporary file beside it, fsync, rename, fsync of the directory.

    Owner, mode and SELinux label of a file that is there are kept unless ``meta`` names others.
    """
    _write_beside(path, data, meta, move_into_place)


def write_boot_file(path: str, data: bytes, meta: FileMeta | None = None) -> None:
    """:func:`write_atomic` for a file that a boot loader reads (a real path)."""
    _write_beside(path, data, meta, switch_boot_file)


def _write_beside(
    path: str, data: bytes, meta: FileMeta | None, move: t.Callable[[str, str, FileMeta | None], None]
) -> None:
    directory = os.path.dirname(path)
    os.makedirs(directory, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        move(temporary, path, meta)
    except BaseException as exc:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(exc, OSError) and exc.filename is None:
            # A full disk shows in a write, which knows a descriptor and no name.
            raise OSError(exc.errno, exc.strerror, path) from exc
        raise


def move_into_place(temporary: str, path: str, meta: FileMeta | None = None) -> None:
    """Give a finished ``temporary`` the owner, mode and label of ``path``, sync it and rename it over.

    Both are real paths in one directory; for files that a distribution's tool generated for us.
    """
    _finish(temporary, path, meta)
    os.rename(temporary, path)
    fsync_directory(os.path.dirname(path))


def switch_boot_file(temporary: str, path: str, meta: FileMeta | None = None) -> None:
    """:func:`move_into_place` for a file that a boot loader reads, which takes blocks as they stand on the disk.

    After an fsync a rename is safe in the journal alone. Its blocks come to their places later, one by one and in any
    order: a loader that replays no journal may meet the new name of a file whose blocks are not there yet, or the old
    name of one whose blocks are gone. So the new file is brought home before it gets the name, and the old one keeps
    its blocks, as an open file does, until the name is at home as well.
    """
    directory = os.path.dirname(path)
    _finish(temporary, path, meta)
    _bring_home(directory)
    with _kept_open(path):
        os.rename(temporary, path)
        fsync_directory(directory)
        _bring_home(directory)
        # What "sync" has written last may still be in the disk's cache.
        fsync_directory(directory)


def _bring_home(directory: str) -> None:
    """``sync`` writes the metadata of ext4 to its places, and of XFS to the log only. A freeze does it for both."""
    point = os.path.realpath(directory)
    while not os.path.ismount(point):
        point = os.path.dirname(point)
    if point in _BOOT_MOUNT_POINTS:
        sync_boot_filesystem(point)
    else:
        os.sync()


@contextlib.contextmanager
def _kept_open(path: str) -> t.Iterator[None]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    try:
        yield
    finally:
        os.close(descriptor)


def _finish(temporary: str, path: str, meta: FileMeta | None) -> None:
    meta = meta or file_meta(path) or FileMeta()
    os.chmod(temporary, meta.mode)
    if os.geteuid() == 0:
        os.chown(temporary, meta.uid, meta.gid)
        label = _selinux_label(path)
        # A FAT file system has one label for all and cannot store others.
        if label is not None and label != _selinux_label(temporary):
            os.setxattr(temporary, SELINUX_XATTR, label)
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_private(source: str, target: str) -> None:
    """The content of ``source`` in a file that nobody but root reads (real paths): an initramfs may hold keys, and
    what is not finished yet has no mode of its own. A file that is there is replaced."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(target)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    shutil.copyfile(source, target)


def remove(path: str) -> None:
    """Remove ``path`` (a real path) durably; a missing file is fine."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
        fsync_directory(os.path.dirname(path))


def sync_boot_filesystem(path: str) -> None:
    """Bring what lies below ``path`` (a real path) to where a boot loader without journal replay finds it.

    GRUB reads file systems as they stand on the disk and replays no journal. ``/boot`` on a file system
    of its own is frozen and thawed, which empties the journal; on the root file system a freeze would
    stop the machine, so there only ``sync`` remains.
    """
    os.sync()
    if not os.path.ismount(path) or os.path.realpath(path) == "/":
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(descriptor, FIFREEZE, 0)
    except OSError as exc:
        if exc.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EPERM, errno.EBUSY):
            raise
    else:
        fcntl.ioctl(descriptor, FITHAW, 0)
    finally:
        os.close(descriptor)


def first_existing(root: Root, paths: t.Iterable[str]) -> str | None:
    """The first of ``paths`` that is there, as the host sees it."""
    return next((path for path in paths if root.exists(path)), None)

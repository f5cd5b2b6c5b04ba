# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A power cut while a boot file is replaced: a loader that replays no journal finds the old one or the new one.

A real ext4 lies on a disk whose writes QEMU records (``blklogwrites``, exported through FUSE). Afterwards the disk is
put together again as it was at every moment, with and without what a disk may lose from its cache, and read without a
look at the journal.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import (
    sync_boot_filesystem,
    write_atomic,
    write_boot_file,
)
from lab.power import menu, write_log
from lab.power.disk import Disk
from lab.power.draw import cut

BEGIN = 1 << 20
SIZE = 24 << 20
NAMES = ("/boot/grub.cfg", "/boot/initrd.img")
LENGTHS = (5000, 300_000)
ROUNDS = 4
CUTS_AT_EACH = 6

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/fuse").exists() or not Path("/dev/loop-control").exists(),
    reason="needs root, /dev/fuse and loop devices",
)


def content(name: str, generation: int) -> bytes:
    return bytes([ord("a") + generation]) * LENGTHS[NAMES.index(name)]


def by_rename(path: str, data: bytes) -> None:
    """What is safe for everybody who replays the journal."""
    write_atomic(path, data)
    sync_boot_filesystem("/boot")


@contextmanager
def recorded(directory: Path) -> Iterator[tuple[Path, Path, Path]]:
    """Give a mounted file system with boot files in it, the disk as it is now, and the log of all that follows."""
    disk, first, log, export = (directory / name for name in ("disk.raw", "first.raw", "writes.log", "export"))
    tree, mounted = directory / "tree", directory / "mounted"
    (tree / "boot").mkdir(parents=True)
    mounted.mkdir()
    for name in NAMES:
        (tree / name.lstrip("/")).write_bytes(content(name, 0))
    with disk.open("wb") as stream:
        # Where the reader looks for the beginning of the second partition.
        stream.seek(2 * 512 + 128 + 32)
        stream.write(struct.pack("<Q", BEGIN // 512))
        stream.truncate(SIZE)
    make = ["mke2fs", "-q", "-F", "-t", "ext4", "-E", f"offset={BEGIN},lazy_itable_init=0", "-d", str(tree), str(disk)]
    subprocess.run([*make, f"{(SIZE - BEGIN) >> 10}k"], check=True, timeout=60)
    first.write_bytes(disk.read_bytes())
    log.write_bytes(b"")
    export.write_bytes(b"")
    command = [
        "qemu-storage-daemon",
        *("--blockdev", f"driver=file,node-name=disk,filename={disk}"),
        *("--blockdev", f"driver=file,node-name=log,filename={log}"),
        *("--blockdev", "driver=blklogwrites,node-name=recorded,file=disk,log=log"),
        *("--export", f"type=fuse,id=export,node-name=recorded,mountpoint={export},writable=on,allow-other=off"),
    ]
    with subprocess.Popen(command) as daemon:
        try:
            begun = time.monotonic()
            while export.stat().st_size != SIZE:
                assert daemon.poll() is None, "qemu-storage-daemon has ended"
                assert time.monotonic() - begun < 30, "nothing was exported within 30 s"
                time.sleep(0.1)
            mount = ["mount", "-o", f"loop,offset={BEGIN}", str(export), str(mounted)]
            subprocess.run(mount, check=True, timeout=60)
            try:
                yield mounted, first, log
            finally:
                subprocess.run(["umount", str(mounted)], check=True, timeout=60)
        finally:
            daemon.terminate()
            daemon.wait(30)


def broken(directory: Path, replace: Callable[[str, bytes], None]) -> tuple[int, int]:
    """Replace the boot files several times; how many of the power cuts leave one that is neither old nor new."""
    with recorded(directory) as (mounted, first, log):
        for generation in range(1, ROUNDS + 1):
            for name in NAMES:
                replace(f"{mounted}{name}", content(name, generation))
            # Somebody else takes the blocks that have become free.
            (mounted / f"other-{generation}").write_bytes(b"?" * 400_000)
    whole = {name: {content(name, generation) for generation in range(ROUNDS + 1)} for name in NAMES}
    chance = random.Random(1)
    bad = count = 0
    with write_log.opened(log) as found:
        disk = Disk(first, found)
        points = [cut(found.entries, at, chance) for at in range(len(found.entries)) for _again in range(CUTS_AT_EACH)]
        for point in sorted(points, key=lambda point: point.settled):
            with disk.at(point) as image:
                files = menu.read(image, NAMES)
            count += 1
            bad += any(files[name] not in whole[name] for name in NAMES)
    return bad, count


def test_a_boot_file_is_old_or_new_at_every_moment(tmp_path: Path) -> None:
    bad, count = broken(tmp_path, write_boot_file)
    print(f"{bad} of {count} broken")
    assert count > 100
    assert bad == 0, f"after {bad} of {count} power cuts a boot file is neither the old one nor a new one"


def test_a_rename_alone_is_not_enough(tmp_path: Path) -> None:
    """Otherwise the test above would see nothing."""
    bad, count = broken(tmp_path, by_rename)
    print(f"{bad} of {count} broken")
    assert bad > 0

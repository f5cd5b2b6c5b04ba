# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A golden image with an encrypted root file system, made from one as ``image.py`` leaves it.

Everything is done to plain files: neither a loop device nor the device mapper is needed. The tree says what it expects:
``/etc/crypttab`` the UUID of the encrypted partition, ``/lab-boot.img`` the file system for ``/boot``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.errors import LabError
from lab.paths import image_cache
from lab.progress import require_space, require_tools, run, say
from lab.recipe import Recipe

# What unlocks it, typed on the console.
KEY_TEXT = "lab unlocks"
BOOT_IMAGE = "/lab-boot.img"
_TOOLS = {
    "cryptsetup": "cryptsetup-bin",
    "debugfs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "sgdisk": "gdisk",
    "qemu-img": "qemu-utils",
}
_ALIGN = 2**20
_SECTOR = 512
# Header and key slots; cryptsetup needs as much again while it moves the data behind them.
_HEADER = 16 * 2**20


def encrypt(recipe: Recipe, plain: Path, target: Path) -> None:
    """Write ``target`` from the image ``plain``; whoever calls holds the flavour's lock."""
    what = f"encrypting image {recipe.flavour}"
    require_tools(what, _TOOLS)
    require_space(what, image_cache(), 3 * recipe.disk_bytes / 2**30)
    log = image_cache() / f"{recipe.flavour}.log"
    say(f"{what}: usually 30 s, once per recipe; log: {log}")
    # As image.py names its own: a killed run is swept away by the next.
    work = Path(tempfile.mkdtemp(prefix=f"build-{recipe.flavour}.", dir=image_cache()))
    try:
        disk, root, boot = (work / name for name in ("disk.raw", "root.img", "boot.img"))
        run(f"{what}: unpacking", ["qemu-img", "convert", "-q", "-O", "raw", plain, disk], log=log, limit=300)
        esp, plain_root = _partitions(disk)
        _cut_out(disk, plain_root, root)
        for command in (f"dump {BOOT_IMAGE} {boot}", f"rm {BOOT_IMAGE}"):
            run(f"{what}: /boot", ["debugfs", "-w", "-R", command, root], log=log, limit=60)
        if not boot.exists() or boot.stat().st_size == 0:
            raise LabError(f"{what}: the tree has no {BOOT_IMAGE}", cause="its finish scripts left none", log=log)
        run(f"{what}: look at the file system", ["e2fsck", "-f", "-n", root], log=log, limit=300)
        _encrypt(what, root, _expected_uuid(what, root), work, log)
        finished = work / "finished.raw"
        _assemble(what, recipe, (_Part(disk, esp), _Part(boot), _Part(root)), finished, log)
        packed = work / "disk.qcow2"
        argv = ["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", str(finished), str(packed)]
        run(f"{what}: packing", argv, log=log, limit=300, cause="no disk space")
        packed.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(f"{what}: {target}")


class _Part:
    """A stretch of a file: what one partition is to hold."""

    def __init__(self, file: Path, stretch: tuple[int, int] | None = None) -> None:
        self.file = file
        self.begin, self.length = stretch or (0, file.stat().st_size)


def _partitions(disk: Path) -> list[tuple[int, int]]:
    """Begin and length in bytes."""
    argv = ["sgdisk", "--print", str(disk)]
    table = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
    found = re.findall(r"^ +\d+ +(\d+) +(\d+) ", table, re.MULTILINE)
    return [(int(first) * _SECTOR, (int(last) - int(first) + 1) * _SECTOR) for first, last in found]


def _cut_out(disk: Path, stretch: tuple[int, int], target: Path) -> None:
    with target.open("wb") as handle:
        handle.truncate(stretch[1])
    _copy(_Part(disk, stretch), target, 0)


def _copy(part: _Part, target: Path, offset: int) -> None:
    # dd leaves out what is empty; most of a disk is.
    argv = [
        "dd",
        *(f"if={part.file}", f"of={target}"),
        *("bs=1M", "conv=notrunc,sparse", "iflag=skip_bytes,count_bytes", "oflag=seek_bytes", "status=none"),
        *(f"skip={part.begin}", f"count={part.length}", f"seek={offset}"),
    ]
    subprocess.run(argv, check=True, timeout=300)


def _expected_uuid(what: str, root: Path) -> str:
    argv = ["debugfs", "-R", "cat /etc/crypttab", str(root)]
    table = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
    found = re.search(r"^\S+ UUID=(\S+) none ", table, re.MULTILINE)
    if found is None:
        raise LabError(f"{what}: /etc/crypttab names no partition by its UUID: {table!r}")
    return found[1]


def _encrypt(what: str, root: Path, uuid: str, work: Path, log: Path) -> None:
    key = work / "key"
    key.write_text(KEY_TEXT, encoding="ascii")
    with root.open("r+b") as handle:
        handle.truncate(root.stat().st_size + _HEADER)
    argv = [
        *("cryptsetup", "reencrypt", "--encrypt", "--batch-mode", "--type", "luks2", "--uuid", uuid),
        *("--reduce-device-size", str(_HEADER), "--resilience", "none"),
        # Emulated hosts open it: a short key, and as few rounds as the format allows.
        *("--cipher", "aes-xts-plain64", "--key-size", "256"),
        *("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--hash", "sha256"),
        *("--key-file", str(key), str(root)),
    ]
    run(f"{what}: root file system", argv, log=log, limit=300)


def _assemble(what: str, recipe: Recipe, parts: tuple[_Part, ...], disk: Path, log: Path) -> None:
    begin = _ALIGN
    argv = ["sgdisk", f"--disk-guid={recipe.identifier('disk')}"]
    places = []
    for number, (part, kind) in enumerate(zip(parts, ("ef00", "8300", "8309"), strict=True), start=1):
        end = begin + -(-part.length // _ALIGN) * _ALIGN
        argv += [f"--new={number}:{begin // _SECTOR}:{end // _SECTOR - 1}", f"--typecode={number}:{kind}"]
        places.append((part, begin))
        begin = end
    with disk.open("wb") as handle:
        # The last MiB holds the backup partition table.
        handle.truncate(begin + _ALIGN)
    run(f"{what}: partitions", [*argv, str(disk)], log=log, limit=60)
    for part, place in places:
        _copy(part, disk, place)

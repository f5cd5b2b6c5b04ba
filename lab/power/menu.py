# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What GRUB finds on a disk: the file system as its blocks stand there, since GRUB replays no journal.

``debugfs`` reads it in the same way. That takes a second where a boot takes a minute, so that many more moments can
be looked at than booted.
"""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

MENU = "/boot/grub/grub.cfg"
CUSTOM = "/boot/grub/custom.cfg"
ENVIRONMENT = "/boot/grub/grubenv"
TRIAL = "virtfleet-passthrough-trial"
_MENU_END = "### END /etc/grub.d/41_custom ###"
_ENVIRONMENT_SIZE = 1024
# Of the GUID partition table: its entries begin in the third sector, 128 bytes each; a partition's first sector is
# told 32 bytes into its entry. The root file system has the second.
_PARTITION = 2 * 512 + 128 + 32
_LINUX = re.compile(r"^\s*linux\s+(\S+)", re.MULTILINE)
_INITRD = re.compile(r"^\s*initrd\s+(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Boot:
    """The files that GRUB needs for one entry, by their content; ``None`` for what cannot be read."""

    kernel: str | None
    initrd: str | None


def look(image: Path, whole: Mapping[str, frozenset[str]]) -> list[str]:
    """Say what keeps GRUB from booting; ``whole`` are the contents that a kernel or an image may have, by its path."""
    text = _read(image, MENU).decode(errors="replace")
    if not text.startswith("#") or _MENU_END not in text:
        return [f"{MENU} is not whole: {len(text)} bytes"]
    faults = _entry_faults(image, MENU, text, whole)
    environment = _read(image, ENVIRONMENT)
    if len(environment) != _ENVIRONMENT_SIZE or not environment.startswith(b"# GRUB Environment Block\n"):
        faults.append(f"{ENVIRONMENT} is not whole: {len(environment)} bytes")
    if f"next_entry={TRIAL}\n".encode() in environment:
        custom = _read(image, CUSTOM).decode(errors="replace")
        if not custom.rstrip().endswith("}"):
            faults.append(f"the trial is chosen, and {CUSTOM} is not whole: {len(custom)} bytes")
        else:
            faults += _entry_faults(image, CUSTOM, custom, whole)
    return faults


def _entry_faults(image: Path, name: str, text: str, whole: Mapping[str, frozenset[str]]) -> list[str]:
    """What is wrong with the files of the first entry, which is the default."""
    faults = []
    for pattern in (_LINUX, _INITRD):
        found = pattern.search(text)
        if found is None:
            faults.append(f"{name} names no {pattern.pattern.split('s+')[1]}")
            continue
        path = found[1]
        content = _read(image, path)
        digest = hashlib.sha256(content).hexdigest()
        if digest not in whole.get(path, frozenset()):
            faults.append(f"{name}: {path} is not whole: {len(content)} bytes")
    return faults


def digest(image: Path, path: str) -> str:
    return hashlib.sha256(_read(image, path)).hexdigest()


def default_files(image: Path) -> tuple[str, ...]:
    """The paths of the kernel and the image that the default entry boots."""
    text = _read(image, MENU).decode(errors="replace")
    return tuple(found[1] for pattern in (_LINUX, _INITRD) if (found := pattern.search(text)))


def _read(image: Path, path: str) -> bytes:
    """The file's content, empty where there is none or its blocks make no sense."""
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "file"
        # -n: GRUB does not look at checksums either.
        command = ["debugfs", "-n", "-R", f"dump {path} {target}", f"{image}?offset={_root_offset(image)}"]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            return target.read_bytes()
        except FileNotFoundError:
            return b""
        except subprocess.SubprocessError as error:
            raise LabError(f"reading {path} of {image}: {error}") from None


def _root_offset(image: Path) -> int:
    with image.open("rb") as stream:
        stream.seek(_PARTITION)
        return 512 * int(struct.unpack("<Q", stream.read(8))[0])

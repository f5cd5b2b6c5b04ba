# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What GRUB finds on a disk: the file system as its blocks stand there, since GRUB replays no journal.

``debugfs`` reads it in the same way. That takes a fraction of a second where a boot takes most of a minute, so many
more power cuts can be looked at than booted.
"""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from lab.errors import LabError

MENU = "/boot/grub/grub.cfg"
CUSTOM = "/boot/grub/custom.cfg"
ENVIRONMENT = "/boot/grub/grubenv"
_MENU_END = "### END /etc/grub.d/41_custom ###"
_CHOSEN = b"next_entry=virtfleet-passthrough-trial\n"
_ENVIRONMENT_BEGIN = b"# GRUB Environment Block\n"
_ENVIRONMENT_SIZE = 1024
# Of the GUID partition table: its entries begin in the third sector, 128 bytes each; a partition's first sector is
# told 32 bytes into its entry. The root file system has the second.
_PARTITION = 2 * 512 + 128 + 32
_COMMANDS = {word: re.compile(rf"^\s*{word}\s+(\S+)", re.MULTILINE) for word in ("linux", "initrd")}

# Content by its path; what is not there, or cannot be read, is empty.
Files = Mapping[str, bytes]


def contents(image: Path) -> frozenset[str]:
    """Digests of the kernel and the initramfs that the default entry boots, for :func:`look`."""
    menu = read(image, [MENU])[MENU].decode(errors="replace")
    return frozenset(map(_digest, read(image, list(_loaded(menu).values())).values()))


def look(image: Path, known: Collection[str]) -> list[str]:
    """Say what keeps GRUB from booting; kernels and images have to be one of those that are ``known``."""
    files = read(image, [MENU, ENVIRONMENT, CUSTOM])
    texts = {path: files[path].decode(errors="replace") for path in (MENU, CUSTOM)}
    loaded = {path for text in texts.values() for path in _loaded(text).values()}
    return list(_faults(texts, files[ENVIRONMENT], read(image, sorted(loaded)), known))


def _faults(texts: Mapping[str, str], environment: bytes, loaded: Files, known: Collection[str]) -> Iterator[str]:
    if _MENU_END not in texts[MENU]:
        yield f"{MENU} is not whole, {len(texts[MENU])} bytes"
    else:
        yield from _entry_faults(MENU, texts[MENU], loaded, known)
    if len(environment) != _ENVIRONMENT_SIZE or not environment.startswith(_ENVIRONMENT_BEGIN):
        yield f"{ENVIRONMENT} is not whole, {len(environment)} bytes"
    if _CHOSEN in environment:
        if not texts[CUSTOM].rstrip().endswith("}"):
            yield f"the trial is chosen, and {CUSTOM} is not whole, {len(texts[CUSTOM])} bytes"
        else:
            yield from _entry_faults(CUSTOM, texts[CUSTOM], loaded, known)


def _entry_faults(name: str, text: str, loaded: Files, known: Collection[str]) -> Iterator[str]:
    paths = _loaded(text)
    yield from (f"{name} has no line '{word}'" for word in _COMMANDS if word not in paths)
    for path in paths.values():
        if _digest(loaded[path]) not in known:
            yield f"{path}, which {name} names, is not whole, {len(loaded[path])} bytes"


def _loaded(text: str) -> dict[str, str]:
    """What the first entry of a configuration loads; that is the default."""
    return {word: found[1] for word, pattern in _COMMANDS.items() if (found := pattern.search(text))}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read(image: Path, paths: Sequence[str]) -> dict[str, bytes]:
    """Files of the root file system of a disk, without a look at its journal."""
    with tempfile.TemporaryDirectory() as directory:
        targets = {path: Path(directory) / str(number) for number, path in enumerate(paths)}
        script = Path(directory) / "script"
        script.write_text("".join(f"dump {path} {target}\n" for path, target in targets.items()), encoding="utf-8")
        # -n: GRUB does not look at checksums either.
        command = ["debugfs", "-n", "-f", str(script), f"{image}?offset={_root_offset(image)}"]
        try:
            # A file system that cannot be opened has no files, as any other that is not there.
            subprocess.run(command, check=False, capture_output=True, timeout=120)
        except (OSError, subprocess.SubprocessError) as error:
            raise LabError(f"reading {image}: {error}", cause="missing Debian package e2fsprogs") from None
        return {path: target.read_bytes() if target.exists() else b"" for path, target in targets.items()}


def _root_offset(image: Path) -> int:
    with image.open("rb") as stream:
        stream.seek(_PARTITION)
        return 512 * int(struct.unpack("<Q", stream.read(8))[0])

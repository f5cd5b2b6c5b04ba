# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What GRUB would find on a disk: a real file system, with one thing at a time missing."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from lab.power import menu

BEGIN = 1 << 20
LOADED = "    linux\t/boot/vmlinuz-6 root=/dev/vda2 ro\n    initrd\t/boot/initrd.img-6\n"
RESCUE = "    linux\t/boot/vmlinuz-6 root=/dev/vda2 ro single\n    initrd\t/boot/initrd.img-6\n"
MENU = (
    f"# made\nmenuentry 'Debian' {{\n{LOADED}}}\nmenuentry 'rescue' {{\n{RESCUE}}}\n### END /etc/grub.d/41_custom ###\n"
)
CUSTOM = "set fallback=0\nmenuentry 'trial' {\n    linux /boot/vmlinuz-6 ro\n    initrd /boot/trial.img\n}\n"
ENVIRONMENT = "# GRUB Environment Block\n"
CHOSEN = "next_entry=virtfleet-passthrough-trial\n"
GOOD = {
    menu.MENU: MENU,
    menu.ENVIRONMENT: ENVIRONMENT.ljust(1024, "#"),
    menu.CUSTOM: CUSTOM,
    "/boot/vmlinuz-6": "kernel",
    "/boot/initrd.img-6": "old image",
}


def disk(directory: Path, name: str, **files: str | None) -> Path:
    """A disk with a root file system in its second partition; files by the last part of their name."""
    tree = directory / f"{name}.tree"
    wanted = dict(GOOD)
    for last, text in files.items():
        (path,) = [path for path in (*GOOD, "/boot/trial.img") if path.rpartition("/")[2].partition(".")[0] == last]
        if text is None:
            del wanted[path]
        else:
            wanted[path] = text
    for path, text in wanted.items():
        target = tree / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    image = directory / f"{name}.raw"
    with image.open("wb") as stream:
        stream.seek(2 * 512 + 128 + 32)
        stream.write(struct.pack("<Q", BEGIN // 512))
        stream.truncate(4 * BEGIN)
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-E", f"offset={BEGIN}", "-d", str(tree), str(image), "3072k"]
    subprocess.run(command, check=True, timeout=60)
    return image


@pytest.fixture(name="known", scope="module")
def _known(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    directory = tmp_path_factory.mktemp("known")
    new = disk(directory, "new", initrd="new image")
    return menu.contents(disk(directory, "old")) | menu.contents(new)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"initrd": "new image"},
        {"custom": None},
        # Nobody boots the trial that is not chosen.
        {"custom": "set fallb"},
        {"grubenv": (ENVIRONMENT + CHOSEN).ljust(1024, "#"), "trial": "new image"},
    ],
)
def test_a_disk_that_boots(tmp_path: Path, known: frozenset[str], files: dict[str, str | None]) -> None:
    assert menu.look(disk(tmp_path, "disk", **files), known) == []


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"grub": ""}, "grub.cfg is not whole, 0 bytes"),
        ({"grub": None}, "grub.cfg is not whole, 0 bytes"),
        ({"grub": MENU[:-20]}, "grub.cfg is not whole"),
        ({"grub": MENU.replace("initrd", "echo")}, "has no line 'initrd'"),
        ({"initrd": ""}, "/boot/initrd.img-6, which /boot/grub/grub.cfg names, is not whole, 0 bytes"),
        ({"initrd": "new ima"}, "is not whole, 7 bytes"),
        ({"vmlinuz-6": None}, "/boot/vmlinuz-6, which"),
        ({"grubenv": ENVIRONMENT}, "grubenv is not whole"),
        ({"grubenv": "?" * 1024}, "grubenv is not whole"),
        ({"grubenv": (ENVIRONMENT + CHOSEN).ljust(1024, "#"), "custom": None}, "the trial is chosen"),
        ({"grubenv": (ENVIRONMENT + CHOSEN).ljust(1024, "#")}, "/boot/trial.img, which"),
        ({"grubenv": (ENVIRONMENT + CHOSEN).ljust(1024, "#"), "trial": "new"}, "/boot/trial.img, which"),
    ],
)
def test_a_disk_that_does_not_boot(
    tmp_path: Path, known: frozenset[str], files: dict[str, str | None], fault: str
) -> None:
    assert any(fault in text for text in menu.look(disk(tmp_path, "disk", **files), known))


def test_something_that_is_no_disk(tmp_path: Path, known: frozenset[str]) -> None:
    (tmp_path / "disk.raw").write_bytes(bytes(4 << 20))
    assert any("grub.cfg is not whole, 0 bytes" in text for text in menu.look(tmp_path / "disk.raw", known))

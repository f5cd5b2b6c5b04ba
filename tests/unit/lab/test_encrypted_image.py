# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small disk, encrypted by the real tools."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from pathlib import Path

import pytest

from lab import encrypted_image, recipe
from lab.encrypted_image import KEY_TEXT, encrypt
from lab.errors import LabError

MIB = 2**20
UUID = "f025e571-ec37-57b0-a20a-f3cd4f5665e2"
CRYPTTAB = f"cryptroot UUID={UUID} none luks\n"
ESP = os.urandom(2 * MIB)
BOOT = os.urandom(3 * MIB)
MARK = b"what must not be read without the key" * 100


def plain_disk(work: Path, crypttab: str = CRYPTTAB, boot: bytes = BOOT) -> Path:
    """As ``image.py`` leaves one: the ESP, and a root file system with what the finish scripts put there."""
    tree = work / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/crypttab").write_text(crypttab)
    (tree / "secret").write_bytes(MARK)
    if boot:
        (tree / "lab-boot.img").write_bytes(boot)
    raw = work / "plain.raw"
    raw.write_bytes(bytes(32 * MIB))
    words = ["--new=1:2048:6143", "--typecode=1:ef00", "--new=2:6144:63487", "--typecode=2:8304"]
    subprocess.run(["sgdisk", *words, raw], check=True, capture_output=True)
    with raw.open("r+b") as disk:
        disk.seek(MIB)
        disk.write(ESP)
    options = ["-q", "-F", "-t", "ext4", "-E", f"offset={3 * MIB}", "-d", tree, raw, f"{28 * 1024}k"]
    subprocess.run(["mke2fs", *map(str, options)], check=True, capture_output=True)
    packed = work / "plain.qcow2"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, packed], check=True)
    return packed


@pytest.fixture
def made_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> recipe.Recipe:
    monkeypatch.setattr(encrypted_image, "image_cache", lambda: tmp_path)
    return dataclasses.replace(recipe.load("debian12-luks", ""), disk_bytes=32 * MIB)


def opens(luks: Path, key: str) -> bool:
    command = ["cryptsetup", "open", "--test-passphrase", "--key-file", "-", str(luks)]
    return subprocess.run(command, input=key.encode(), capture_output=True, check=False).returncode == 0


def test_the_root_is_locked_and_the_rest_is_as_it_was(tmp_path: Path, made_from: recipe.Recipe) -> None:
    target = tmp_path / "done.qcow2"
    encrypt(made_from, plain_disk(tmp_path), target)
    raw = tmp_path / "done.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", target, raw], check=True)
    whole = raw.read_bytes()
    assert MARK[:37] not in whole
    assert whole[MIB : 3 * MIB] == ESP
    assert whole[3 * MIB : 6 * MIB] == BOOT
    luks = tmp_path / "luks.img"
    luks.write_bytes(whole[6 * MIB : -MIB])
    uuid = subprocess.run(["cryptsetup", "luksUUID", luks], check=True, capture_output=True, text=True).stdout
    assert uuid.strip() == UUID
    assert opens(luks, KEY_TEXT)
    assert not opens(luks, KEY_TEXT + " ")
    table = subprocess.run(["sgdisk", "--verify", "--print", raw], check=True, capture_output=True, text=True).stdout
    assert "No problems found" in table
    assert [line.split()[5] for line in table.splitlines() if line.startswith("   ")][-3:] == ["EF00", "8300", "8309"]
    assert not list(tmp_path.glob("build-*"))


@pytest.mark.parametrize(
    ("crypttab", "boot", "words"), [(CRYPTTAB, b"", "no /lab-boot.img"), ("# nothing\n", BOOT, "names no partition")]
)
def test_a_tree_that_is_not_made_for_it(
    tmp_path: Path, made_from: recipe.Recipe, crypttab: str, boot: bytes, words: str
) -> None:
    with pytest.raises(LabError, match=words):
        encrypt(made_from, plain_disk(tmp_path, crypttab, boot), tmp_path / "done.qcow2")
    assert not (tmp_path / "done.qcow2").exists()
    assert not list(tmp_path.glob("build-*"))

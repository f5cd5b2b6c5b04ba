# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which QEMU runs a host, and how it is fetched."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab import emulator
from lab.apt import Apt
from lab.errors import LabError


def test_own_qemu_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator, "require_tools", lambda _purpose, _tools: None)
    assert emulator.ensure("own") == emulator.Emulator(("qemu-system-x86_64",))


def test_unknown_qemu_names_the_known_ones() -> None:
    with pytest.raises(LabError, match="own, trixie"):
        emulator.ensure("sid")


def test_unpacked_qemu_finds_only_what_came_with_it(tmp_path: Path) -> None:
    tree = tmp_path / "t"
    found = emulator.unpacked(tree)
    loader, option, libraries, program, *data = found.command
    assert (loader, option) == (f"{tree}/usr/lib64/ld-linux-x86-64.so.2", "--library-path")
    assert (libraries, program) == (f"{tree}/usr/lib/x86_64-linux-gnu", f"{tree}/usr/bin/qemu-system-x86_64")
    assert data == ["-L", f"{tree}/usr/share/qemu", "-L", f"{tree}/usr/share/seabios"]
    assert found.environment == {"QEMU_MODULE_DIR": f"{libraries}/qemu"}


class Packages(Apt):
    """Packages that hold these files, without a mirror; ``fetched`` counts how often they were asked for."""

    files: tuple[str, ...] = (
        "usr/lib64/ld-linux-x86-64.so.2",
        "usr/lib/x86_64-linux-gnu/libc.so.6",
        "usr/bin/qemu-system-x86_64",
        "usr/share/qemu/vgabios.bin",
        "usr/share/seabios/bios.bin",
    )
    fetched = 0

    def __init__(self, what: str, suite: str, work: Path, log: Path) -> None:
        self.work = work

    def download_complete(self, package: str) -> list[Path]:
        type(self).fetched += 1
        tree = self.work / package
        for name in (*self.files, "DEBIAN/control"):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(
                f"Package: {package}\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: a\n"
            )
        made = self.work / "one.deb"
        subprocess.run(["dpkg-deb", "--build", tree, made], check=True, capture_output=True, timeout=60)
        return [made]

    def unpack(self, packages: object, tree: Path) -> None:
        for package in packages if isinstance(packages, list) else []:
            subprocess.run(["dpkg-deb", "-x", package, tree], check=True, timeout=60)

    def version(self, package: str) -> str:
        return "1"


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Packages]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(emulator, "Apt", Packages)
    monkeypatch.setattr(emulator, "require_space", lambda *_arguments: None)
    monkeypatch.setattr(Packages, "fetched", 0)
    return Packages


def test_fetched_once_and_nothing_is_left_behind(packages: type[Packages], tmp_path: Path) -> None:
    first, second = emulator.ensure("trixie"), emulator.ensure("trixie")
    assert first == second
    assert packages.fetched == 1
    assert Path(first.command[0]).is_file()
    assert sorted(os.listdir(tmp_path / "virtfleet-passthrough/qemu")) == ["trixie-1", "trixie.lock"]


def test_incomplete_packages_are_not_kept(
    packages: type[Packages], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(packages, "files", packages.files[1:])
    with pytest.raises(LabError, match="ld-linux"):
        emulator.ensure("trixie")
    assert os.listdir(tmp_path / "virtfleet-passthrough/qemu") == ["trixie.lock"]

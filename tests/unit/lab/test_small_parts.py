# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names, processes, the console, recipes, logged commands."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import console, image, paths, progress, recipe
from lab.errors import LabError
from lab.process import Process


@pytest.mark.parametrize("name", ["", "../x", "A", "a b", "-a", "a" * 33])
def test_host_name_refused(name: str) -> None:
    with pytest.raises(LabError):
        paths.host_state(name)


def test_host_state_is_inside_the_state_directory() -> None:
    assert paths.host_state("demo-1").parent == paths.STATE


def test_recycled_pid_is_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        real = Process.of(child.pid)
        recycled = Process(child.pid, real.start_time - 1)
        assert not recycled.alive
        recycled.send(signal.SIGKILL)
        assert real.alive
        assert not real.wait(0.2)
        real.send(signal.SIGKILL)
        assert real.wait(10)
        child.wait(10)


def test_zombie_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = Process.of(child.pid)
    assert child.stdin is not None
    child.stdin.close()
    assert process.wait(10)
    child.wait(10)


def test_console_without_terminal_sequences() -> None:
    raw = "\x1b[2J\x1b[01;01H\x1b[0mGRUB\x1b[05;02Hentry\r\n\x00\x1b[0mlab login: "
    assert console.clean(raw) == "GRUB\nentry\nlab login:"


def test_last_line_of_nothing(tmp_path: Path) -> None:
    assert console.last_line(tmp_path / "none") == ""


@pytest.mark.parametrize("flavour", recipe.flavours())
def test_recipe_is_named_by_its_content(flavour: str) -> None:
    one, same, other = (recipe.load(flavour, key) for key in ("a", "a", "b"))
    assert one == same
    assert one.digest != other.digest
    assert one.image_name == f"{flavour}-{one.digest}.qcow2"
    assert one.identifier("root") != one.identifier("disk")


def copy_builders(target: Path) -> None:
    for builder in ("image.py", "encrypted_image.py"):
        shutil.copy(paths.HERE / builder, target)


@pytest.mark.parametrize("directory", ["finish.d", "fetch.d"])
def test_a_script_that_changes_makes_another_image(
    directory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "images"
    shutil.copytree(paths.IMAGES, copy)
    monkeypatch.setattr(recipe, "IMAGES", copy)
    monkeypatch.setattr(recipe, "HERE", tmp_path)
    copy_builders(tmp_path)
    before = {flavour: recipe.load(flavour, "").digest for flavour in recipe.flavours()}
    script = next(path for path in sorted((copy / directory).iterdir()) if path.stem in ("services", "busybox"))
    script.write_text(script.read_text(encoding="utf-8") + "true\n", encoding="utf-8")
    after = {flavour: recipe.load(flavour, "").digest for flavour in recipe.flavours()}
    assert not set(before.values()) & set(after.values())


def test_a_boot_loaders_script_makes_no_other_image_of_another_boot_loader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "images"
    shutil.copytree(paths.IMAGES, copy)
    monkeypatch.setattr(recipe, "IMAGES", copy)
    monkeypatch.setattr(recipe, "HERE", tmp_path)
    copy_builders(tmp_path)
    before = recipe.load("debian13", "").digest
    (copy / "finish.d/systemd-boot.sh").write_text("true\n", encoding="utf-8")
    assert recipe.load("debian13", "").digest == before


def test_what_encrypts_makes_no_other_image_where_nothing_is_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "HERE", tmp_path)
    monkeypatch.setattr(recipe, "IMAGES", shutil.copytree(paths.IMAGES, tmp_path / "images"))
    copy_builders(tmp_path)
    before = {flavour: recipe.load(flavour, "").digest for flavour in recipe.flavours()}
    (tmp_path / "encrypted_image.py").write_text("something = 'else'\n", encoding="utf-8")
    after = {flavour: recipe.load(flavour, "").digest for flavour in recipe.flavours()}
    changed = {flavour for flavour in before if before[flavour] != after[flavour]}
    assert changed == {flavour for flavour in before if recipe.load(flavour, "").encrypted_root} != set()


def test_a_flavour_whose_name_begins_with_anothers_keeps_its_image(tmp_path: Path) -> None:
    names = ("debian13-0123456789ab", "debian13-ba9876543210", "debian13-unified-0123456789ab")
    for name in names:
        (tmp_path / f"{name}.qcow2").touch()
    assert image.predecessors(tmp_path / f"{names[0]}.qcow2") == [tmp_path / f"{names[1]}.qcow2"]
    assert image.predecessors(tmp_path / f"{names[2]}.qcow2") == []


def test_mirror_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipe.load("debian12", "")
    monkeypatch.setenv("LAB_MIRROR", "http://mirror.example/debian")
    after = recipe.load("debian12", "")
    assert after.mirror == "http://mirror.example/debian"
    assert after.security_mirror == "http://mirror.example/debian-security"
    assert after.digest == before.digest


def test_unknown_flavour_names_the_known_ones() -> None:
    with pytest.raises(LabError, match="debian12"):
        recipe.load("debian99", "")


def test_failed_command_names_log_and_cause(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = "print('mke2fs: No space left on device'); raise SystemExit(1)"
    with pytest.raises(LabError) as caught:
        progress.run("trying", [sys.executable, "-c", script], log=log, limit=60)
    assert caught.value.cause == "no disk space"
    assert str(log) in str(caught.value)


def test_command_over_its_limit_is_ended(tmp_path: Path) -> None:
    script = "import time; time.sleep(60)"
    with pytest.raises(LabError, match="not finished"):
        progress.run("trying", [sys.executable, "-c", script], log=tmp_path / "log", limit=0.3)


def test_missing_tool_names_its_package() -> None:
    with pytest.raises(LabError, match="some-package"):
        progress.require_tools("trying", {"no-such-tool": "some-package"})

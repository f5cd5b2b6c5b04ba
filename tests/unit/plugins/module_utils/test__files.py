# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import (
    FileMeta,
    Root,
    copy_private,
    switch_boot_file,
    write_atomic,
    write_boot_file,
)


def test_a_missing_file_and_an_attribute_without_value_read_as_none(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    (tmp_path / "empty").write_text("\n")
    assert root.read_text("/missing") is None
    assert root.read_text("/empty/below") is None
    assert root.read_word("/empty") is None


def test_links_that_lead_nowhere_read_as_nothing(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "gone").symlink_to("missing")
    for path in ("/round", "/gone", "/round/below", f"/{'x' * 300}"):
        assert (root.read_text(path), root.listdir(path), root.exists(path)) == (None, [], False)


def test_replacing_keeps_owner_and_mode(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    target.chmod(0o640)
    write_atomic(str(target), b"new")
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"new", 0o640)


def test_a_new_file_gets_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "new/directory/file"
    write_atomic(str(target), b"x", FileMeta(mode=0o755))
    assert target.stat().st_mode & 0o777 == 0o755


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def no_space(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        write_atomic(str(target), b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert target.read_text() == "old"


def test_content_is_on_the_disk_before_its_name_and_the_name_before_we_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        kind = "directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"
        steps.append(f"fsync {kind}")
        real_fsync(descriptor)

    def rename(source: str, target: str) -> None:
        steps.append("rename")
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    write_atomic(str(tmp_path / "file"), b"x")
    assert steps[-3:] == ["fsync file", "rename", "fsync directory"]


@pytest.fixture(name="steps")
def _steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to the disk, in its order; with a star while the file that was there is open."""
    steps: list[str] = []
    real_fsync, real_rename, real_open, real_close = os.fsync, os.rename, os.open, os.close
    held: set[int] = set()

    def open_it(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = real_open(path, flags, mode, dir_fd=dir_fd)
        if os.path.isfile(f"/proc/self/fd/{descriptor}") and Path(path).read_bytes() == b"old":
            held.add(descriptor)
        return descriptor

    def close(descriptor: int) -> None:
        held.discard(descriptor)
        real_close(descriptor)

    def note(what: str) -> None:
        steps.append(what + "*" * bool(held))

    def fsync(descriptor: int) -> None:
        note("fsync directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "fsync file")
        real_fsync(descriptor)

    def rename(source: str, target: str) -> None:
        note("rename")
        real_rename(source, target)

    monkeypatch.setattr(os, "open", open_it)
    monkeypatch.setattr(os, "close", close)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "sync", lambda: note("sync"))
    monkeypatch.setattr(fcntl, "ioctl", lambda _fd, request, _value: note(f"ioctl {request & 0xFF}"))
    return steps


SWITCH = ["fsync file", "sync", "rename*", "fsync directory*", "sync*", "fsync directory*"]


def test_a_boot_file_is_at_home_before_it_gets_a_name_that_the_old_one_has(tmp_path: Path, steps: list[str]) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "beside").write_text("new")
    switch_boot_file(str(tmp_path / "beside"), str(tmp_path / "file"))
    assert steps == SWITCH
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "new")]
    write_boot_file(str(tmp_path / "file"), b"newer")
    assert (tmp_path / "file").read_text() == "newer"


def test_a_boot_file_that_is_the_first_of_its_name(tmp_path: Path, steps: list[str]) -> None:
    write_boot_file(str(tmp_path / "boot/file"), b"new")
    assert steps[1:] == [step.rstrip("*") for step in SWITCH]


def test_a_file_system_for_boot_files_is_frozen_each_time(
    tmp_path: Path, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loader").mkdir()
    (tmp_path / "loader/file").write_text("old")
    (tmp_path / "loader/beside").write_text("new")
    monkeypatch.setattr(os.path, "ismount", lambda path: path == str(tmp_path))
    monkeypatch.setattr(_files, "_BOOT_MOUNT_POINTS", (str(tmp_path),))
    switch_boot_file(str(tmp_path / "loader/beside"), str(tmp_path / "loader/file"))
    frozen = ["sync*", "ioctl 119*", "ioctl 120*"]
    home = [step.rstrip("*") for step in frozen]
    assert steps == ["fsync file", *home, "rename*", "fsync directory*", *frozen, "fsync directory*"]


def test_only_the_real_root_is_live(tmp_path: Path) -> None:
    assert Root("/").is_live
    assert Root("//").is_live
    assert not Root(str(tmp_path)).is_live


def test_nobody_else_reads_a_private_copy_not_even_before_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"key")
    target.write_bytes(b"what a power cut has left")
    target.chmod(0o644)
    seen = []
    copy = shutil.copyfile

    def watched(*arguments: Any) -> None:
        seen.append(target.stat().st_mode & 0o777)
        copy(*arguments)

    monkeypatch.setattr(shutil, "copyfile", watched)
    copy_private(str(source), str(target))
    assert (seen, target.read_bytes(), target.stat().st_mode & 0o777) == ([0o600], b"key", 0o600)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import LEDGER_PATH, Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import (
    FileChange,
    OwnedFile,
    install,
    owned_paths,
    preview,
    preview_release,
    release,
)

PATH = "/etc/virtfleet-passthrough/table"


def put(base: Path, content: bytes, mode: int = 0o644) -> FileChange:
    root = Root(str(base))
    with locked(root) as ledger:
        return install(root, ledger, "vfio", OwnedFile(PATH, content, mode))


def take_back(base: Path) -> FileChange:
    root = Root(str(base))
    with locked(root) as ledger:
        return release(root, ledger, PATH)


def tree(base: Path) -> dict[str, bytes | None]:
    """Everything but the lock, which lives in a directory that a reboot empties."""
    return {
        str(path.relative_to(base)): path.read_bytes() if path.is_file() else None
        for path in base.rglob("*")
        if "run" not in path.parts
    }


def test_install_then_release_leaves_no_trace_of_a_new_file_or_its_directory(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "var/lib").mkdir(parents=True)
    before = tree(tmp_path)
    assert put(tmp_path, b"one\n").changed
    assert owned_paths(Ledger.read(Root(str(tmp_path))), "vfio") == [PATH]
    assert take_back(tmp_path).changed
    assert tree(tmp_path) == before


def test_a_second_install_changes_nothing(tmp_path: Path) -> None:
    put(tmp_path, b"one\n")
    before = tree(tmp_path)
    assert not put(tmp_path, b"one\n").changed
    assert tree(tmp_path) == before


def test_a_file_that_is_not_ours_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / PATH.lstrip("/")).parent.mkdir(parents=True)
    (tmp_path / PATH.lstrip("/")).write_bytes(b"theirs\n")
    with pytest.raises(RefusedError, match="was not written by"):
        put(tmp_path, b"ours\n")
    assert (tmp_path / PATH.lstrip("/")).read_bytes() == b"theirs\n"


def test_an_equal_file_that_was_there_before_stays_after_release(tmp_path: Path) -> None:
    (tmp_path / PATH.lstrip("/")).parent.mkdir(parents=True)
    (tmp_path / PATH.lstrip("/")).write_bytes(b"same\n")
    put(tmp_path, b"same\n")
    take_back(tmp_path)
    assert (tmp_path / PATH.lstrip("/")).read_bytes() == b"same\n"


@pytest.mark.parametrize("number", range(3))
def test_an_update_that_a_power_cut_ends_leaves_a_file_that_is_still_ours(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the three renames of an update in turn is where it ends: ledger, file, ledger."""
    before = tree(tmp_path)
    put(tmp_path, b"one\n")
    child = os.fork()
    if child == 0:
        renames = [os.rename] * number

        def rename(*names: str) -> None:
            if not renames:
                os._exit(9)
            renames.pop()(*names)

        monkeypatch.setattr(os, "rename", rename)
        with contextlib.suppress(Exception):
            put(tmp_path, b"two\n")
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    for path in tmp_path.rglob(".*"):
        path.unlink()
    assert take_back(tmp_path).note is None
    assert tree(tmp_path).keys() - before.keys() <= {"etc", "var", "var/lib"}
    put(tmp_path, b"one\n")
    assert put(tmp_path, b"two\n").changed


def test_an_edited_file_is_not_overwritten_and_loses_only_our_lines(tmp_path: Path) -> None:
    put(tmp_path, b"ours 1\nours 2\n")
    (tmp_path / PATH.lstrip("/")).write_bytes(b"ours 1\ntheirs \xff\nours 2\n")
    with pytest.raises(RefusedError, match="changed by someone since"):
        put(tmp_path, b"ours 3\n")
    change = take_back(tmp_path)
    assert change.note is not None
    assert PATH in change.note
    assert (tmp_path / PATH.lstrip("/")).read_bytes() == b"theirs \xff\n"


def test_releasing_what_was_removed_by_hand_or_never_installed_is_no_change(tmp_path: Path) -> None:
    put(tmp_path, b"one\n")
    (tmp_path / PATH.lstrip("/")).unlink()
    assert not take_back(tmp_path).changed
    assert not take_back(tmp_path).changed


def test_the_mode_is_that_which_was_asked_for(tmp_path: Path) -> None:
    put(tmp_path, b"#!/bin/sh\n", 0o755)
    assert (tmp_path / PATH.lstrip("/")).stat().st_mode & 0o777 == 0o755


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(contents=st.lists(st.binary(max_size=40), min_size=1, max_size=4))
def test_previews_say_what_then_happens(tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]) -> None:
    base = tmp_path_factory.mktemp("host")
    root = Root(str(base))
    for content in contents:
        with locked(root) as ledger:
            wanted = OwnedFile(PATH, content)
            assert preview(root, ledger, wanted) == install(root, ledger, "vfio", wanted)
        assert (base / PATH.lstrip("/")).read_bytes() == content
    with locked(root) as ledger:
        assert preview_release(root, ledger, PATH) == release(root, ledger, PATH)
    assert not (base / PATH.lstrip("/")).exists()


def test_a_directory_with_a_file_of_somebody_else_stays_and_is_theirs(tmp_path: Path) -> None:
    put(tmp_path, b"one\n")
    theirs = (tmp_path / PATH.lstrip("/")).parent / "theirs"
    theirs.write_bytes(b"mine\n")
    take_back(tmp_path)
    assert theirs.read_bytes() == b"mine\n"
    assert Ledger.read(Root(str(tmp_path))).summary() == {}


def test_a_directory_is_ours_while_a_file_of_ours_is_in_it(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    put(tmp_path, b"one\n")
    with locked(root) as ledger:
        install(root, ledger, "vfio", OwnedFile(f"{PATH}-2", b"two\n"))
        release(root, ledger, PATH)
        assert "/etc/virtfleet-passthrough" in ledger.section("directories")
        release(root, ledger, f"{PATH}-2")
    assert not (tmp_path / "etc").exists()


def test_a_release_that_was_cut_off_before_it_was_noted_is_not_made_twice(tmp_path: Path) -> None:
    """The file is back, the ledger does not know it yet: the lines in it are the administrator's now."""
    path = tmp_path / PATH.lstrip("/")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"one\ntwo\n")
    before = tree(tmp_path)
    put(tmp_path, b"one\ntwo\n")
    put(tmp_path, b"one\nthree\n")
    ledger = tmp_path / LEDGER_PATH.lstrip("/")
    known = ledger.read_bytes()
    take_back(tmp_path)
    assert path.read_bytes() == b"one\ntwo\n"
    ledger.parent.mkdir(parents=True)
    ledger.write_bytes(known)
    assert take_back(tmp_path).note is None
    assert {name: content for name, content in tree(tmp_path).items() if name in before} == before

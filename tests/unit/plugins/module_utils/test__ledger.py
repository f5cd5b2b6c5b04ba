# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import LedgerError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import LEDGER_PATH, Ledger, locked


def ledger_file(base: Path) -> Path:
    return base / LEDGER_PATH.lstrip("/")


def test_what_was_saved_is_read_again_by_root_only(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    with locked(root) as ledger:
        ledger.section("kernel_args")["iommu"] = ["intel_iommu=on"]
        ledger.generation = 3
        ledger.save()
    again = Ledger.read(root)
    assert again.section("kernel_args") == {"iommu": ["intel_iommu=on"]}
    assert again.generation == 3
    assert json.loads(ledger_file(tmp_path).read_text())["schema"] == 1
    assert ledger_file(tmp_path).stat().st_mode & 0o777 == 0o600


def test_a_ledger_that_holds_nothing_leaves_no_trace(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    with locked(root) as ledger:
        ledger.section("kernel_args")["iommu"] = ["intel_iommu=on"]
        ledger.save()
        del ledger.section("kernel_args")["iommu"]
        ledger.save()
    assert not ledger_file(tmp_path).parent.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("not json", "not readable as JSON"),
        ("\udcff", "not readable as JSON"),
        ("[]", "no schema number"),
        ("{}", "no schema number"),
        ('{"schema": 2}', "has schema 2"),
    ],
)
def test_a_ledger_that_cannot_be_understood_is_refused(tmp_path: Path, content: str, words: str) -> None:
    ledger_file(tmp_path).parent.mkdir(parents=True)
    ledger_file(tmp_path).write_text(content, errors="surrogateescape")
    with pytest.raises(LedgerError, match=words):
        Ledger.read(Root(str(tmp_path)))


def test_a_ledger_opened_for_reading_or_in_check_mode_cannot_be_saved(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    with pytest.raises(LedgerError, match="reading only"):
        Ledger.read(root).save()
    with locked(root, check_mode=True) as ledger, pytest.raises(LedgerError, match="reading only"):
        ledger.save()
    assert list(tmp_path.iterdir()) == []


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    root = Root(str(tmp_path))

    def append(number: int) -> None:
        with locked(root) as ledger:
            ledger.section("kernel_args")[f"owner{number}"] = ["x"]
            ledger.save()

    threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Ledger.read(root).section("kernel_args")) == 8


def test_an_unknown_section_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no section 'kernel_arguments'"):
        Ledger().section("kernel_arguments")


def test_what_is_ours_is_named_once() -> None:
    arguments = {"iommu": ["intel_iommu=on"]}
    blocks = {"blocks": [["intel_iommu=on"]]}
    assert Ledger({"kernel_args": arguments, "kernel_line": blocks, "files": {}}).summary() == {
        "kernel_args": ["iommu"]
    }
    # What a run leaves that was cut off while it took the arguments out.
    assert Ledger({"kernel_args": {}, "kernel_line": blocks}).summary() == {"kernel_line": ["blocks"]}


def test_looking_into_a_section_leaves_no_trace(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    with locked(root) as ledger:
        ledger.section("kernel_args")["iommu"] = ["intel_iommu=on"]
        ledger.save()
    before = (tmp_path / LEDGER_PATH.lstrip("/")).read_bytes()
    with locked(root) as ledger:
        assert ledger.section("directories") == {}
        ledger.save()
    assert (tmp_path / LEDGER_PATH.lstrip("/")).read_bytes() == before


def test_a_ledger_that_may_not_be_read_is_not_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path, **_options: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(LedgerError, match="needs root"):
        Ledger.read(Root(str(tmp_path)))

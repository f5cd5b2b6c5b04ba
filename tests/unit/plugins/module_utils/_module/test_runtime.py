# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    InputError,
    RefusedError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import write_atomic
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result, run_module


class EndedError(Exception):
    """The module has ended with ``result``."""

    def __init__(self, result: dict[str, t.Any]) -> None:
        super().__init__(result)
        self.result = result


class Module:
    def __init__(self) -> None:
        self.warned: list[str] = []

    def fail_json(self, **result: t.Any) -> t.NoReturn:
        raise EndedError({"failed": True, **result})

    def exit_json(self, **result: t.Any) -> t.NoReturn:
        raise EndedError(result)

    def warn(self, text: str) -> None:
        self.warned.append(text)


def ended(body: t.Callable[[], Result]) -> dict[str, t.Any]:
    module: t.Any = Module()
    with pytest.raises(EndedError) as caught:
        run_module(module, lambda _module, _run: body())
    return caught.value.result


def raising(error: Exception) -> t.Callable[[], Result]:
    def body() -> Result:
        raise error

    return body


def test_a_result() -> None:
    result = ended(lambda: Result(True, {"a": 1}, ({"before": "", "after": "x"},)))
    assert result == {"changed": True, "a": 1, "diff": [{"before": "", "after": "x"}]}


@pytest.mark.parametrize("error", [InputError("no"), HostStateError("no")])
def test_errors_of_ours_are_their_message(error: Exception) -> None:
    assert ended(raising(error)) == {"failed": True, "msg": "no"}


def test_a_refusal_names_device_and_key() -> None:
    result = ended(raising(RefusedError("no", "0000:01:00.0", "boot_vga")))
    assert result["refusals"] == [{"device": "0000:01:00.0", "reason": "no", "allow": "boot_vga"}]


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.ENOSPC, "Make room"), (errno.EROFS, "mounted read-only"), (errno.EISDIR, "")]
)
def test_what_the_system_refuses_is_a_sentence(number: int, advice: str) -> None:
    result = ended(raising(OSError(number, os.strerror(number), "/etc/default/grub")))
    assert result["failed"]
    assert result["msg"].startswith(f"The system stopped this module at /etc/default/grub: {os.strerror(number)}")
    assert advice in result["msg"]


def test_a_full_disk_names_the_file_that_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    target = tmp_path / "file"

    def body() -> Result:
        write_atomic(str(target), b"x")
        return Result()

    assert f"at {target}: No space left on device" in ended(body)["msg"]
    assert list(tmp_path.iterdir()) == []

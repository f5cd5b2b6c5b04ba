# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module runs through the real ansible, on this machine and a recorded tree."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.loaders.host import Modules
from lab.steps import StepFailedError

TREE = Path(__file__).resolve().parents[3] / "fixtures/boot/grub/arch-2025"


@dataclasses.dataclass(frozen=True)
class HereHost:
    """Reached without ssh."""

    directory: Path
    name: str = "here"

    def inventory_variables(self) -> dict[str, object]:
        return {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


@pytest.fixture
def modules(tmp_path: Path) -> Modules:
    host: Any = HereHost(tmp_path)
    return Modules(host)


def test_a_result_arrives_whole(modules: Modules) -> None:
    result = modules.succeed("kernel_cmdline_info", root=str(TREE))
    assert result["bootloader"] == "grub"
    assert result["entries"]


def test_a_failure_is_one(modules: Modules) -> None:
    assert modules.run("kernel_cmdline_info", root="/nonexistent")["failed"]
    with pytest.raises(StepFailedError, match="kernel_cmdline_info failed"):
        modules.succeed("kernel_cmdline_info", root="/nonexistent")


def test_no_arguments_are_no_free_text(modules: Modules) -> None:
    assert "raw params" not in str(modules.run("kernel_cmdline_info").get("msg"))


def test_without_a_result_ansibles_words_are_shown(modules: Modules) -> None:
    with pytest.raises(StepFailedError, match="gave no result"):
        modules.run("kernel_cmdline_info", "--no-such-switch")

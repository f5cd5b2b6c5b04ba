# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recorded trees of boot configurations, to change at will, with a stand-in for the loader's tool."""

from __future__ import annotations

import abc
import shutil
import typing as t
from collections.abc import Callable, Sequence
from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import read_boot_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.writer import (
    ArgumentsChange,
    set_arguments,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import LOCK_PATH, Ledger, locked

RECORDED = Path(__file__).resolve().parents[2] / "fixtures/boot"

# Stands in for one program: words and working directory → exit status and what it wrote to standard error.
Tool = Callable[[Sequence[str], "str | None"], "tuple[int, str]"]


def no_tool(argv: Sequence[str], cwd: str | None) -> tuple[int, str]:
    raise AssertionError(f"no program is needed here: {argv}")


class RecordedTree(abc.ABC):
    """A copy of ``fixtures/boot/<name>`` at ``base``, to write to."""

    def __init__(self, base: Path, name: str) -> None:
        shutil.copytree(RECORDED / name, base, dirs_exist_ok=True)
        self.base = base
        self.root = Root(str(base))

    @abc.abstractmethod
    def run(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        """What stands in for the host's programs."""

    def put(self, owner: str, *args: str, check_mode: bool = False) -> ArgumentsChange:
        with locked(self.root, check_mode) as ledger:
            return set_arguments(self.root, self.run, ledger, owner, args, check_mode)

    def snapshot(self) -> dict[str, bytes]:
        lock = self.base / LOCK_PATH.lstrip("/")
        files = (path for path in self.base.rglob("*") if path.is_file() and path != lock)
        return {str(path.relative_to(self.base)): path.read_bytes() for path in files}


class BootTree(RecordedTree):
    """A recorded tree whose only program is ``tool``."""

    def __init__(self, base: Path, name: str, tool: Tool = no_tool) -> None:
        super().__init__(base, name)
        self.tool = tool
        self.commands: list[tuple[str, ...]] = []

    def run(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        self.commands.append(tuple(argv))
        rc, words = self.tool(argv, cwd)
        return CommandResult(tuple(argv), rc, "", words)

    def state(self) -> dict[str, t.Any]:
        return read_boot_state(self.root, Ledger.read(self.root))

    def entries(self) -> list[dict[str, t.Any]]:
        return list(self.state()["entries"])

    def lines(self) -> dict[tuple[str, str], str]:
        """Kernel and title of every entry → its line."""
        return {(entry["kernel"], entry["title"]): " ".join(entry["args"]) for entry in self.entries()}

    def next_kernel(self) -> str:
        (kernel,) = [entry["kernel"] for entry in self.entries() if entry["default"]]
        return str(kernel)

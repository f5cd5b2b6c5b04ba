# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module import reading
from tests.unit.plugins.config_spaces import ROOT_PORT, config_space, pcie
from tests.unit.plugins.host_tree import HostTree

PORT = "0000:00:1c.0"
LOG = "Linux version 6.12\nIntel PCH root port ACS workaround enabled\nPCIe ACS overrides enabled\n"


class LiveRoot(Root):
    """A tree that answers as the machine itself, so that programs are asked."""

    @property
    def is_live(self) -> bool:
        return True


def test_the_kernels_log_is_read_once_for_all_who_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = HostTree(tmp_path)
    # A root port whose isolation the log decides, and an override that the log confirms.
    port = tree.function(PORT, ids="8086:8c10", class_code="060400", bridge=True)
    (port / "config").write_bytes(config_space([pcie(ROOT_PORT)], header_type=1))
    tree.write("/proc/cmdline", "ro pcie_acs_override=downstream\n")
    tree.write("/usr/bin/journalctl", "")
    started: list[str] = []

    def run(argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        started.append(argv[0])
        return CommandResult(tuple(argv), 0, LOG, "")

    monkeypatch.setattr(reading, "Root", lambda _path: LiveRoot(str(tmp_path)))
    module: Any = SimpleNamespace(params={"acs_override": [], "root": "/"})
    facts = reading.groups_facts(module, run).data["ansible_facts"]["iommu"]
    assert facts["acs_override"]["running"]["patched"] is True
    assert facts["platform"]["pch_workaround"] is True
    assert started == ["journalctl"]

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.state import read_host
from tests.unit.plugins.reference_hosts import shared_slot


def no_program(argv: Sequence[str], cwd: str | None = None) -> CommandResult:
    raise AssertionError(f"nothing is started to read a tree, and this was: {argv}")


@pytest.mark.parametrize(
    ("wanted", "looked"),
    [
        ({}, False),
        ({"iommu": {"enabled": True}}, False),
        ({"iommu": {"enabled": True, "acs_override": []}}, False),
        ({"iommu": {"enabled": True, "acs_override": ["downstream"]}}, True),
    ],
)
def test_kernels_are_looked_into_only_for_an_override_that_is_wanted(
    tmp_path: Path, wanted: dict[str, Any], looked: bool
) -> None:
    tree = shared_slot(tmp_path)
    tree.write("/proc/sys/kernel/osrelease", "6.12.1\n")
    tree.write("/proc/kallsyms", "0 t pci_dev_specific_acs_enabled\n0 t pcie_acs_overrides\n")
    following = read_host(tree.root, no_program, wanted)["iommu"]["acs_override"]["next_boot"]
    assert following["patched"] is (True if looked else None)

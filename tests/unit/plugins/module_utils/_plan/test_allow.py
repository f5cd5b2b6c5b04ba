# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu import verdict
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.allow import DEVICE_KEYS, device_keys
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.encryption import HOST_KEYS

ROOT = Path(__file__).parents[5]
RULES = (ROOT / "docs/rules.md").read_text()


def test_every_key_is_explained_and_no_other() -> None:
    rows = [line.split("|")[3] for line in RULES.splitlines() if line.startswith("| `")]
    others = re.findall(r"`(\w+)` \(", RULES)
    assert {key for row in rows for key in re.findall(r"`(\w+)`", row)} | set(others) == DEVICE_KEYS


def test_every_key_of_the_host_is_explained_and_no_other() -> None:
    rows = [line.split("|")[3] for line in RULES.splitlines() if line.startswith("| the root file system")]
    assert {key for row in rows for key in re.findall(r"`(\w+)`", row)} == HOST_KEYS
    documentation = (ROOT / "plugins/modules/host_plan.py").read_text()
    assert set(re.findall(r"V\((\w+)\)", documentation)) >= HOST_KEYS


def test_every_rule_is_explained_and_no_other() -> None:
    source = Path(verdict.__file__).read_text()
    assert set(re.findall(r'"([A-Z]+-[A-Z0-9]+)"', source)) == set(
        re.findall(r"^\| `([A-Z]+-\w+)`", RULES, re.MULTILINE)
    )


def test_the_writers_documentation_names_every_key() -> None:
    documentation = (ROOT / "plugins/modules/vfio_bind.py").read_text()
    assert set(re.findall(r"V\((\w+)\)", documentation)) >= DEVICE_KEYS


def test_a_key_that_permits_nothing_is_refused_by_name() -> None:
    assert device_keys(["storage", "in_use"], "allow") == ("storage", "in_use")
    assert device_keys(None, "allow") == ()
    with pytest.raises(InputError, match="allow has no key 'root_disk': expected any of bmc, "):
        device_keys(["root_disk"], "allow")

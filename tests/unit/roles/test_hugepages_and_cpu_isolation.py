# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles ``hugepages`` and ``cpu_isolation`` say about themselves, against the plan and the module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan import cpu_isolation, hugepages
from ansible_collections.virtfleet.passthrough.plugins.modules import hugepages as hugepages_module

ROLES = Path(__file__).parents[3] / "roles"


@pytest.mark.parametrize(
    ("role", "defaults"), [("hugepages", hugepages.DEFAULTS), ("cpu_isolation", cpu_isolation.DEFAULTS)]
)
def test_defaults_are_the_same_wherever_they_are_written(role: str, defaults: dict[str, Any]) -> None:
    said = {f"{role}_{name}": value for name, value in defaults.items() if value is not None}
    assert yaml.safe_load((ROLES / role / "defaults/main.yml").read_text()) == said
    options = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"][
        "options"
    ]
    assert {name: option["default"] for name, option in options.items() if "default" in option} == said
    assert {f"{role}_{name}" for name in defaults} < set(options)


def test_the_modules_defaults_are_the_plans() -> None:
    options = yaml.safe_load(hugepages_module.DOCUMENTATION)["options"]
    assert {name: options[name].get("default") for name in hugepages.DEFAULTS} == dict(hugepages.DEFAULTS)
    assert tuple(options["timing"]["choices"]) == hugepages.TIMINGS

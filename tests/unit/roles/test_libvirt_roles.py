# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import DomainSpec
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan import libvirt_domains, libvirt_host

ROLES = Path(__file__).parents[3] / "roles"
FAMILIES = sorted(set(libvirt_host._FAMILIES.values()))


def _load(path: str) -> Any:
    return yaml.safe_load((ROLES / path).read_text())


def _options(role: str) -> dict[str, Any]:
    options: dict[str, Any] = _load(f"{role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    return options


def test_role_documents_what_the_plan_takes() -> None:
    documented = set(_options("libvirt_domains")["libvirt_domains_list"]["options"])
    assert documented == {*DomainSpec.option_names(), *libvirt_domains._OWN_OPTIONS}


def test_role_hands_every_option_to_the_module() -> None:
    tasks = _load("libvirt_domains/tasks/main.yml")
    (handed,) = (
        task["virtfleet.passthrough.libvirt_domain"] for task in tasks if "virtfleet.passthrough.libvirt_domain" in task
    )
    assert set(handed) == {*DomainSpec.option_names(), *libvirt_domains._OWN_OPTIONS} - {"pinning"}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_names_for_every_part(family: str) -> None:
    names = _load(f"libvirt_host/vars/{family}.yml")
    assert set(names["__libvirt_host_packages"]) == set(libvirt_host._PARTS)
    assert all(names["__libvirt_host_packages"].values())
    assert names["__libvirt_host_units"]

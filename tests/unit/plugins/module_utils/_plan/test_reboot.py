# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Change, Verdict
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.reboot import (
    NOT_ASKED,
    RunningDomains,
    reboot_json,
    running_domains,
)
from tests.unit.plugins.planned_host import host_with


@pytest.mark.parametrize(
    ("facts", "names", "unknown"),
    [
        ({}, None, "libvirt_domains_list is undefined"),
        ({"libvirt_domains": {"running": None, "reason": None}}, None, "libvirt_domains_list names no domain"),
        ({"libvirt_domains": {"running": None, "reason": "no libvirt"}}, None, "no libvirt"),
        ({"libvirt_domains": {"running": [], "reason": None}}, (), None),
        ({"libvirt_domains": {"running": ["db", "web"], "reason": None}}, ("db", "web"), None),
    ],
)
def test_who_runs_is_known_or_it_is_said_why_not(
    facts: dict[str, Any], names: tuple[str, ...] | None, unknown: str | None
) -> None:
    running = running_domains(host_with(facts))
    assert running.names == names
    assert running.unknown == unknown or (unknown or "") in (running.unknown or "")


def test_the_components_that_need_the_reboot_are_named() -> None:
    verdicts = {
        "iommu": Verdict(pending_reboot=True),
        "hugepages": Verdict(changes=(Change("pages", "0", "4"),)),
        "vfio": Verdict(changes=(Change("device", None, "held", after_reboot=True),)),
    }
    assert reboot_json(verdicts, NOT_ASKED)["components"] == ["iommu", "vfio"]
    assert reboot_json(verdicts, RunningDomains(("web",)))["running_domains"] == ["web"]
    assert not reboot_json({"hugepages": verdicts["hugepages"]}, NOT_ASKED)["required"]

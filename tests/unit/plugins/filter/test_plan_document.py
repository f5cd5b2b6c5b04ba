# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import yaml

from ansible_collections.virtfleet.passthrough.plugins.filter import plan_document
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Change, Verdict
from tests.unit.plugins.planned_host import plan_with

EXTRA = {"owned": {}, "boot_id": "b", "boot_pending": False}
DRIFT = {**plan_with({"vfio": Verdict(changes=(Change("device", None, "held"),))}).to_json(), **EXTRA}
HOSTVARS: dict[str, Any] = {
    "a": {"plan_result": DRIFT},
    "b": {"plan_result": {"unreachable": True, "msg": "Connection refused"}},
    "c": {},
    "not of this play": {"plan_result": DRIFT},
}


def test_hosts_of_the_play_by_what_they_registered() -> None:
    (function,) = plan_document.FilterModule().filters().values()
    found = function(["a", "b", "c"], HOSTVARS)
    statuses = {host: entry["status"] for host, entry in found["hosts"].items()}
    assert statuses == {"a": "drift", "b": "unreachable", "c": "unreachable"}
    assert (found["complete"], found["exit_code"]) == (False, 4)


def test_the_documented_sample_has_the_documents_keys() -> None:
    sample = yaml.safe_load(plan_document.RETURN)["_value"]["sample"]
    found = plan_document.plan_document(["b"], HOSTVARS)
    assert set(sample) == set(found)
    assert set(sample["hosts"]["node2"]) == set(found["hosts"]["b"])

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.fleet import (
    EXIT_CODES,
    Outcome,
    document,
    exit_code,
    fleet_table,
    outcome_of,
    worst,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Change, Refusal, Verdict
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.reboot import NOT_ASKED, RunningDomains
from tests.unit.plugins.planned_host import plan_with

GONE = {"unreachable": True, "msg": "Connection refused"}
BROKEN = {"failed": True, "msg": "no Python"}
# From the worst, as operating.md has it.
CODES = (4, 2, 11, 10, 0)


def result(running: RunningDomains = NOT_ASKED, **verdicts: Verdict) -> dict[str, Any]:
    """What ``host_plan`` returns for a host with these verdicts."""
    extra = {"owned": {}, "boot_id": "b", "boot_pending": False, "summary": ["for people"], "changed": False}
    return {**plan_with(verdicts, running).to_json(), **extra}


DRIFT = result(vfio=Verdict(changes=(Change("a", None, "1", after_reboot=True), Change("b", "1", None))))
REFUSED = result(vfio=Verdict(refusals=(Refusal("0000:01:00.0", "holds /"),)))
PENDING = result(RunningDomains(("db", "web")), iommu=Verdict(pending_reboot=True))
IN_SYNC = result(iommu=Verdict(warnings=("no watchdog",)))


@pytest.mark.parametrize(("one", "other"), list(itertools.product(EXIT_CODES, repeat=2)))
def test_the_worst_host_decides_the_exit_code(one: str, other: str) -> None:
    both = {EXIT_CODES[one], EXIT_CODES[other]}
    assert exit_code([Outcome("a", one), Outcome("b", other)]) == min(both, key=CODES.index)


def test_a_fleet_without_hosts_is_in_sync() -> None:
    assert (worst([]), exit_code([])) == ("in_sync", 0)


@pytest.mark.parametrize(
    ("found", "status", "message"),
    [
        (DRIFT, "drift", ""),
        (GONE, "unreachable", "Connection refused"),
        (BROKEN, "failed", "no Python"),
        ({"skipped": True}, "failed", "no plan was made"),
    ],
)
def test_a_result_is_a_plan_or_says_why_not(found: dict[str, Any], status: str, message: str) -> None:
    outcome = outcome_of("node", found)
    assert (outcome.status, outcome.message) == (status, message)


def test_the_document_has_every_host() -> None:
    written = document({"a": DRIFT, "b": GONE, "c": BROKEN, "d": IN_SYNC})
    assert {host: entry["status"] for host, entry in written["hosts"].items()} == {
        "a": "drift",
        "b": "unreachable",
        "c": "failed",
        "d": "in_sync",
    }
    assert (written["schema"], written["complete"], written["status"], written["exit_code"]) == (
        1,
        True,
        "unreachable",
        4,
    )
    assert written == json.loads(json.dumps(written))


def test_a_host_without_an_answer_is_in_the_document_and_makes_it_incomplete() -> None:
    written = document({"a": IN_SYNC, "b": None})
    assert not written["complete"]
    assert written["hosts"]["b"]["status"] == "unreachable"
    assert "no answer" in written["hosts"]["b"]["msg"]


def test_the_document_has_the_plan_and_not_what_only_roles_need() -> None:
    entry = document({"a": REFUSED})["hosts"]["a"]
    assert entry["components"]["vfio"]["refusals"] == [{"device": "0000:01:00.0", "reason": "holds /", "allow": None}]
    assert "apply" not in entry["components"]["vfio"]
    assert not {"summary", "changed"} & set(entry)


def test_the_table_has_a_row_for_each_host_by_name_and_counts() -> None:
    outcomes = [outcome_of(host, found) for host, found in {"d": GONE, "c": IN_SYNC, "b": PENDING, "a": DRIFT}.items()]
    assert [line.text for line in fleet_table(outcomes, 100)] == [
        "HOST  STATUS        REBOOT                   WHAT",
        "a     drift         needed                   vfio: 2 changes",
        "b     needs reboot  needed, stops 2 domains  iommu: waits for the reboot",
        "c     in sync       -                        iommu: 1 warning",
        "d     UNREACHABLE   ?                        Connection refused",
        "4 hosts: 1 in sync, 1 needs reboot, 1 drift, 1 UNREACHABLE",
    ]


def test_a_host_that_was_changed_after_its_plan_shows_no_present_state() -> None:
    row = fleet_table([Outcome("a", "changed", DRIFT)], 100)[1]
    assert row.text == "a     changed now  ?       before this run: vfio: 2 changes"
    assert row.kind == "changed"

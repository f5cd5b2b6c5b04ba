# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import read_boot_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.writer import set_owners
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.command_line import line_refusals
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.decision import make_plan
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Change, HostState, Verdict
from tests.unit.plugins.module_utils._cmdline.grub_host import GrubHost
from tests.unit.plugins.planned_host import host_with

LONG = ["a=" + "x" * 1000]


def changing(*arguments: str) -> Verdict:
    return Verdict(changes=(Change("x", None, "y"),), apply={"kernel_args": list(arguments)})


def on(host: HostState, **boot: Any) -> HostState:
    return dataclasses.replace(host, boot={**host.boot, **boot})


def reasons(host: HostState, **verdicts: Verdict) -> dict[str, list[str]]:
    found = line_refusals(host, verdicts)
    return {name: [refusal.reason for refusal in refusals] for name, refusals in found.items()}


def test_what_each_could_have_and_all_together_cannot() -> None:
    host = host_with({})
    more = ["b=" + "y" * 1000]
    assert reasons(host, iommu=changing(*LONG), vfio=Verdict()) == {}
    found = reasons(host, iommu=changing(*LONG), vfio=changing(*more), hugepages=changing("c"))
    assert list(found) == ["iommu", "vfio", "hugepages"]
    assert all("'Linux 0' would be 20" in reason and "bytes long" in reason for (reason,) in found.values())


def test_what_others_wrote_earlier_counts_and_what_gets_shorter_is_free() -> None:
    written = {"kernel_args": {"vfio": ["b=" + "y" * 1000]}}
    host = host_with({}, ledger=written, entries=[f"ro quiet b={'y' * 1000}"])
    assert list(reasons(host, iommu=changing(*LONG))) == ["iommu"]
    assert reasons(host, iommu=changing(*LONG), vfio=changing()) == {}


def test_a_line_that_is_too_long_already_may_get_shorter() -> None:
    line = f"b={'y' * 1500} c={'z' * 1500}"
    host = host_with({}, ledger={"kernel_args": {"vfio": line.split()}}, entries=[f"ro {line}"])
    assert reasons(host, vfio=changing(line.split(maxsplit=1)[0])) == {}


def test_an_argument_that_the_loader_cannot_carry() -> None:
    host = host_with({})
    assert reasons(host, user=changing('"a=b c"')) == {}
    assert reasons(host, user=changing("a=$b")) == {
        "user": ["kernel argument 'a=$b' (wanted by user): the configuration is read by a shell"]
    }
    plain = {"reason": "no blanks", "blanks": False, "apart": {"quiet": "set it yourself"}}
    found = reasons(on(host, carriage=plain), user=changing('"a=b c"', "quiet"))
    assert [reason.rpartition(": ")[2] for reason in found["user"]] == ["no blanks", "set it yourself"]


def test_owners_that_contradict_each_other_are_both_told() -> None:
    found = reasons(host_with({}), iommu=changing("iommu=pt"), user=changing("iommu=nopt"))
    assert found == {
        "iommu": ["'iommu=pt' (wanted by iommu) contradicts 'iommu=nopt' of the owner user: take one of them away"],
        "user": ["'iommu=nopt' (wanted by user) contradicts 'iommu=pt' of the owner iommu: take one of them away"],
    }


def test_an_owner_that_nobody_plans_for_counts_as_it_was_written() -> None:
    host = host_with({}, ledger={"kernel_args": {"user": ["iommu=nopt"]}}, entries=["ro quiet iommu=nopt"])
    assert "of the owner user" in reasons(host, iommu=changing("iommu=pt"))["iommu"][0]
    # Goes away in the same run.
    assert reasons(host, iommu=changing("iommu=pt"), user=changing()) == {}


def test_without_a_boot_loader_nothing_is_known_of_lines() -> None:
    assert reasons(on(host_with({}), bootloader=None, carriage=None), iommu=changing("a=$b")) == {}


def test_the_plan_refuses_before_anything_is_written() -> None:
    facts: dict[str, Any] = {
        "kernel_arguments": {
            "clocksource": None,
            "clocksources": [],
            "stable_tsc": True,
            "builtin": [],
            "storage_in_use": [],
        }
    }
    wanted = {"iommu": {"enabled": True}, "kernel_arguments": {"extra": ["intel_iommu=off"]}}
    plan = make_plan(wanted, host_with(facts))
    assert {name: verdict.status for name, verdict in plan.verdicts.items()} == {
        "iommu": "refused",
        "kernel_arguments": "refused",
    }
    assert plan.to_json()["kernel_arguments"] == {}


@pytest.mark.parametrize(
    "wanted",
    [
        {"iommu": LONG, "vfio": ["b=" + "y" * 1000]},
        {"user": ["a=$b"]},
        {"iommu": ["iommu=pt"], "user": ["iommu=nopt"]},
        {"iommu": ["iommu=pt"], "user": ['"a=b c"']},
    ],
)
def test_plan_and_writer_agree(tmp_path: Path, wanted: dict[str, list[str]]) -> None:
    grub = GrubHost(tmp_path)
    host = dataclasses.replace(host_with({}), boot=read_boot_state(grub.root, Ledger()))
    planned = reasons(host, **{owner: changing(*arguments) for owner, arguments in wanted.items()})
    written = ""
    with locked(grub.root, False) as ledger:
        try:
            set_owners(grub.root, grub.run, ledger, wanted, check_mode=True)
        except RefusedError as exc:
            written = exc.reason
    assert [written] == ([reason for found in planned.values() for reason in found][:1] or [""])

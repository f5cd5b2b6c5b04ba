# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.arguments import judge_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState
from tests.unit.plugins.planned_host import host_with

WANTED = ["intel_iommu=on", "iommu=pt"]
OURS = {"kernel_args": {"iommu": WANTED}}
LINE = f"ro quiet {' '.join(WANTED)}"


def judged(host: HostState, wanted: list[str], *keys: str) -> tuple[str, bool]:
    """The setting's texts before and after, where something would be written, and whether a reboot is pending."""
    verdict = judge_arguments(host, "iommu", wanted, keys)
    assert verdict.refusals == ()
    changes = [f"{change.before} -> {change.after}" for change in verdict.changes]
    assert len(changes) <= 1
    return "".join(changes), verdict.pending_reboot


# configured (what we wrote), every entry, the running line -> what is to be written, and whether a reboot is pending
STATES: dict[str, tuple[dict[str, Any], str, bool]] = {
    "nowhere": ({}, "None -> intel_iommu=on iommu=pt", False),
    "written, not booted": ({"ledger": OURS, "entries": [LINE]}, "", True),
    "written and booted": ({"ledger": OURS, "entries": [LINE], "running": f"BOOT_IMAGE=/vmlinuz {LINE}"}, "", False),
    "runs, and would be gone after the reboot": ({"running": LINE}, "None -> intel_iommu=on iommu=pt", False),
    "another kernel's entry lacks them": (
        {"ledger": OURS, "entries": [LINE, "ro quiet"], "running": LINE},
        "intel_iommu=on iommu=pt -> intel_iommu=on iommu=pt",
        False,
    ),
    "one of them is lost": (
        {"ledger": OURS, "entries": ["ro intel_iommu=on"], "running": LINE},
        "intel_iommu=on iommu=pt -> intel_iommu=on iommu=pt",
        False,
    ),
    "somebody else wrote the very same": ({"entries": [LINE], "running": LINE}, "", False),
}


@pytest.mark.parametrize("state", STATES)
def test_configured_next_boot_and_running_are_told_apart(state: str) -> None:
    given, change, pending = STATES[state]
    assert judged(host_with({}, **given), WANTED) == (change, pending)


def test_a_change_says_how_many_entries_lack_the_arguments() -> None:
    host = host_with({}, ledger=OURS, entries=[LINE, "ro quiet"], running=LINE)
    assert [change.why for change in judge_arguments(host, "iommu", WANTED).changes] == [
        "1 of 2 boot entries lack them"
    ]
    # Nothing lacks what is only taken away.
    host = host_with({}, ledger=OURS, entries=[LINE], running=LINE)
    assert [change.why for change in judge_arguments(host, "iommu", WANTED[:1]).changes] == [None]


def test_nothing_wanted_and_nothing_there() -> None:
    assert judged(host_with({}), []) == ("", False)


def test_a_value_is_compared_as_a_whole_token() -> None:
    host = host_with({}, entries=["ro hugepages=10"], running="ro hugepages=10")
    assert judged(host, ["hugepages=1"]) == ("None -> hugepages=1", False)


def test_what_we_wrote_and_no_longer_want_is_taken_away() -> None:
    host = host_with({}, ledger=OURS, entries=[LINE], running=LINE)
    assert judged(host, ["intel_iommu=on"]) == ("intel_iommu=on iommu=pt -> intel_iommu=on", False)
    assert judged(host, []) == ("intel_iommu=on iommu=pt -> None", False)


def test_what_is_gone_from_the_next_boot_and_still_runs_waits_for_the_reboot() -> None:
    host = host_with({}, running=LINE)
    assert judged(host, [], "intel_iommu", "iommu") == ("", True)
    # Of the parameters that nobody named, none is ours to wait for.
    assert judged(host, []) == ("", False)


def test_what_somebody_else_keeps_for_the_next_boot_does_not_wait() -> None:
    host = host_with({}, entries=["ro iommu=pt"], running="ro iommu=pt")
    assert judged(host, [], "iommu") == ("", False)


@pytest.mark.parametrize("foreign", ["intel_iommu=off", "intel-iommu=off"])
def test_a_contradiction_by_somebody_else_is_refused_once(foreign: str) -> None:
    host = host_with({}, entries=[f"ro {foreign}", f"ro {foreign} quiet"])
    (refusal,) = judge_arguments(host, "iommu", WANTED).refusals
    assert f"'intel_iommu=on' (wanted by iommu) contradicts '{foreign}'" in refusal.reason
    assert refusal.device is None


FORMER = {"kernel_args": {"iommu": ["iommu=nopt"], "vfio": ["virtfleet_passthrough.generation=1"]}}


def test_our_own_former_value_is_no_contradiction() -> None:
    host = host_with({}, ledger=FORMER, entries=["ro quiet iommu=nopt virtfleet_passthrough.generation=1"])
    assert judged(host, ["iommu=pt"])[0] == "iommu=nopt -> iommu=pt"
    assert judge_arguments(host, "iommu", ["iommu=pt"]).refusals == ()


def test_our_part_torn_apart_by_somebody_is_theirs_now() -> None:
    host = host_with({}, ledger=FORMER, entries=["ro iommu=nopt quiet virtfleet_passthrough.generation=1"])
    (refusal,) = judge_arguments(host, "iommu", ["iommu=pt"]).refusals
    assert "contradicts 'iommu=nopt'" in refusal.reason


def test_both_sides_of_a_change_that_was_cut_off_are_ours() -> None:
    ledger = {"kernel_args": {"iommu": ["iommu=pt"]}, "kernel_line": {"blocks": [["iommu=nopt"], ["iommu=pt"]]}}
    host = host_with({}, ledger=ledger, entries=["ro quiet iommu=nopt", "ro quiet iommu=pt"])
    verdict = judge_arguments(host, "iommu", ["iommu=pt"])
    assert (verdict.refusals, len(verdict.changes)) == ((), 1)


def test_a_missing_drop_in_is_drift_although_every_entry_is_right() -> None:
    host = host_with({}, ledger=OURS, entries=[LINE], running=LINE)
    gone = dataclasses.replace(host, boot={**host.boot, "intact": False})
    assert [change.setting for change in judge_arguments(gone, "iommu", WANTED).changes] == ["configuration of grub"]


def test_a_drop_in_that_somebody_edited_is_refused_where_it_must_change() -> None:
    host = host_with({}, ledger=OURS, entries=[LINE], running=LINE)
    edited = dataclasses.replace(host, boot={**host.boot, "intact": False, "obstacle": "it was edited"})
    assert [refusal.reason for refusal in judge_arguments(edited, "iommu", WANTED).refusals] == ["it was edited"]


def test_a_memory_test_among_the_entries_is_left_alone() -> None:
    host = host_with({}, ledger=OURS, entries=[LINE], running=LINE)
    memtest = {"kernel": "memtest86+x64.bin", "title": "memtest", "args": [], "rescue": False, "managed": False}
    more = dataclasses.replace(host, boot={**host.boot, "entries": [*host.boot["entries"], memtest]})
    assert judged(more, WANTED) == ("", False)


def test_rescue_entries_are_left_alone() -> None:
    host = host_with({}, ledger=OURS, entries=[LINE], running=LINE)
    assert any(entry["rescue"] and "iommu=pt" not in entry["args"] for entry in host.boot["entries"])
    assert judged(host, WANTED) == ("", False)


@pytest.mark.parametrize(
    ("running", "wanted", "refused"), [("ro", WANTED, True), (LINE, WANTED, False), ("ro", [], False)]
)
def test_without_a_boot_loader_only_what_runs_already_is_fine(running: str, wanted: list[str], refused: bool) -> None:
    host = host_with({}, running=running)
    boot = {**host.boot, "entries": [], "next_boot": [], "bootloader": None, "reason": "No supported boot loader."}
    verdict = judge_arguments(dataclasses.replace(host, boot=boot), "iommu", wanted)
    assert (verdict.changes, verdict.pending_reboot) == ((), False)
    reasons = [refusal.reason for refusal in verdict.refusals]
    assert reasons == (["iommu needs 'intel_iommu=on iommu=pt'. No supported boot loader."] if refused else [])

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.decision import Plan
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    DRIFT,
    IN_SYNC,
    Change,
    Refusal,
    Verdict,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.reboot import (
    NOT_ASKED,
    Controller,
    Reboot,
    RunningDomains,
    judge_reboot,
    running_domains,
)
from tests.unit.plugins.planned_host import BOOT_ID, host_with

ARGUMENTS = Verdict(changes=(Change("args", None, "a", after_reboot=True),), apply={"kernel_args": ["a"]})
# A device that driverctl moves: nothing of the next boot's line or image changes.
RUNTIME = Verdict(changes=(Change("device", "e1000e", "vfio-pci", after_reboot=True),))
PAGES = Verdict(changes=(Change("pages", "0", "4"),), apply={"kernel_args": ["hugepages=4"]})
IMAGE = Verdict(changes=(Change("image", None, "rebuilt"),))
WRITTEN = Verdict(pending_reboot=True)
SETTLED = Verdict()
POSSIBLE: dict[str, Any] = {"state": "none", "stale": [], "last_words": [], "obstacle": None, "not_covered": []}
NOBODY = RunningDomains(())


def judged(
    verdicts: dict[str, Verdict], trial: dict[str, Any], running: RunningDomains = NOBODY, **options: Any
) -> Reboot:
    host = dataclasses.replace(host_with({}), trial={**POSSIBLE, **trial})
    return judge_reboot({"reboot": True, **options}, verdicts, host, running)


def reasons(refusals: tuple[Refusal, ...]) -> str:
    return "; ".join(refusal.reason for refusal in refusals)


@pytest.mark.parametrize(
    ("facts", "files", "names", "unknown"),
    [
        ({}, None, None, "captured tree"),
        ({}, ["web"], ("web",), None),
        ({"libvirt_domains": {"running": None, "reason": None}}, [], (), None),
        ({"libvirt_domains": {"running": None, "reason": "no libvirt"}}, None, None, "no libvirt"),
        ({"libvirt_domains": {"running": [], "reason": None}}, ["gone"], (), None),
        ({"libvirt_domains": {"running": ["db", "web"], "reason": None}}, [], ("db", "web"), None),
    ],
)
def test_who_runs_is_known_or_it_is_said_why_not(
    facts: dict[str, Any], files: list[str] | None, names: tuple[str, ...] | None, unknown: str | None
) -> None:
    domains = None if files is None else [{"name": name, "uuid": None} for name in files]
    running = running_domains(dataclasses.replace(host_with(facts), running_domains=domains))
    assert running.names == names
    assert running.unknown == unknown or (unknown or "") in (running.unknown or "")


def test_the_components_that_need_the_reboot_are_named() -> None:
    verdicts = {"iommu": WRITTEN, "hugepages": Verdict(changes=(Change("pages", "0", "4"),)), "vfio": RUNTIME}
    told = judge_reboot(None, verdicts, host_with({}), RunningDomains(("web",))).to_json()
    assert (told["components"], told["running_domains"]) == (["iommu", "vfio"], ["web"])
    assert not judge_reboot(None, {"hugepages": verdicts["hugepages"]}, host_with({}), NOT_ASKED).required


@pytest.mark.parametrize(
    ("verdicts", "options", "trial"),
    [
        ({"iommu": ARGUMENTS}, {}, True),
        ({"iommu": WRITTEN, "initramfs": IMAGE}, {}, True),
        ({"iommu": ARGUMENTS}, {"trial_mode": "off"}, False),
        ({"iommu": ARGUMENTS}, {"reboot": False}, False),
        # Nothing is left to be tried: what boots by default is the new configuration already.
        ({"iommu": WRITTEN}, {}, False),
        ({"vfio": RUNTIME}, {}, False),
        # A kernel that came later needs its image, and this boot is fine.
        ({"iommu": SETTLED, "initramfs": IMAGE}, {}, False),
        ({"iommu": SETTLED}, {}, False),
        # Pages of the running system: the line that would be tried is the default entry's own.
        ({"iommu": WRITTEN, "hugepages": PAGES}, {}, False),
    ],
)
def test_a_reboot_is_a_trial_where_line_or_image_of_the_next_boot_change(
    verdicts: dict[str, Verdict], options: dict[str, Any], trial: bool
) -> None:
    assert judged(verdicts, {}, **options).trial is trial


def test_where_no_trial_is_possible_the_way_without_one_is_named() -> None:
    impossible = {"obstacle": "no boot on trial is possible on this machine: /boot is on LVM"}
    found = judged({"iommu": ARGUMENTS}, impossible)
    assert "/boot is on LVM. boot_trial_mode: off boots without a trial" in reasons(found.refusals)
    assert not judged({"iommu": ARGUMENTS}, impossible, trial_mode="off").refusals
    assert not judged({"iommu": WRITTEN}, impossible).refusals


@pytest.mark.parametrize(
    ("starting", "verdicts", "covered"),
    [
        ("any", {"iommu": ARGUMENTS}, True),
        ("new", {"iommu": ARGUMENTS, "initramfs": IMAGE}, True),
        # The present image is tried with the new line.
        ("new", {"iommu": ARGUMENTS}, False),
        ("new", {"iommu": ARGUMENTS, "initramfs": SETTLED}, False),
        ("none", {"iommu": ARGUMENTS, "initramfs": IMAGE}, False),
        ("none", {"iommu": WRITTEN}, True),
    ],
)
def test_a_watchdog_counts_where_the_image_on_trial_starts_it(
    starting: str, verdicts: dict[str, Verdict], covered: bool
) -> None:
    warnings = judged(verdicts, {"early_watchdog": starting}).warnings
    assert any("does not start the hardware watchdog" in warning for warning in warnings) is not covered


def test_what_a_trial_does_not_cover_is_said_before_it_is_made() -> None:
    blind = {"not_covered": ["an early hang is not covered: no hardware watchdog was found"]}
    assert judged({"iommu": ARGUMENTS}, blind).warnings == tuple(blind["not_covered"])
    assert not judged({"iommu": SETTLED}, blind).warnings


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        ({"vfio": replace(ARGUMENTS, outlasts=("/etc/driverctl.d/x",))}, "/etc/driverctl.d/x counts"),
        ({"vfio": ARGUMENTS}, None),
        ({"iommu": ARGUMENTS, "vfio_options": Verdict(outlasts=("/etc/modprobe.d/x.conf",))}, "/etc/modprobe.d/x.conf"),
    ],
)
def test_what_an_old_entry_would_not_undo_is_said(verdicts: dict[str, Verdict], words: str | None) -> None:
    warnings = judged(verdicts, {}).warnings
    assert [words in warning for warning in warnings if words] == ([True] if words else [])
    assert words or not warnings
    assert not any("old boot entry" in warning for warning in judged(verdicts, {}, trial_mode="off").warnings)


@pytest.mark.parametrize(("verdict", "options"), [(ARGUMENTS, {"trial_mode": "off"}), (WRITTEN, {})])
def test_a_plain_reboot_does_not_look_like_a_safe_one(verdict: Verdict, options: dict[str, Any]) -> None:
    (warning,) = judged({"iommu": verdict}, {}, **options).warnings
    assert "does not come back by itself" in warning


@pytest.mark.parametrize(
    ("running", "options", "refused"),
    [
        (RunningDomains(("db", "web")), {}, True),
        (RunningDomains(("db",)), {"running_domains": "shutdown"}, False),
        (RunningDomains(("db",)), {"running_domains": "ignore"}, False),
        (RunningDomains(("db",)), {"reboot": False}, False),
        (NOBODY, {}, False),
        (RunningDomains(None, "a captured tree"), {}, False),
    ],
)
def test_what_runs_stands_against_the_reboot_unless_told(
    running: RunningDomains, options: dict[str, Any], refused: bool
) -> None:
    found = judged({"iommu": ARGUMENTS}, {}, running, **options)
    assert ("the reboot would stop what runs here" in reasons(found.refusals)) is refused
    assert not judged({"iommu": SETTLED}, {}, running, **options).refusals


@pytest.mark.parametrize(
    ("controller", "reason"),
    [
        (Controller(BOOT_ID), "this host is the machine that Ansible runs on"),
        (Controller("another", "AAAA-1"), "Ansible runs in the domain awx of this host"),
        (Controller("another", "AAAA-2"), None),
        (Controller(), None),
    ],
)
def test_the_machine_below_ansible_is_not_rebooted(controller: Controller, reason: str | None) -> None:
    domains: list[dict[str, str | None]] = [{"name": "web", "uuid": None}, {"name": "awx", "uuid": "aaaa-1"}]
    host = dataclasses.replace(host_with({}), trial=POSSIBLE, running_domains=domains)
    options = {"reboot": True, "running_domains": "ignore"}
    for verdict in (ARGUMENTS, WRITTEN):
        found = reasons(judge_reboot(options, {"iommu": verdict}, host, NOBODY, controller).refusals)
        assert found.startswith(reason) if reason else not found
    assert not judge_reboot(options, {"iommu": SETTLED}, host, NOBODY, controller).refusals
    assert not judge_reboot({}, {"iommu": ARGUMENTS}, host, NOBODY, controller).refusals


def test_a_trial_that_came_back_is_told_with_its_last_words() -> None:
    failed = {"state": "rolled_back", "last_words": ["one", "two", "Kernel panic", "the end"]}
    found = judged({"iommu": ARGUMENTS}, failed)
    assert found.trial
    assert "two / Kernel panic / the end" in found.warnings[0]
    assert "left no last words" in judged({"iommu": ARGUMENTS}, {"state": "rolled_back"}).warnings[0]


def test_a_running_trial_that_is_what_is_wanted_only_waits_for_its_commit() -> None:
    found = judged({"iommu": SETTLED, "libvirt_domains": ARGUMENTS}, {"state": "trying"}, RunningDomains(("db",)))
    assert (found.trying, found.trial, found.refusals) == (True, False, ())
    (warning,) = found.warnings
    assert "its deadline ends it" in warning
    # An audit in between must not call the host settled, and the proof before the commit must.
    plan = Plan({"iommu": SETTLED}, {}, found)
    assert (plan.status, plan.once_kept) == (DRIFT, IN_SYNC)


def test_what_a_run_that_was_cut_off_has_armed_is_told_to_whoever_may_reboot() -> None:
    (warning,) = judged({"iommu": ARGUMENTS}, {"state": "armed"}, reboot=False).warnings
    assert "the next reboot, whoever orders it" in warning
    assert not judged({"iommu": ARGUMENTS}, {"state": "armed"}).warnings


@pytest.mark.parametrize(
    ("verdict", "trial", "reason"),
    [
        (ARGUMENTS, {}, "what is wanted of iommu is not what it tries"),
        (SETTLED, {"stale": ["/boot/vmlinuz was changed since the trial was armed"]}, "/boot/vmlinuz was changed"),
    ],
)
def test_a_running_trial_of_something_else_is_not_built_upon(
    verdict: Verdict, trial: dict[str, Any], reason: str
) -> None:
    assert reason in reasons(judged({"iommu": verdict}, {"state": "trying", **trial}).refusals)

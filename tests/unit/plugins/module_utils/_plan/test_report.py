# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    SEVERITY,
    Change,
    Refusal,
    Verdict,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.reboot import NOT_ASKED, RunningDomains
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.report import host_table, summary
from tests.unit.plugins.planned_host import plan_with


def plan_of(running: RunningDomains = NOT_ASKED, **verdicts: Verdict) -> dict[str, Any]:
    return plan_with(verdicts, running).to_json()


def lines(verdict: Verdict, **devices: list[str]) -> list[str]:
    """The summary of a plan whose only component is ``vfio``."""
    return summary({**plan_of(vfio=verdict), "devices": devices})


def test_a_host_with_nothing_wanted() -> None:
    assert summary(plan_of()) == ["reboot: none is needed"]


def test_devices_come_first_and_the_reboot_last() -> None:
    found = lines(Verdict(pending_reboot=True), gpu=["0000:01:00.0", "0000:01:00.1"])
    assert found == [
        "device gpu: 0000:01:00.0, 0000:01:00.1",
        "vfio: written, waits for the reboot",
        "reboot: one is needed for vfio; the domains that it shuts down are not known (libvirt was not asked)",
    ]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (Change("huge pages", None, "4"), "  + huge pages: 4"),
        (Change("huge pages", "4", None), "  - huge pages: 4"),
        (Change("huge pages", "4", "8", after_reboot=True), "  ~ huge pages: 4 -> 8 (after the reboot)"),
        (
            Change("release 0000:01:00.0", "vfio-pci", "e1000e", why="vfio_devices does not select it any more"),
            "  ~ release 0000:01:00.0: vfio-pci -> e1000e, because vfio_devices does not select it any more",
        ),
    ],
)
def test_a_change_says_what_comes_goes_or_differs(change: Change, line: str) -> None:
    assert lines(Verdict(changes=(change,)))[:2] == ["vfio: will change", line]


@pytest.mark.parametrize(
    ("refusal", "line"),
    [
        (Refusal(None, "no boot loader"), "  refused: no boot loader"),
        (Refusal("0000:01:00.0", "holds /"), "  refused: 0000:01:00.0: holds /"),
        (
            Refusal("0000:01:00.0", "is the boot VGA", "boot_vga"),
            "  refused: 0000:01:00.0: is the boot VGA (allow: [boot_vga] would permit it)",
        ),
    ],
)
def test_a_refusal_names_the_device_the_reason_and_the_key(refusal: Refusal, line: str) -> None:
    assert lines(Verdict(refusals=(refusal,)))[:2] == ["vfio: REFUSED", line]


def test_assumptions_and_warnings_are_told_apart() -> None:
    found = lines(Verdict(assumptions=("groups are known after the reboot",), warnings=("no watchdog",)))
    assert found[:3] == ["vfio: in sync", "  assumed: groups are known after the reboot", "  warning: no watchdog"]


@pytest.mark.parametrize("status", SEVERITY)
def test_every_status_has_words(status: str) -> None:
    plan = plan_of(iommu=Verdict())
    plan["components"]["iommu"]["status"] = status
    assert summary(plan)[0] != f"iommu: {status}"
    assert status not in host_table(plan)[1].text


@pytest.mark.parametrize(
    ("running", "cost"),
    [
        (RunningDomains(()), "no domain is running"),
        (RunningDomains(("db",)), "it shuts down 1 running domain: db"),
        (RunningDomains(("db", "web")), "it shuts down 2 running domains: db, web"),
    ],
)
def test_a_reboot_says_whom_it_costs(running: RunningDomains, cost: str) -> None:
    verdicts = {"iommu": Verdict(pending_reboot=True), "vfio": Verdict(pending_reboot=True)}
    plan = plan_of(running, **verdicts)
    assert summary(plan)[-1] == f"reboot: one is needed for iommu, vfio; {cost}"
    assert host_table(plan)[-1].text == f"reboot     needed        for iommu, vfio; {cost}"


def test_nobody_pays_for_a_reboot_that_is_not_needed() -> None:
    assert summary(plan_of(RunningDomains(("db",)), vfio=Verdict()))[-1] == "reboot: none is needed"


def test_the_table_says_everything_that_the_summary_says() -> None:
    verdict = Verdict(
        changes=(Change("pages", "4", "8"), Change("image", None, "built"), Change("unit", "on", None)),
        refusals=(Refusal("0000:01:00.0", "holds /"),),
        warnings=("no watchdog",),
        assumptions=("groups stay",),
    )
    plan = {**plan_of(vfio=verdict), "devices": {"gpu": ["0000:01:00.0"]}}
    found = host_table(plan)
    assert [line.text for line in found] == [
        "COMPONENT   STATUS      WHAT AND WHY",
        "device gpu              0000:01:00.0",
        "vfio        REFUSED     ~ pages: 4 -> 8",
        "                        + image: built",
        "                        - unit: on",
        "                        refused: 0000:01:00.0: holds /",
        "                        assumed: groups stay",
        "                        warning: no watchdog",
        "reboot      not needed",
    ]
    kinds = ["", "", "changed", "added", "removed", "refused", "assumed", "warning", ""]
    assert [line.kind for line in found] == kinds

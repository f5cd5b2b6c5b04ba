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
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.report import summary


def lines(verdict: Verdict, **devices: list[str]) -> list[str]:
    """The summary of a plan whose only component is ``vfio``."""
    plan: dict[str, Any] = {
        "devices": devices,
        "components": {"vfio": verdict.to_json()},
        "reboot_required": verdict.reboot_required,
    }
    return summary(plan)


def test_a_host_with_nothing_wanted() -> None:
    assert summary({"devices": {}, "components": {}, "reboot_required": False}) == ["reboot: none is needed"]


def test_devices_come_first_and_the_reboot_last() -> None:
    found = lines(Verdict(pending_reboot=True), gpu=["0000:01:00.0", "0000:01:00.1"])
    assert found == [
        "device gpu: 0000:01:00.0, 0000:01:00.1",
        "vfio: written, waits for the reboot",
        "reboot: one is needed",
    ]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (Change("huge pages", None, "4"), "  + huge pages: 4"),
        (Change("huge pages", "4", None), "  - huge pages: 4"),
        (Change("huge pages", "4", "8", after_reboot=True), "  ~ huge pages: 4 -> 8 (after the reboot)"),
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
    component = {**Verdict().to_json(), "status": status}
    assert (
        summary({"devices": {}, "components": {"iommu": component}, "reboot_required": False})[0] != f"iommu: {status}"
    )

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.iommu import decide
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState
from tests.unit.plugins.planned_host import IOMMU_ON, host_with

INTEL, AMD = "GenuineIntel", "AuthenticAMD"
ON = {"enabled": True}
PASSTHROUGH = {"enabled": True, "passthrough_mode": True}


def host(vendor: str = INTEL, table: str | None = "dmar", active: bool = True, why: str = "", **more: Any) -> HostState:
    iommu = {**IOMMU_ON, "enabled": active, "hardware": table, "reason": None if active else why}
    return dataclasses.replace(host_with({}, **more), cpu_vendor=vendor, iommu=iommu)


@pytest.mark.parametrize(
    ("vendor", "table", "wanted", "arguments"),
    [
        (INTEL, "dmar", ON, ["intel_iommu=on"]),
        (INTEL, "dmar", PASSTHROUGH, ["intel_iommu=on", "iommu=pt"]),
        (AMD, "ivrs", ON, []),
        (AMD, "ivrs", PASSTHROUGH, ["iommu=pt"]),
        # The firmware's table decides: an emulated IOMMU need not be of the CPU's vendor.
        (AMD, "dmar", ON, ["intel_iommu=on"]),
        (INTEL, "ivrs", ON, []),
    ],
)
def test_the_parameter_is_that_of_the_hardware(
    vendor: str, table: str, wanted: dict[str, Any], arguments: list[str]
) -> None:
    for active in (True, False):
        verdict = decide(wanted, host(vendor, table, active), {})
        assert verdict.apply["kernel_args"] == arguments
        assert not any(argument.startswith("amd_iommu") for argument in arguments)


def test_the_parameter_is_made_explicit_where_the_iommu_is_on_already() -> None:
    verdict = decide(ON, host(), {})
    assert (verdict.status, verdict.reboot_required, verdict.assumptions) == ("drift", True, ())
    assert [change.after for change in verdict.changes] == ["intel_iommu=on"]


def test_an_amd_host_needs_nothing_written() -> None:
    assert decide(ON, host(AMD, "ivrs"), {}).status == "in_sync"


def test_written_and_not_booted_waits_for_the_reboot() -> None:
    ledger = {"kernel_args": {"iommu": ["intel_iommu=on"]}}
    written = host(active=False, why="off", ledger=ledger, entries=["ro intel_iommu=on"])
    verdict = decide(ON, written, {})
    assert (verdict.status, verdict.reboot_required) == ("pending_reboot", True)
    assert "only after the reboot" in verdict.assumptions[0]


def test_written_booted_and_on_is_in_sync() -> None:
    ledger = {"kernel_args": {"iommu": ["intel_iommu=on"]}}
    assert decide(ON, host(ledger=ledger, entries=["ro intel_iommu=on"], running="ro intel_iommu=on"), {}).status == (
        "in_sync"
    )


def test_a_passthrough_mode_that_is_no_longer_wanted_goes() -> None:
    ledger = {"kernel_args": {"iommu": ["intel_iommu=on", "iommu=pt"]}}
    line = "ro intel_iommu=on iommu=pt"
    (change,) = decide(ON, host(ledger=ledger, entries=[line], running=line), {}).changes
    assert (change.before, change.after) == ("intel_iommu=on iommu=pt", "intel_iommu=on")
    # Taken out of the entry, it still runs.
    gone = host(ledger={"kernel_args": {"iommu": ["intel_iommu=on"]}}, entries=["ro intel_iommu=on"], running=line)
    assert decide(ON, gone, {}).status == "pending_reboot"


def test_a_host_without_the_hardware_is_refused() -> None:
    for vendor in (INTEL, AMD):
        verdict = decide(ON, host(vendor, None, False, "the firmware describes no IOMMU"), {})
        assert verdict.status == "refused"
        assert "cannot be turned on from here: the firmware describes no IOMMU" in verdict.refusals[0].reason


def test_somebody_who_turned_it_off_is_asked_first() -> None:
    off = host(active=False, why="turned off by 'intel_iommu=off'", entries=["ro intel_iommu=off"])
    verdict = decide(ON, off, {})
    assert (verdict.status, verdict.assumptions) == ("refused", ())
    assert "'intel_iommu=off'" in verdict.refusals[0].reason


def test_asked_for_at_boot_and_still_off_is_refused_with_the_kernels_reason() -> None:
    line = "ro intel_iommu=on"
    stuck = host(active=False, why="the kernel made no groups", entries=[line], running=line)
    verdict = decide(ON, stuck, {})
    assert verdict.status == "refused"
    assert verdict.refusals[0].reason == ("the IOMMU is off although nothing asks for that: the kernel made no groups")


def test_an_amd_iommu_that_is_there_and_off_is_refused_because_no_parameter_turns_it_on() -> None:
    verdict = decide(ON, host(AMD, "ivrs", False, "the kernel does not use it"), {})
    assert verdict.status == "refused"
    assert verdict.refusals[0].reason == "the IOMMU is off although nothing asks for that: the kernel does not use it"


def test_an_amd_iommu_that_a_person_turned_off_is_named_once() -> None:
    off = host(AMD, "ivrs", False, "turned off", entries=["ro amd_iommu=off"], running="ro amd_iommu=off")
    verdict = decide(ON, off, {})
    assert [refusal.reason for refusal in verdict.refusals] == [
        "'amd_iommu=off' on the command line of the next boot turns the IOMMU off: take it away"
    ]


def test_what_turned_an_amd_iommu_off_and_was_taken_away_waits_for_the_reboot() -> None:
    verdict = decide(ON, host(AMD, "ivrs", False, "turned off", running="ro amd_iommu=off"), {})
    assert (verdict.status, verdict.reboot_required) == ("pending_reboot", True)


@pytest.mark.parametrize(
    ("vendor", "table", "argument", "said"),
    [
        (AMD, "ivrs", "amd_iommu=on", "no value that the kernel knows"),
        (AMD, "ivrs", "intel_iommu=on", "another vendor"),
        (INTEL, "dmar", "amd_iommu=fullflush", "another vendor"),
    ],
)
def test_parameters_without_effect_are_said_and_left_alone(vendor: str, table: str, argument: str, said: str) -> None:
    verdict = decide(ON, host(vendor, table, entries=[f"ro {argument}"], running=f"ro {argument}"), {})
    (warning,) = verdict.warnings
    assert argument in warning
    assert said in warning
    assert not any(argument in f"{change.before} {change.after}" for change in verdict.changes)


@pytest.mark.parametrize(
    ("effective", "said"),
    [(True, "only look isolated"), (False, "does nothing: the running kernel ignores it"), (None, "cannot be told")],
)
def test_an_override_is_never_silent(effective: bool | None, said: str) -> None:
    support = {"requested": ["downstream"], "patched": effective, "evidence": "the log", "effective": effective}
    present = host(entries=["ro intel_iommu=on"])
    overridden = {**present.iommu, "acs_override": {**present.iommu["acs_override"], "running": support}}
    (warning,) = decide(ON, dataclasses.replace(present, iommu=overridden), {}).warnings
    assert "'pcie_acs_override=downstream'" in warning
    assert said in warning
    assert "the log" in warning


def test_a_group_that_was_predicted_otherwise_is_said_with_both_sides() -> None:
    difference = {"devices": ["0000:01:00.0", "0000:02:00.0"], "predicted": [["0000:01:00.0"], ["0000:02:00.0"]]}
    present = host()
    differing = {**present.iommu, "prediction_differs": [{**difference, "hint": "coarser"}]}
    (warning,) = decide(ON, dataclasses.replace(present, iommu=differing), {}).warnings
    assert "[0000:01:00.0, 0000:02:00.0] was predicted as [0000:01:00.0] and [0000:02:00.0]: coarser" in warning


def test_parameters_of_this_vendor_are_no_matter() -> None:
    assert decide(ON, host(entries=["ro intel_iommu=on,sm_on"], running="ro intel_iommu=on,sm_on"), {}).warnings == ()


def test_another_vendor_is_refused_by_name() -> None:
    verdict = decide(ON, host("HygonGenuine", None), {})
    assert verdict.status == "refused"
    assert "HygonGenuine" in verdict.refusals[0].reason


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({}, "iommu_enabled is 'None': expected true or false"),
        ({"enabled": False}, "iommu_enabled: expected true"),
        ({"enabled": True, "mode": "pt"}, "unknown key mode"),
    ],
)
def test_what_cannot_be_meant(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        decide(wanted, host(), {})


def test_what_turned_it_off_is_one_refusal_that_shows_both_sides() -> None:
    verdict = decide(ON, host(active=False, why="off", entries=["ro intel_iommu=igfx_off,off"]), {})
    (refusal,) = verdict.refusals
    assert "'intel_iommu=on' (wanted by iommu) contradicts 'intel_iommu=igfx_off,off'" in refusal.reason


def test_what_adds_up_with_our_parameter_is_none_of_our_business() -> None:
    verdict = decide(PASSTHROUGH, host(entries=["ro intel_iommu=igfx_off iommu=merge"]), {})
    assert (verdict.refusals, verdict.warnings, verdict.status) == ((), (), "drift")


def test_the_switch_of_another_vendors_iommu_turns_nothing_off() -> None:
    verdict = decide(ON, host(entries=["ro amd_iommu=off"]), {})
    assert verdict.refusals == ()
    assert "another vendor" in verdict.warnings[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pcie_acs_override=downstream", []),
        (
            "pcie_acs_override=downstream pcie_acs_override=multifunction",
            ["2 times: they add up to 'pcie_acs_override=downstream,multifunction'"],
        ),
        ("pcie_acs_override=all,downstream", ["has 'all' behind 'pcie_acs_override='"]),
        (
            "pcie_acs_override=multi pcie_acs_override=id:8086:",
            ["2 times: they add up to 'nothing'", "has 'multi' behind", "has 'id:8086:' behind"],
        ),
    ],
)
def test_an_override_that_does_not_mean_what_it_looks_like_is_said(line: str, said: list[str]) -> None:
    warnings = decide(ON, host(entries=[f"ro intel_iommu=on {line}"]), {}).warnings
    assert len(warnings) == len(said)
    for words, warning in zip(said, warnings):
        assert words in warning
        assert warning.startswith("the command line of the next boot has ")


OVERRIDE = {"enabled": True, "acs_override": ["multifunction", "id:8086:A12F"], "acs_override_accepted": True}
OVERRIDE_ARGUMENT = "pcie_acs_override=multifunction,id:8086:a12f"


def next_kernel(patched: bool | None, **more: Any) -> HostState:
    present = host(**more)
    support: dict[str, Any] = {
        "kernel": "6.12.1",
        "requested": [],
        "patched": patched,
        "evidence": "the image",
        "effective": patched,
    }
    override = {**present.iommu["acs_override"], "next_boot": support}
    return dataclasses.replace(present, iommu={**present.iommu, "acs_override": override})


def test_an_override_is_written_behind_the_vendors_parameter() -> None:
    verdict = decide(OVERRIDE, next_kernel(True), {})
    assert (verdict.refusals, verdict.apply["kernel_args"]) == ((), ["intel_iommu=on", OVERRIDE_ARGUMENT])


def test_an_override_is_refused_until_its_risk_is_accepted() -> None:
    (refusal,) = decide({**OVERRIDE, "acs_override_accepted": False}, next_kernel(True), {}).refusals
    # No key of a device's allow list.
    assert refusal.allow is None
    # Another slot comes first.
    assert refusal.reason.index("slot") < refusal.reason.index("iommu_acs_override_accepted")
    # Accepting the risk of nothing asks for nothing.
    assert decide({"enabled": True, "acs_override_accepted": True}, next_kernel(False), {}).refusals == ()


@pytest.mark.parametrize(("patched", "refused"), [(True, 0), (None, 0), (False, 1)])
def test_an_override_for_a_kernel_that_would_ignore_it_is_refused(patched: bool | None, refused: int) -> None:
    refusals = decide(OVERRIDE, next_kernel(patched), {}).refusals
    assert len(refusals) == refused
    assert all("6.12.1, lacks the patch that reads it (the image)" in refusal.reason for refusal in refusals)


def test_an_override_that_a_kernel_may_ignore_is_said_before_it_is_written() -> None:
    (warning,) = decide(OVERRIDE, next_kernel(None), {}).warnings
    assert "cannot be told (the image)" in warning
    assert decide(OVERRIDE, next_kernel(True), {}).warnings == ()


def test_an_override_that_is_no_longer_wanted_goes_with_the_next_reboot() -> None:
    ledger = {"kernel_args": {"iommu": ["intel_iommu=on", OVERRIDE_ARGUMENT]}}
    line = f"ro intel_iommu=on {OVERRIDE_ARGUMENT}"
    assert [change.after for change in decide(ON, host(ledger=ledger, entries=[line], running=line), {}).changes] == [
        "intel_iommu=on"
    ]
    gone = host(ledger={"kernel_args": {"iommu": ["intel_iommu=on"]}}, entries=["ro intel_iommu=on"], running=line)
    assert decide(ON, gone, {}).status == "pending_reboot"


@pytest.mark.parametrize("words", [["all"], "downstream", ["id:8086"]])
def test_an_override_that_cannot_be_meant_is_said(words: Any) -> None:
    with pytest.raises(InputError, match="acs_override"):
        decide({**OVERRIDE, "acs_override": words}, next_kernel(True), {})


def test_intels_graphics_can_stay_outside() -> None:
    wanted = {"enabled": True, "igfx_off": True}
    ledger = {"kernel_args": {"iommu": ["intel_iommu=on"]}}
    verdict = decide(wanted, host(ledger=ledger, entries=["ro intel_iommu=on"]), {})
    assert [(change.before, change.after) for change in verdict.changes] == [
        ("intel_iommu=on", "intel_iommu=on,igfx_off")
    ]
    assert (verdict.refusals, verdict.warnings) == ((), ())


def test_graphics_outside_are_about_intels_iommu() -> None:
    refusals = decide({"enabled": True, "igfx_off": True}, host(AMD, "ivrs"), {}).refusals
    assert ["AMD's" in refusal.reason for refusal in refusals] == [True]


@pytest.mark.parametrize(
    ("parent", "vendor", "class_code", "refused"),
    [
        (None, "8086", "0300", True),
        (None, "8086", "0380", True),
        # An Arc card has ports above it, and the sound beside the graphics is no display.
        ("0000:00:01.0", "8086", "0300", False),
        (None, "8086", "0403", False),
        (None, "1a03", "0300", False),
    ],
)
def test_graphics_outside_go_to_no_guest(parent: str | None, vendor: str, class_code: str, refused: bool) -> None:
    above = None if parent is None else Address.parse(parent)
    card = Device(Address.parse("0000:00:02.0"), Identity(vendor, "4680", "0", "0"), class_code, parent=above)
    refusals = decide({"enabled": True, "igfx_off": True}, host(), {"gpu": (card,)}).refusals
    assert [refusal.device for refusal in refusals] == (["0000:00:02.0"] if refused else [])
    assert decide(ON, host(), {"gpu": (card,)}).refusals == ()

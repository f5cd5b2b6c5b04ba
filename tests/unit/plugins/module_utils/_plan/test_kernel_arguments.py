# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.kernel_arguments import decide
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency, HostState, Verdict
from tests.unit.plugins.planned_host import host_with

# A machine as the reader describes it: EFI firmware whose framebuffer efifb has, and a steady clock.
FACTS: Mapping[str, Any] = {
    "efi": True,
    "framebuffer_drivers": ["efi-framebuffer"],
    "framebuffers": ["EFI VGA"],
    "consoles": ["tty0"],
    "clocksource": "tsc",
    "clocksources": ["tsc", "hpet", "acpi_pm"],
    "stable_tsc": True,
    "builtin": [],
    "storage_in_use": [],
    "without_room": [],
}
TSC = ["clocksource=tsc", "tsc=reliable"]
SYSFB_OFF, EFIFB_OFF = "initcall_blacklist=sysfb_init", "video=efifb:off"


def owned(*arguments: str) -> dict[str, Any]:
    line = f"ro quiet {' '.join(arguments)}"
    return {"ledger": {"kernel_args": {"kernel_arguments": list(arguments)}}, "entries": [line], "running": line}


def host(facts: Mapping[str, Any] | None = None, **more: Any) -> HostState:
    return host_with({"kernel_arguments": {**FACTS, **(facts or {})}}, **more)


def arguments(wanted: Mapping[str, Any], facts: Mapping[str, Any] | None = None, **more: Any) -> list[str]:
    return list(decide(wanted, host(facts, **more), {}).apply["kernel_args"])


def display(address: str, driver: str, *modules: str, boot_vga: bool = False) -> Device:
    identity = Identity("1002", "744c", "1da2", "e471")
    return Device(Address.parse(address), identity, "0300", driver=driver, candidate_modules=modules, boot_vga=boot_vga)


def refusals(verdict: Verdict) -> list[tuple[str | None, str]]:
    return [(refusal.device, refusal.reason) for refusal in verdict.refusals]


def test_what_an_operator_adds_keeps_its_order() -> None:
    extra = ["mitigations=auto", "hugepagesz=1G", "hugepages=2", "console=ttyS0", "console=tty0"]
    verdict = decide({"extra": extra}, host(), {})
    assert (verdict.status, verdict.reboot_required) == ("drift", True)
    assert verdict.apply["kernel_args"] == extra
    assert decide({"extra": extra}, host(**owned(*extra)), {}).status == "in_sync"


def test_all_that_is_left_out_is_off_and_goes() -> None:
    verdict = decide({"extra": []}, host(**owned("debug", "ignore_loglevel")), {})
    assert [(change.before, change.after) for change in verdict.changes] == [("debug ignore_loglevel", None)]
    assert decide({"debug": False}, host(), {}).status == "in_sync"


def test_debugging_is_switched_as_a_unit() -> None:
    assert arguments({"debug": True}) == ["debug", "ignore_loglevel"]
    assert arguments({"debug": "no"}) == []


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ([], ["pci=realloc"]),
        (["pci=noaer", "quiet"], ["pci=noaer,realloc", "quiet"]),
        (["pci=noaer", "pci=nomsi"], ["pci=noaer", "pci=nomsi,realloc"]),
        (["pci=realloc,noaer"], ["pci=realloc,noaer"]),
        (["pci=realloc=on"], ["pci=realloc=on"]),
    ],
)
def test_reallocation_joins_a_list_of_ours(extra: list[str], expected: list[str]) -> None:
    assert arguments({"extra": extra, "pci_realloc": True}) == expected


def test_reallocation_beside_somebody_elses_list_is_a_token_of_its_own() -> None:
    verdict = decide({"pci_realloc": True}, host(entries=["ro pci=noaer"], running="ro pci=noaer"), {})
    assert (verdict.apply["kernel_args"], verdict.refusals) == (["pci=realloc"], ())


def test_reallocation_that_somebody_turned_off_is_refused() -> None:
    verdict = decide({"pci_realloc": True}, host(entries=["ro pci=realloc=off"]), {})
    assert "contradicts 'pci=realloc=off'" in verdict.refusals[0].reason


@pytest.mark.parametrize(
    ("without_room", "running", "warned"),
    [([], "ro", True), (["0000:01:00.0"], "ro", False), ([], "pci=realloc", False)],
)
def test_reallocation_that_nothing_asks_for_is_named(without_room: list[str], running: str, warned: bool) -> None:
    verdict = decide({"pci_realloc": True}, host({"without_room": without_room}, running=running), {})
    assert any("every BAR of this host has its address" in warning for warning in verdict.warnings) is warned


HPET = {"clocksource": "hpet"}


@pytest.mark.parametrize(
    ("mode", "facts", "expected"),
    [
        ("auto", HPET, TSC),
        ("auto", {}, []),
        ("auto", {**HPET, "clocksources": ["hpet", "acpi_pm"]}, []),
        ("auto", {**HPET, "stable_tsc": False}, []),
        ("always", {}, TSC),
        ("always", {**HPET, "clocksources": ["hpet"]}, TSC),
        ("never", HPET, []),
        (None, HPET, []),
    ],
)
def test_the_clock_is_forced_where_the_slow_one_runs_or_on_request(
    mode: str | None, facts: dict[str, Any], expected: list[str]
) -> None:
    assert arguments({"tsc": mode}, facts) == expected


def test_a_clock_that_runs_because_of_us_is_no_reason_to_take_the_arguments_back() -> None:
    verdict = decide({"tsc": "auto"}, host(**owned(*TSC)), {})
    assert (verdict.status, verdict.apply["kernel_args"]) == ("in_sync", TSC)
    assert arguments({"tsc": "never"}, **owned(*TSC)) == []


def test_a_clock_that_the_cpu_does_not_promise_is_not_forced() -> None:
    verdict = decide({"tsc": "always"}, host({"stable_tsc": False}), {})
    assert "constant_tsc" in verdict.refusals[0].reason
    assert decide({"extra": ["tsc=reliable"]}, host({"stable_tsc": False}), {}).status == "refused"


def test_a_slow_clock_without_a_choice_is_named() -> None:
    facts = {**HPET, "clocksources": ["hpet"]}
    (warning,) = decide({"tsc": "auto"}, host(facts), {}).warnings
    assert "does not offer tsc" in warning
    assert decide({"tsc": "never"}, host(facts), {}).warnings == ()


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, EFIFB_OFF),
        # The card's own driver has taken over since.
        ({"framebuffers": ["i915drmfb"]}, EFIFB_OFF),
        # What else the firmware's framebuffer can go to does not ask, or ignores the answer.
        ({"framebuffer_drivers": ["efi-framebuffer", "simple-framebuffer"]}, SYSFB_OFF),
        ({"framebuffer_drivers": ["efidrm"]}, SYSFB_OFF),
        ({"framebuffers": ["efidrmdrmfb"]}, SYSFB_OFF),
        ({"framebuffer_drivers": ["simple-framebuffer"], "framebuffers": ["simpledrmdrmfb"]}, SYSFB_OFF),
        ({"efi": False, "framebuffer_drivers": ["vesa-framebuffer"], "framebuffers": ["VESA VGA"]}, SYSFB_OFF),
        ({"framebuffer_drivers": [], "framebuffers": []}, SYSFB_OFF),
    ],
)
def test_the_framebuffer_is_left_alone_by_what_has_it(facts: dict[str, Any], expected: str) -> None:
    assert arguments({"framebuffer_off": True}, facts) == [expected]


@pytest.mark.parametrize("written", [EFIFB_OFF, SYSFB_OFF])
def test_what_turned_the_framebuffer_off_stays_though_no_driver_is_seen_any_more(written: str) -> None:
    facts = {"framebuffer_drivers": ["simple-framebuffer"] if written == EFIFB_OFF else ["efi-framebuffer"]}
    verdict = decide({"framebuffer_off": True}, host({**facts, "framebuffers": []}, **owned(written)), {})
    assert (verdict.status, verdict.apply["kernel_args"]) == ("in_sync", [written])


def test_what_did_not_turn_it_off_gives_way_to_what_does() -> None:
    verdict = decide({"framebuffer_off": True}, host({"framebuffers": ["simpledrmdrmfb"]}, **owned(EFIFB_OFF)), {})
    assert [(change.before, change.after) for change in verdict.changes] == [(EFIFB_OFF, SYSFB_OFF)]
    assert any("although this boot was told to leave it" in warning for warning in verdict.warnings)


@pytest.mark.parametrize(
    ("consoles", "words"),
    [(["tty0"], "seen nowhere"), (["tty0", "ttyS0"], "seen through ttyS0 only"), ([], "seen nowhere")],
)
def test_the_loss_of_the_console_is_said(consoles: list[str], words: str) -> None:
    (warning,) = decide({"framebuffer_off": True}, host({"consoles": consoles}), {}).warnings
    assert words in warning
    assert "X servers" in warning


def blacklisted(
    modules: Sequence[str],
    devices: Sequence[Device],
    selected: Sequence[Device] = (),
    dependencies: Sequence[Dependency] = (),
    **more: Any,
) -> Verdict:
    state = dataclasses.replace(host(**more), devices=tuple(devices), dependencies=tuple(dependencies))
    return decide({"blacklist": list(modules)}, state, {"gpu": tuple(selected)} if selected else {})


BOOT_VGA = Dependency("0000:00:02.0", "boot_vga", "is the display that the firmware started with", "boot_vga")


def test_a_driver_of_a_card_that_is_given_away_is_kept_from_loading() -> None:
    own, card = display("0000:00:02.0", "i915", "i915", boot_vga=True), display("0000:03:00.0", "amdgpu", "amdgpu")
    verdict = blacklisted(["amdgpu", "radeon"], [own, card], [card], [BOOT_VGA])
    assert (verdict.refusals, verdict.apply["kernel_args"]) == ((), ["modprobe.blacklist=amdgpu,radeon"])


def test_a_driver_of_the_hosts_own_display_stays() -> None:
    own, card = display("0000:00:02.0", "amdgpu", "amdgpu", boot_vga=True), display("0000:03:00.0", "amdgpu", "amdgpu")
    verdict = blacklisted(["amdgpu"], [own, card], [card], [BOOT_VGA])
    ((address, reason),) = refusals(verdict)
    assert address == "0000:00:02.0"
    assert reason == f"'amdgpu' in kernel_arguments_blacklist drives {address}, which {BOOT_VGA.detail}"


def test_a_display_that_becomes_the_last_one_keeps_its_driver() -> None:
    left, card = display("0000:02:00.0", "amdgpu", "amdgpu"), display("0000:03:00.0", "nouveau", "nouveau")
    assert blacklisted(["amdgpu"], [left, card]).refusals == ()
    ((address, reason),) = refusals(blacklisted(["amdgpu"], [left, card], [card]))
    assert (address, "none would be left" in reason) == ("0000:02:00.0", True)


def test_a_driver_of_a_disk_stays_by_whichever_name() -> None:
    disk = dataclasses.replace(display("0000:04:00.0", "xhci_hcd", "xhci_pci"), class_code="0c03")
    needed = Dependency("0000:04:00.0", "root_disk", "carries /")
    for name in ("xhci_pci", "xhci-pci", "xhci_hcd"):
        assert [address for address, _reason in refusals(blacklisted([name], [disk], (), [needed]))] == ["0000:04:00.0"]
    assert blacklisted(["nvme"], [disk], (), [needed]).refusals == ()


def test_another_driver_than_the_one_that_the_display_uses_may_go() -> None:
    own = display("0000:00:02.0", "nvidia", "nouveau", "nvidia", boot_vga=True)
    assert blacklisted(["nouveau"], [own], (), [BOOT_VGA]).refusals == ()


def test_vfio_itself_stays_where_devices_are_given_away() -> None:
    card = display("0000:03:00.0", "vfio-pci")
    assert "are held by it" in blacklisted(["vfio-pci"], [card], [card]).refusals[0].reason
    ledger: dict[str, Any] = {"devices": {"0000:03:00.0": {}}}
    assert blacklisted(["vfio_pci"], [card], ledger=ledger).status == "refused"
    assert blacklisted(["vfio_pci"], [card]).refusals == ()


def test_a_module_that_mounted_storage_uses_is_not_kept_from_loading() -> None:
    (refusal,) = decide({"blacklist": ["dm_crypt", "uas"]}, host({"storage_in_use": ["dm_crypt"]}), {}).refusals
    assert (refusal.device, refusal.allow) == (None, None)
    assert refusal.reason.startswith("'dm_crypt' in kernel_arguments_blacklist: storage of this host uses it now")


def test_a_module_that_is_built_in_cannot_be_kept_from_loading() -> None:
    (warning,) = decide({"blacklist": ["simpledrm"]}, host({"builtin": ["simpledrm"]}), {}).warnings
    assert "simpledrm is built into the kernel" in warning


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"colour": 1}, "unknown key colour"),
        ({"tsc": "often"}, "kernel_arguments_tsc is 'often': expected one of auto, always, never"),
        ({"debug": "perhaps"}, "kernel_arguments_debug is 'perhaps'"),
        ({"extra": "quiet"}, "kernel_arguments_extra is 'quiet': expected a list"),
        ({"extra": [{"a": 1}]}, "each a string"),
        ({"extra": ["a b"]}, "expected exactly one"),
        ({"extra": ["--"]}, "ends the kernel's arguments"),
        ({"extra": ["virtfleet_passthrough.generation=3"]}, "by this collection alone"),
        ({"extra": ["virtfleet_passthrough.trial=0123456789ab"]}, "by this collection alone"),
        ({"extra": ["isolcpus=1", "isolcpus=2"]}, "'isolcpus=2' contradicts 'isolcpus=1'"),
        ({"extra": ["pci=realloc=off"], "pci_realloc": True}, "pci=realloc=off"),
        ({"extra": ["clocksource=hpet"], "tsc": "always"}, "'clocksource=tsc' contradicts 'clocksource=hpet'"),
        ({"blacklist": "nouveau"}, "expected a list"),
        ({"blacklist": ["nouveau,radeon"]}, "expected names of kernel modules"),
        ({"blacklist": [None]}, "expected names of kernel modules"),
    ],
)
def test_what_cannot_be_meant_is_named(wanted: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        decide(wanted, host(), {})
    assert words in str(caught.value)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    DRIFT,
    IN_SYNC,
    PENDING_REBOOT,
    REFUSED,
    Dependency,
    HostState,
    Verdict,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.vfio import decide
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import IN_IMAGE, SCRIPT_PATH, boot_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import Table
from tests.unit.plugins.planned_host import IOMMU_ON

IDENTITY = Identity("8086", "10d3", "8086", "0000")
NIC = Device(Address.parse("0000:01:00.0"), IDENTITY, "0200", driver="e1000e", native_driver="e1000e", iommu_group=1)
TWIN = dataclasses.replace(NIC, address=Address.parse("0000:02:00.0"), iommu_group=2)
BOUND = dataclasses.replace(NIC, driver="vfio-pci")
MATE = dataclasses.replace(NIC, address=Address.parse("0000:01:00.1"), driver="snd_hda_intel")
TABLE = Table(1, {NIC.address: IDENTITY})
ARGUMENT = "virtfleet_passthrough.generation=1"
WANTED = {"devices": [{"name": "nic", "match": {"address": "0000:01:00.0"}, "allow": []}]}


def host(
    *devices: Device,
    table: Table | None = None,
    running: str = "ro",
    ledger: dict[str, t.Any] | None = None,
    dependencies: t.Sequence[Dependency] = (),
    enabled: bool = True,
    **facts: t.Any,
) -> HostState:
    """A host on which ``table`` was configured completely: files, ledger, boot entry."""
    files: dict[str, str | None] = {
        file.path: digest(file.content) if table is not None else None
        for file in boot_files(table or Table(1, {}), ["initramfs-tools"])
    }
    data: dict[str, t.Any] = {"schema": 1}
    arguments = [] if table is None else [table.argument]
    if table is not None:
        record: dict[str, t.Any] = {"native_driver": "e1000e", "mac": None, "interfaces": []}
        data["generation"] = table.generation
        data["kernel_args"] = {"vfio": arguments}
        data["files"] = {path: {"owner": "vfio", "written": sha256} for path, sha256 in files.items()}
        data["devices"] = {
            str(address): {"identity": identity.to_json(), **record} for address, identity in table.entries.items()
        }
    data.update(ledger or {})
    entry = {
        "kernel": "6.1",
        "title": "Debian",
        "args": ["ro", *arguments],
        "default": True,
        "rescue": False,
        "managed": True,
    }
    return HostState(
        kernel_release="6.1",
        cpu_vendor="GenuineIntel",
        boot_id="b",
        devices=devices,
        iommu={**IOMMU_ON, "enabled": enabled},
        boot={
            "running": running.split(),
            "next_boot": ["ro", *arguments],
            "entries": [entry],
            "bootloader": "grub",
            "intact": True,
            "obstacle": None,
            "reason": None,
        },
        dependencies=tuple(dependencies),
        ledger=Ledger.from_json(data),
        facts={
            "vfio": {
                "managed": True,
                "table": None if table is None else str(table),
                "files": files,
                "generators": ["initramfs-tools"],
                "vfio_pci": "module",
                "builtin_drivers": [],
                "method": None,
                "driverctl": False,
                "foreign_ids": {},
                "image_since_boot": False,
                "taken_back": [],
                **facts,
            }
        },
    )


def judged(state: HostState, *chosen: Device, wanted: t.Mapping[str, t.Any] | None = None) -> Verdict:
    return decide(WANTED if wanted is None else wanted, state, {"nic": chosen} if chosen else {})


def settings(verdict: Verdict) -> list[str]:
    return [change.setting for change in verdict.changes]


def test_a_virgin_host() -> None:
    verdict = judged(host(NIC, TWIN), NIC)
    assert verdict.status == DRIFT
    assert verdict.reboot_required
    assert settings(verdict)[0] == "device 0000:01:00.0"
    assert settings(verdict)[-1] == "kernel arguments of vfio"
    assert f"file {SCRIPT_PATH}" in settings(verdict)
    assert verdict.apply == {
        "devices": [
            {
                "address": "0000:01:00.0",
                "vendor_id": "8086",
                "device_id": "10d3",
                "subsystem_vendor_id": "8086",
                "subsystem_device_id": "0000",
                "allow": [],
            }
        ],
        "foreseen": [],
        "method": "override",
        "kernel_args": [ARGUMENT],
        "allow": [],
    }


def test_configured_and_waiting() -> None:
    verdict = judged(host(NIC, table=TABLE), NIC)
    assert (verdict.status, verdict.changes, verdict.warnings) == (PENDING_REBOOT, (), ())


def test_in_sync() -> None:
    verdict = judged(host(BOUND, table=TABLE, running=f"ro {ARGUMENT}"), BOUND)
    assert verdict.status == IN_SYNC
    assert not verdict.reboot_required


@pytest.mark.parametrize(("driver", "enabled"), [("e1000e", True), (None, True), ("e1000e", False)])
def test_a_boot_that_did_not_help_is_refused_and_not_repeated(driver: str | None, enabled: bool) -> None:
    device = dataclasses.replace(NIC, driver=driver, iommu_group=1 if enabled else None)
    verdict = judged(host(device, table=TABLE, running=f"ro {ARGUMENT}", enabled=enabled), device)
    assert (verdict.status, verdict.reboot_required) == (REFUSED, False)
    (refusal,) = verdict.refusals
    assert f"0000:01:00.0 is held by {driver or 'no driver'} although this boot was made for it" in refusal.reason
    assert "journalctl -k -b | grep -e virtfleet-passthrough -e 0000:01:00.0" in refusal.reason
    assert ("The IOMMU is off" in refusal.reason) == (not enabled)


def image_of(table: Table | None, kernel: str = "6.1") -> dict[str, t.Any]:
    names = IN_IMAGE["initramfs-tools"]
    files = boot_files(table, ["initramfs-tools"]) if table is not None else ()
    held = {names[file.path]: digest(file.content) for file in files if file.path in names}
    return {"kernel": kernel, "content": {"files": held, "modules": []}, "modules_needed": [], "watchdog_files": {}}


@pytest.mark.parametrize(
    ("images", "since_boot", "status"),
    [
        ([image_of(None)], False, PENDING_REBOOT),
        ([image_of(Table(7, TABLE.entries))], False, PENDING_REBOOT),
        ([image_of(TABLE)], True, PENDING_REBOOT),
        ([image_of(TABLE)], False, REFUSED),
        # This boot did not use the image of another kernel.
        ([image_of(TABLE), image_of(None, "6.12")], False, REFUSED),
    ],
)
def test_a_boot_whose_image_lacked_the_table_tells_nothing_about_the_next(
    images: list[dict[str, t.Any]], since_boot: bool, status: str
) -> None:
    state = host(NIC, table=TABLE, running=f"ro {ARGUMENT}", image_since_boot=since_boot)
    facts = {**state.facts, "initramfs": {"generator": "initramfs-tools", "images": images}}
    verdict = judged(dataclasses.replace(state, facts=facts), NIC)
    assert (verdict.status, verdict.reboot_required) == (status, status == PENDING_REBOOT)


@pytest.mark.parametrize(
    ("device", "chosen", "status"), [(BOUND, (), PENDING_REBOOT), (NIC, (), IN_SYNC), (BOUND, (BOUND,), DRIFT)]
)
def test_what_was_given_back_for_the_next_boot_waits_for_it(
    device: Device, chosen: tuple[Device, ...], status: str
) -> None:
    state = host(device, taken_back=[str(device.address)])
    assert judged(state, *chosen, wanted=WANTED if chosen else {"devices": []}).status == status


def test_where_something_is_to_be_written_the_next_boot_may_help() -> None:
    verdict = judged(host(NIC, TWIN, table=TABLE, running=f"ro {ARGUMENT}"), NIC, TWIN)
    assert (verdict.status, verdict.reboot_required) == (DRIFT, True)


def test_devices_without_a_value_are_unmanaged() -> None:
    state = host(BOUND, table=TABLE, running=f"ro {ARGUMENT}", managed=False)
    for wanted in ({"devices": None}, {}):
        verdict = decide(wanted, state, {})
        assert (verdict.status, verdict.changes, verdict.reboot_required) == (IN_SYNC, (), False)


def test_a_number_that_still_runs_is_not_given_out_again() -> None:
    """Everything was given back, the ledger is gone, and the boot made with the last table still runs."""
    verdict = judged(host(BOUND, running="ro virtfleet_passthrough.generation=5"), BOUND)
    assert verdict.apply["kernel_args"] == ["virtfleet_passthrough.generation=6"]


def test_bound_by_hand_still_needs_the_next_boot() -> None:
    assert judged(host(BOUND, table=TABLE), BOUND).status == PENDING_REBOOT


def test_what_left_the_list_is_released() -> None:
    verdict = judged(host(BOUND, table=TABLE, running=f"ro {ARGUMENT}"), wanted={"devices": []})
    assert verdict.status == DRIFT
    assert settings(verdict)[0] == "release 0000:01:00.0"
    assert (verdict.changes[0].after, verdict.changes[0].after_reboot) == ("e1000e", True)
    assert verdict.changes[0].why == "vfio_devices does not select it any more"
    assert verdict.apply == {"devices": [], "foreseen": [], "method": "override", "kernel_args": [], "allow": []}


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (
            [dataclasses.replace(NIC, identity=Identity("10ec", "8139", "1af4", "1100"))],
            "10ec:8139 subsystem 1af4:1100 is",
        ),
        ([], "no device is"),
    ],
)
@pytest.mark.parametrize("table", [TABLE, None])
def test_release_says_what_is_at_the_address_now(there: list[Device], why: str, table: Table | None) -> None:
    """A selector such as vendor_device finds nothing then, and cannot tell where it had."""
    record: dict[str, t.Any] = {"identity": IDENTITY.to_json(), "native_driver": "e1000e"}
    state = host(*there, table=table, ledger={"devices": {"0000:01:00.0": record}})
    (released,) = (change for change in judged(state).changes if change.setting == "release 0000:01:00.0")
    assert released.why == f"{why} there now, it was 8086:10d3 subsystem 8086:0000"
    assert (released.after, released.after_reboot) == ("its own driver", False)


def test_after_a_release_the_old_boot_is_still_running() -> None:
    verdict = judged(host(BOUND, running=f"ro {ARGUMENT}"), wanted={"devices": []})
    assert (verdict.status, verdict.changes) == (PENDING_REBOOT, ())


def test_another_device_means_another_generation() -> None:
    verdict = judged(host(BOUND, TWIN, table=TABLE), BOUND, TWIN)
    assert verdict.apply["kernel_args"] == ["virtfleet_passthrough.generation=2"]
    assert settings(verdict)[0] == "device 0000:02:00.0"


def test_an_outdated_script_is_drift() -> None:
    state = host(BOUND, table=TABLE, running=f"ro {ARGUMENT}")
    state.facts["vfio"]["files"][SCRIPT_PATH] = "older"
    state.ledger.section("files")[SCRIPT_PATH]["written"] = "older"
    verdict = judged(state, BOUND)
    assert (verdict.status, settings(verdict)) == (DRIFT, [f"file {SCRIPT_PATH}"])


REFUSALS: list[tuple[dict[str, t.Any], tuple[str | None, str | None], str]] = [
    ({"vfio_pci": "missing"}, (None, None), "no driver vfio-pci"),
    ({"generators": []}, (None, None), "Looked for: initramfs-tools"),
    ({"builtin_drivers": ["e1000e"]}, ("0000:01:00.0", "builtin_driver"), "built into the kernel"),
    (
        {"dependencies": [Dependency("0000:01:00.0", "management_nic", "is eth0", "management_nic")]},
        ("0000:01:00.0", "management_nic"),
        "is eth0",
    ),
]


@pytest.mark.parametrize(("state", "named", "reason"), REFUSALS)
def test_refusals(state: dict[str, t.Any], named: tuple[str | None, str | None], reason: str) -> None:
    verdict = judged(host(NIC, **state), NIC)
    assert verdict.status == REFUSED
    assert [(refusal.device, refusal.allow) for refusal in verdict.refusals] == [named]
    assert reason in verdict.refusals[0].reason


def test_a_file_of_somebody_else_is_refused_before_it_is_met() -> None:
    state = host(NIC)
    state.facts["vfio"]["files"][SCRIPT_PATH] = "somebody's"
    assert "was not written by" in judged(state, NIC).refusals[0].reason


def test_a_table_changed_by_hand_is_refused() -> None:
    state = host(BOUND, table=TABLE)
    state.facts["vfio"]["table"] = "nonsense"
    assert judged(state, BOUND).status == REFUSED


def test_another_card_at_the_address() -> None:
    other = dataclasses.replace(NIC, identity=dataclasses.replace(IDENTITY, device_id="100e"))
    verdict = judged(host(other, table=TABLE), other)
    assert verdict.refusals[0].allow == "changed_identity"
    assert "8086:100e" in verdict.refusals[0].reason
    assert "8086:10d3" in verdict.refusals[0].reason
    allowed = {"devices": [{"name": "nic", "match": {}, "allow": ["changed_identity"]}]}
    assert judged(host(other, table=TABLE), other, wanted=allowed).status == DRIFT


def test_another_card_of_the_same_model_is_told_by_its_serial_number() -> None:
    known, other = (dataclasses.replace(IDENTITY, serial=digit * 16) for digit in "ab")
    state = host(dataclasses.replace(BOUND, identity=other), table=Table(1, {NIC.address: known}))
    (refusal,) = judged(state, *state.devices).refusals
    assert refusal.allow == "changed_identity"
    assert "serial bbbbbbbbbbbbbbbb now, it was given away as" in refusal.reason


def test_keys_belong_to_their_entry() -> None:
    needed = [Dependency(str(device.address), "configured_nic", "is up", "configured_nic") for device in (NIC, TWIN)]
    wanted = {"devices": [{"name": "a", "allow": ["configured_nic"]}, {"name": "b"}]}
    verdict = decide(wanted, host(NIC, TWIN, dependencies=needed), {"a": (NIC,), "b": (TWIN,)})
    assert [refusal.device for refusal in verdict.refusals] == ["0000:02:00.0"]
    assert [entry["allow"] for entry in verdict.apply["devices"]] == [["configured_nic"], []]


def test_a_group_goes_as_a_whole() -> None:
    blocked = judged(host(NIC, MATE), NIC)
    assert [refusal.device for refusal in blocked.refusals] == ["0000:01:00.1"]
    assert judged(host(NIC, MATE), NIC, MATE).status == DRIFT
    (warning,) = blocked.warnings
    assert "ACS override" in warning


def test_what_could_not_be_read_of_the_host_is_said() -> None:
    state = host(NIC)
    state = dataclasses.replace(state, iommu={**state.iommu, "gaps": ["0000:05:00.0 is left out"]})
    assert judged(state, NIC).warnings == ("0000:05:00.0 is left out",)


def test_a_display_without_reset_is_a_warning() -> None:
    card = dataclasses.replace(NIC, class_code="0300", resettable=False)
    other = dataclasses.replace(card, address=Address.parse("0000:00:02.0"), iommu_group=9)
    verdict = judged(host(card, other), card)
    assert verdict.status == DRIFT
    assert "cannot be reset" in verdict.warnings[0]


def test_groups_of_an_iommu_that_is_off_are_an_assumption() -> None:
    off = dataclasses.replace(NIC, iommu_group=None)
    verdict = judged(host(off, enabled=False), off)
    assert verdict.status == DRIFT
    assert verdict.assumptions == (
        "0000:01:00.0: the IOMMU is off now; by prediction it will be alone in its IOMMU group, the next boot decides",
    )


def test_a_predicted_group_is_judged_and_said() -> None:
    off, mate = (dataclasses.replace(device, iommu_group=None) for device in (NIC, MATE))
    state = host(off, mate, enabled=False)
    predicted = [{"devices": [str(off.address), str(mate.address)], "reasons": ["no ACS"]}]
    state = dataclasses.replace(state, iommu={**state.iommu, "predicted_groups": predicted})
    blocked = judged(state, off)
    assert [(refusal.device, refusal.allow) for refusal in blocked.refusals] == [("0000:01:00.1", "predicted_group")]
    together = judged(state, off, mate)
    assert together.status == DRIFT
    assert "by prediction it will share its IOMMU group with 0000:01:00.1" in together.assumptions[0]


@pytest.mark.parametrize(
    "wanted",
    [
        {"device": []},
        {"devices": [], "allow": ["nic"]},
        {"devices": [], "allow": {"nic": ["boot_vga"]}},
        {"devices": [{"name": "nic"}], "allow": {"nic": "boot_vga"}},
        {"devices": [{"name": "nic", "allow": "boot_vga"}]},
        {"devices": [{"name": "nic", "allow": ["bootvga"]}]},
    ],
)
def test_malformed_wishes(wanted: dict[str, t.Any]) -> None:
    with pytest.raises(InputError):
        decide(wanted, host(NIC), {})


@given(st.sets(st.sampled_from([NIC, TWIN]), min_size=0), st.booleans())
def test_what_was_applied_is_in_sync_after_the_boot(chosen: set[Device], configured: bool) -> None:
    """Whatever the plan hands to the writer, once written and booted, leaves nothing to do."""
    devices = sorted(chosen, key=lambda device: device.address)
    state = host(NIC, TWIN, table=TABLE if configured else None)
    (arguments,) = [judged(state, *devices, wanted=WANTED).apply["kernel_args"]]
    after = tuple(
        dataclasses.replace(device, driver="vfio-pci" if device in chosen else "e1000e") for device in (NIC, TWIN)
    )
    table = None
    if arguments:
        generation = int(arguments[0].partition("=")[2])
        table = Table(generation, {device.address: device.identity for device in devices})
    booted = host(*after, table=table, running=" ".join(["ro", *arguments]))
    bound = [device for device in after if device.driver == "vfio-pci"]
    assert judged(booted, *bound).status == IN_SYNC

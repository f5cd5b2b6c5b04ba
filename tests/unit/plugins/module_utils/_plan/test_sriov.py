# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the reader on a kernel's tree to the decision, and through the writer back to the decision."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.network import MANAGEMENT_NIC
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.sriov import change
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.decision import Plan, make_plan
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency, HostState
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.sriov import parse_entries
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.boot_files import RULE_PATH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.links import read_links
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.state import read_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.state import read_state as read_vfio
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import Table
from tests.unit.plugins.fake_sriov import PF, PORT, FakeSriov
from tests.unit.plugins.planned_host import host_with

ENTRY: dict[str, Any] = {"name": "nic", "match": {"address": PF}, "numvfs": 2, "first_mac": "52:54:00:aa:00:ff"}
GUESTS = {"devices": [{"name": "vfs", "match": {"vf_of": "nic"}}]}


@pytest.fixture
def kernel(tmp_path: Path) -> FakeSriov:
    kernel = FakeSriov(tmp_path)
    kernel.write("/usr/sbin/mkinitramfs", "")
    return kernel


def look(kernel: FakeSriov, entries: list[dict[str, Any]], **fields: Any) -> HostState:
    """The host as the reader shows it, with what iproute2 says: the tree is not the machine that this runs on."""
    ledger = Ledger.read(kernel.root)
    facts = read_state(kernel.root, kernel.run, ledger, {"devices": entries})
    facts["links"] = {
        interface: {str(index): settings.to_json() for index, settings in vfs.items()}
        for interface, vfs in read_links(kernel.run).items()
    }
    vfio = read_vfio(kernel.root, kernel.run, ledger, GUESTS)
    host = host_with({"sriov": facts, "vfio": {**vfio, "generators": ["dracut"], **fields}}, ledger=ledger.to_json())
    return dataclasses.replace(host, devices=read_devices(kernel.root, ledger))


def plan(kernel: FakeSriov, *entries: dict[str, Any], **more: Any) -> Plan:
    made = make_plan({"sriov": {"devices": list(entries)}, **more}, look(kernel, list(entries)))
    assert json.loads(json.dumps(made.to_json())) == made.to_json()
    return made


def follow(kernel: FakeSriov, made: Plan) -> None:
    """What the role does."""
    apply = made.verdicts["sriov"].apply
    for address in apply["released"]:
        _run(kernel, {"device": address, "state": "absent"})
    for options in apply["pfs"]:
        _run(kernel, {"state": "present", **options})


def _run(kernel: FakeSriov, params: dict[str, Any]) -> None:
    class Module:
        check_mode = False

    module: Any = Module()
    module.params = params
    change(module, kernel.run, kernel.root, kernel.attribute)


def reasons(made: Plan, component: str = "sriov") -> str:
    return "; ".join(refusal.reason for refusal in made.verdicts[component].refusals)


def test_what_the_plan_says_is_what_the_writer_leaves_nothing_of(kernel: FakeSriov) -> None:
    made = plan(kernel, ENTRY)
    settings = [change.setting for change in made.verdicts["sriov"].changes]
    assert settings[:2] == [f"VFs of {PF}", f"host drivers for VFs of {PF}"]
    assert f"mac of VF 1 of {PF}" in settings
    assert f"file {RULE_PATH}" in settings
    assert (made.status, made.reboot.required) == ("drift", False)
    assert PORT in made.verdicts["sriov"].warnings[0]
    follow(kernel, made)
    assert [kernel.vf(index)["address"] for index in (0, 1)] == ["52:54:00:aa:00:ff", "52:54:00:aa:01:00"]
    again = plan(kernel, ENTRY)
    assert (again.status, again.verdicts["sriov"].warnings) == ("in_sync", ())


def test_what_somebody_changed_comes_back(kernel: FakeSriov) -> None:
    follow(kernel, plan(kernel, ENTRY))
    kernel.vf(1)["address"] = "02:00:00:00:00:01"
    made = plan(kernel, ENTRY)
    (found,) = made.verdicts["sriov"].changes
    assert (found.setting, found.before, found.after) == (
        f"mac of VF 1 of {PF}",
        "02:00:00:00:00:01",
        "52:54:00:aa:01:00",
    )


def test_what_left_the_list_is_released(kernel: FakeSriov) -> None:
    follow(kernel, plan(kernel, ENTRY))
    made = plan(kernel)
    first = made.verdicts["sriov"].changes[0]
    assert (first.setting, first.before, first.after) == (f"release VFs of {PF}", "2", "0")
    follow(kernel, made)
    assert (kernel.numvfs, plan(kernel).status) == (0, "in_sync")


def test_an_undefined_list_is_unmanaged(kernel: FakeSriov) -> None:
    follow(kernel, plan(kernel, ENTRY))
    host = look(kernel, [])
    assert make_plan({"sriov": {"devices": None}}, host).verdicts["sriov"].changes == ()
    assert read_state(kernel.root, kernel.run, Ledger(), {})["pfs"] == {}


def test_a_pf_cannot_go_to_a_guest(kernel: FakeSriov) -> None:
    given = {"devices": [{"name": "whole", "match": {"address": PF}}]}
    assert f"{PF} is to have VFs and is selected by 'whole'" in reasons(plan(kernel, ENTRY, vfio=given))


def test_one_card_twice_is_refused(kernel: FakeSriov) -> None:
    assert "both select" in reasons(plan(kernel, ENTRY, {**ENTRY, "name": "again"}))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"numvfs": 8}, "can have 7 VFs at most"),
        ({"match": {"address": "0000:09:00.0"}}, "matches no device of this host"),
    ],
)
def test_what_the_host_decides_is_a_refusal(kernel: FakeSriov, entry: dict[str, Any], words: str) -> None:
    assert words in reasons(plan(kernel, {**ENTRY, **entry}))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"name": None}, "has no name"),
        ({"match": {}}, "match is missing"),
        ({"match": {"vf_of": "x"}}, "unknown selector vf_of"),
        ({"speed": 1}, "unknown key speed"),
        ({"defaults": {"mac": "52:54:00:aa:00:ff"}}, "defaults has 'mac'"),
        ({"first_mac": "52:54:00:ff:ff:ff"}, "leave its first three octets"),
        ({"vfs": [{"index": 2, "vlan": 1}]}, "VF 2 of 2"),
    ],
)
def test_what_cannot_be_meant_is_named(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_entries([{**ENTRY, **entry}])


def test_own_settings_override_those_of_all() -> None:
    own = [{"index": 1, "mac": "52:54:00:bb:00:01", "vlan": 7}]
    (entry,) = parse_entries([{**ENTRY, "defaults": {"vlan": 5, "trust": True}, "vfs": own}])
    assert [settings.to_json() for settings in entry.request.vfs.values()] == [
        {"mac": "52:54:00:aa:00:ff", "vlan": 5, "trust": True},
        {"mac": "52:54:00:bb:00:01", "vlan": 7, "trust": True},
    ]


def test_vfs_are_selected_before_they_exist(kernel: FakeSriov) -> None:
    made = plan(kernel, ENTRY, vfio=GUESTS)
    assert [str(device.address) for device in made.selected["vfs"]] == ["0000:01:10.0", "0000:01:10.2"]
    verdict = made.verdicts["vfio"]
    assert (verdict.refusals, verdict.reboot_required) == ((), True)
    assert verdict.apply["foreseen"] == ["0000:01:10.0", "0000:01:10.2"]
    # The subsystem cannot be foretold, so it is no condition.
    assert verdict.apply["devices"][0] == {
        "address": "0000:01:10.0",
        "vendor_id": "8086",
        "device_id": "10ca",
        "allow": [],
    }
    assert "does not have this VF yet" in verdict.assumptions[0]


def test_vfs_that_are_gone_in_their_own_boot_come_back_without_another(kernel: FakeSriov) -> None:
    follow(kernel, plan(kernel, ENTRY))
    there = make_plan({"vfio": GUESTS, "sriov": {"devices": [ENTRY]}}, look(kernel, [ENTRY])).selected["vfs"]
    table = Table(
        4, {device.address: dataclasses.replace(device.identity, subsystem_device_id="0001") for device in there}
    )
    kernel.attribute(f"/sys/bus/pci/devices/{PF}/sriov_numvfs", "0")
    host = look(kernel, [ENTRY], table=str(table))
    host = dataclasses.replace(host, boot={**host.boot, "running": ["ro", table.argument]})
    verdict = make_plan({"vfio": GUESTS, "sriov": {"devices": [ENTRY]}}, host).verdicts["vfio"]
    assert verdict.refusals == ()
    assert not [change for change in verdict.changes if change.setting.startswith("device ")]
    assert verdict.apply["kernel_args"] == [table.argument]


@pytest.mark.parametrize(
    ("match", "found"),
    [
        ({"vf_of": "nic", "vf": [1]}, ["0000:01:10.2"]),
        ({"vf_of": "nic", "vf": 0}, ["0000:01:10.0"]),
        ({"vf_of": PF}, ["0000:01:10.0", "0000:01:10.2"]),
    ],
)
def test_some_of_them(kernel: FakeSriov, match: dict[str, Any], found: list[str]) -> None:
    made = plan(kernel, ENTRY, vfio={"devices": [{"name": "vfs", "match": match}]})
    assert [str(device.address) for device in made.selected["vfs"]] == found


@pytest.mark.parametrize(
    ("match", "words"),
    [
        ({"vf_of": "nic", "vf": [2]}, "wants VF 2 of 0000:01:00.0, which has 2"),
        ({"vf_of": "other"}, "no PF of this host and no entry of sriov_devices"),
    ],
)
def test_vfs_that_cannot_be(kernel: FakeSriov, match: dict[str, Any], words: str) -> None:
    assert words in reasons(plan(kernel, ENTRY, vfio={"devices": [{"name": "vfs", "match": match}]}), "vfio")


@pytest.mark.parametrize("match", [{"vf": [0]}, {"vf_of": "nic", "class": "02"}])
def test_vfs_are_named_by_their_card_alone(kernel: FakeSriov, match: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected vf_of, with or without vf"):
        plan(kernel, ENTRY, vfio={"devices": [{"name": "vfs", "match": match}]})


def test_a_card_that_does_not_tell_is_asked_later(tmp_path: Path) -> None:
    kernel = FakeSriov(tmp_path, offset=0, stride=0)
    assert "does not tell where its VFs will be" in reasons(plan(kernel, ENTRY, vfio=GUESTS), "vfio")


def test_the_switch_of_the_card_that_the_controller_comes_through_is_refused(kernel: FakeSriov) -> None:
    entry = {**ENTRY, "switchdev": True}
    host = look(kernel, [entry])
    host.facts["sriov"]["pfs"][PF]["eswitch"] = "legacy"
    way = Dependency(PF, MANAGEMENT_NIC, f"is {PORT}: the way to the controller (10.0.2.1)", "management_nic")
    made = make_plan({"sriov": {"devices": [entry]}}, dataclasses.replace(host, dependencies=(way,)))
    (refusal,) = made.verdicts["sriov"].refusals
    assert (refusal.device, refusal.allow) == (PF, None)
    assert "from legacy to switchdev: do that from a console" in refusal.reason
    # VFs alone are only a blink of its link.
    assert make_plan({"sriov": {"devices": [ENTRY]}}, dataclasses.replace(host, dependencies=(way,))).status == "drift"

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import itertools
import json
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.decision import COMPONENTS, Plan, make_plan
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    SEVERITY,
    Change,
    HostState,
    Refusal,
    Verdict,
)
from tests.unit.plugins.cpu_machines import MACHINES, Shape, topology_of
from tests.unit.plugins.planned_host import device_on, host_with, plan_with

VERDICTS = {
    "in_sync": Verdict(),
    "pending_reboot": Verdict(pending_reboot=True),
    "drift": Verdict(changes=(Change("x", None, "1"),)),
    "refused": Verdict(refusals=(Refusal(None, "no"),)),
}
GPU = device_on(0)
IOMMU = {"enabled": True}
VFIO = {"devices": [{"name": "gpu", "match": {"address": str(GPU.address)}}]}
LOST = {"devices": [{"name": "gpu", "match": {"address": "0000:77:00.0"}}]}
ISOLATION = {"cpus": "domains"}
DOMAINS: dict[str, Any] = {
    "domains": [{"name": "demo", "memory": "1G", "vcpus": 4, "pinning": {"near": "gpu", "host_cores": 2}}]
}


@pytest.fixture
def host() -> HostState:
    facts = {
        "cpu_isolation": {"topology": MACHINES["ryzen 1600"].to_json()},
        "libvirt_domains": {
            "available": True,
            "reason": None,
            "capabilities": {"arch": "x86_64", "virt_types": ["kvm"], "firmwares": None},
            "running": [],
            "domains": [],
            "claims": [],
            "free_pages": {},
            "rom_files": {},
        },
    }
    return dataclasses.replace(host_with(facts), devices=(GPU,))


def reasons(plan: Plan, component: str) -> list[str]:
    return [refusal.reason for refusal in plan.verdicts[component].refusals]


@pytest.mark.parametrize(("one", "other"), list(itertools.product(SEVERITY, repeat=2)))
def test_the_worst_status_is_the_plans(one: str, other: str) -> None:
    plan = plan_with({"iommu": VERDICTS[one], "vfio": VERDICTS[other]})
    assert plan.status == max(one, other, key=SEVERITY.index)


def test_one_component_is_enough_to_need_a_reboot() -> None:
    assert not plan_with({"iommu": VERDICTS["in_sync"], "vfio": VERDICTS["drift"]}).reboot.required
    assert plan_with({"iommu": VERDICTS["in_sync"], "vfio": VERDICTS["pending_reboot"]}).reboot.required


def test_what_is_not_wanted_is_not_managed(host: HostState) -> None:
    assert make_plan({}, host).to_json() == {
        "status": "in_sync",
        "once_kept": "in_sync",
        "reboot_required": False,
        "reboot": {
            "required": False,
            "components": [],
            "running_domains": [],
            "unknown": None,
            "trial": {"wanted": False, "state": "none"},
            "refusals": [],
            "warnings": [],
        },
        "components": {},
        "kernel_arguments": {},
        "devices": {},
    }
    assert list(make_plan({"iommu": IOMMU}, host).verdicts) == ["iommu"]


def test_components_are_judged_in_the_order_in_which_they_are_written(host: HostState) -> None:
    wanted = {"libvirt_domains": DOMAINS, "cpu_isolation": ISOLATION, "iommu": IOMMU}
    order = list(make_plan(wanted, host).verdicts)
    assert order == sorted(wanted, key=list(COMPONENTS).index)


def test_only_what_would_change_hands_arguments_to_the_writer(host: HostState) -> None:
    drifting = make_plan({"iommu": IOMMU}, host).to_json()
    assert drifting["kernel_arguments"] == {"iommu": ["intel_iommu=on"]}
    written = host_with({}, ledger={"kernel_args": {"iommu": ["intel_iommu=on"]}}, entries=["ro intel_iommu=on"])
    pending = make_plan({"iommu": IOMMU}, dataclasses.replace(written, iommu=host.iommu)).to_json()
    assert (pending["status"], pending["kernel_arguments"]) == ("pending_reboot", {})


def test_the_plan_is_json_with_names_resolved_to_addresses(host: HostState) -> None:
    wanted = {"vfio": VFIO, "cpu_isolation": ISOLATION, "libvirt_domains": DOMAINS}
    plan = make_plan(wanted, host, ["cpu_isolation", "libvirt_domains"]).to_json()
    assert plan == json.loads(json.dumps(plan))
    assert plan["devices"] == {"gpu": [str(GPU.address)]}


@pytest.mark.parametrize(
    ("vfio", "reason"),
    [
        (LOST, "needs the device 'gpu', which was refused under vfio"),
        ({"devices": []}, "needs the device 'gpu', which vfio_devices does not name"),
    ],
)
def test_a_device_that_did_not_resolve_is_refused_where_it_is_used(
    host: HostState, vfio: dict[str, Any], reason: str
) -> None:
    plan = make_plan({"vfio": vfio, "libvirt_domains": DOMAINS, "iommu": IOMMU}, host, ["libvirt_domains", "iommu"])
    assert reasons(plan, "libvirt_domains") == [reason]
    assert plan.verdicts["iommu"].status == "drift"


def test_a_device_that_did_not_resolve_is_refused_under_vfio(host: HostState, monkeypatch: pytest.MonkeyPatch) -> None:
    # What vfio itself says about such a host is not the point here.
    vfio = Verdict(refusals=(Refusal(None, "its own reason"),))
    module = "ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.decision.COMPONENTS"
    monkeypatch.setattr(module, {**COMPONENTS, "vfio": lambda _wanted, _host, _selected: vfio})
    first, second = reasons(make_plan({"vfio": LOST}, host), "vfio")
    assert "'gpu'" in first
    assert second == "its own reason"


@pytest.mark.parametrize("judged", [["cpu_isolation"], ["cpu_isolation", "libvirt_domains"]])
def test_isolation_gets_the_cpus_of_pinned_domains(host: HostState, judged: list[str]) -> None:
    plan = make_plan({"vfio": VFIO, "cpu_isolation": ISOLATION, "libvirt_domains": DOMAINS}, host, judged)
    assert list(plan.verdicts) == judged
    assert plan.verdicts["cpu_isolation"].apply["cpus"] == "6-9"
    for domains in [plan.verdicts[name] for name in judged[1:]]:
        pins = domains.apply["domains"][0]["vcpu_pins"]
        assert sorted(int(pin["cpus"]) for pin in pins) == [6, 7, 8, 9]


@pytest.mark.parametrize("domains", [None, {"domains": [{"name": "demo", "memory": "1G", "vcpus": 4}]}])
def test_without_pinned_domains_there_is_nothing_to_isolate(host: HostState, domains: dict[str, Any] | None) -> None:
    wanted = {"cpu_isolation": ISOLATION, **({} if domains is None else {"libvirt_domains": domains})}
    assert "no domain is pinned" in reasons(make_plan(wanted, host, ["cpu_isolation"]), "cpu_isolation")[0]


@pytest.mark.parametrize("vfio", [VFIO, LOST], ids=["too many vCPUs", "unresolved device"])
def test_domains_that_cannot_be_pinned_say_so_themselves(host: HostState, vfio: dict[str, Any]) -> None:
    (domain,) = DOMAINS["domains"]
    many = {"domains": [{**domain, "vcpus": 48}]}
    wanted = {"vfio": vfio, "cpu_isolation": ISOLATION, "libvirt_domains": many}
    plan = make_plan(wanted, host, ["cpu_isolation", "libvirt_domains"])
    assert plan.verdicts["libvirt_domains"].status == "refused"
    assert "no domain is pinned" in reasons(plan, "cpu_isolation")[0]


@pytest.mark.parametrize(
    ("wanted", "components"), [({"gpu": {}}, None), ({"iommu": IOMMU}, ["gpu"]), ({"gpu": {}}, ["iommu"])]
)
def test_an_unknown_component_is_named(host: HostState, wanted: dict[str, Any], components: list[str] | None) -> None:
    with pytest.raises(InputError, match=r"unknown component 'gpu'; expected iommu, sriov, vfio, "):
        make_plan(wanted, host, components)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"vfio": "gpu"}, "wanted.vfio is 'gpu': expected a dictionary"),
        ({"iommu": ["on"]}, "wanted.iommu is"),
        ({"vfio": {"devices": "06:00.0"}}, "vfio_devices is '06:00.0': expected a list"),
        ({"vfio": {"devices": ["06:00.0"]}}, "vfio_devices: an entry is '06:00.0'"),
        ({"libvirt_domains": {"domains": "demo"}}, "libvirt_domains_list is 'demo'"),
        ({"libvirt_domains": {"domains": ["demo"]}}, "libvirt_domains_list: an entry is 'demo'"),
    ],
)
def test_what_has_the_wrong_form_is_named(host: HostState, wanted: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_plan(wanted, host)


def test_a_component_alone_needs_no_facts_of_others(host: HostState) -> None:
    few = dataclasses.replace(host, facts={})
    wanted = {"vfio": VFIO, "iommu": IOMMU, "cpu_isolation": ISOLATION, "libvirt_domains": DOMAINS}
    assert list(make_plan(wanted, few, ["iommu"]).verdicts) == ["iommu"]


def test_a_domain_that_is_torn_between_nodes_is_a_warning_of_the_domains(host: HostState) -> None:
    shapes = tuple(Shape((core * 2, core * 2 + 1), l3=core // 4, node=core // 4) for core in range(8))
    two_nodes = {**host.facts, "cpu_isolation": {"topology": topology_of(shapes).to_json()}}
    torn = dataclasses.replace(host, facts=two_nodes, devices=(device_on(1),))
    domain = {"name": "demo", "memory": "1G", "vcpus": 2, "devices": ["gpu"], "vcpu_pins": [{"vcpu": 0, "cpus": "2"}]}
    plan = make_plan({"vfio": VFIO, "libvirt_domains": {"domains": [domain]}}, torn, ["libvirt_domains"])
    (warning,) = plan.verdicts["libvirt_domains"].warnings
    assert "'gpu' is on NUMA node 1, the domain's CPUs on NUMA node 0" in warning


@pytest.mark.parametrize(
    ("boot", "free", "reason"),
    [
        # In place nothing is needed but the new image beside the old one.
        ({"reboot": False}, 70, None),
        ({"reboot": True, "trial_mode": "off"}, 70, None),
        ({"reboot": True}, 70, "a boot on trial needs 72 MiB there"),
        ({"reboot": True}, 72, None),
        ({"reboot": False}, 60, "the new image of a needs 68 MiB"),
    ],
)
def test_images_for_which_there_is_no_room_are_refused_as_they_would_be_built(
    boot: dict[str, Any], free: int, reason: str | None
) -> None:
    vfio = {"managed": True, "table": None, "generators": ["initramfs-tools"], "method": None, "vfio_pci": "module"}
    image = {
        "kernel": "a",
        "path": "/boot/initrd.img-a",
        "present": True,
        "recorded": True,
        "size": 60 << 20,
        # Of devices that were released.
        "content": {"files": {"etc/virtfleet-passthrough/vfio-devices": "old"}, "modules": []},
        "modules_needed": [],
        "modules_missing": [],
        "watchdog_files": {},
    }
    bare: dict[str, Any] = {"obstacle": None, "unified_obstacle": None, "remarks": []}
    images = {"generator": "initramfs-tools", "images": [image], "free": {"/boot": free << 20}, **bare}
    host = host_with({"vfio": vfio, "vfio_options": {"managed": False, "files": {}}, "initramfs": images})
    trial = {
        "state": "none",
        "obstacle": None,
        "base": {"kernel": "a", "initrd": "/boot/initrd.img-a", "directory": "/boot", "without_entry": []},
        "room": {
            "directories": {"/boot": "8:2"},
            "file_systems": {"8:2": {"point": "/boot", "free": free << 20}},
            "staged": {},
            "copy": 0,
            "early_files": {},
        },
    }
    plan = make_plan({"iommu": IOMMU, "initramfs": {}}, dataclasses.replace(host, trial=trial), boot=boot)
    assert [reason for told in reasons(plan, "initramfs") if reason and reason in told] == ([reason] if reason else [])
    assert plan.status == ("refused" if reason else "drift")
    assert plan.reboot.trial is (boot == {"reboot": True})

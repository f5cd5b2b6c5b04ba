# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.topology import Cpu, Topology
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.connection import connection
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.domains import all_snapshots, claims
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.judge import Request
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.manage import apply
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.state import read_domains_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.libvirt_domain import request_from
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.libvirt_domains import (
    decide,
    resolve_pinnings,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency, HostState, Verdict
from tests.unit.plugins.libvirt_host import GPU, GPU_AUDIO, driver_uri, usual_host
from tests.unit.plugins.option_roms import rom_image
from tests.unit.plugins.planned_host import device_on, host_with

EIGHT = Topology(
    tuple(
        Cpu(number, 0, 0, number // 2, (number // 2 * 2, number // 2 * 2 + 1), (), number // 4) for number in range(8)
    )
)
CAPABILITIES = {"arch": "x86_64", "virt_types": ["qemu"], "firmwares": None}
DEMO: dict[str, Any] = {"name": "demo", "memory": "1G", "vcpus": 2, "devices": ["gpu"]}


def _functions(driver: str | None, group: int | None = 2) -> tuple[Any, ...]:
    return tuple(
        dataclasses.replace(device_on(1, address), driver=driver, iommu_group=group, class_code=kind)
        for address, kind in ((GPU, "0300"), (GPU_AUDIO, "0403"))
    )


def planned(facts: dict[str, Any] | None = None, driver: str | None = "vfio-pci", **more: Any) -> HostState:
    state = {
        "available": True,
        "reason": None,
        "capabilities": CAPABILITIES,
        "domains": [],
        "claims": [],
        "free_pages": {},
        "rom_files": {},
        **(facts or {}),
    }
    host = host_with({"libvirt_domains": state, "cpu_isolation": {"topology": EIGHT.to_json()}})
    return dataclasses.replace(host, devices=_functions(driver), **more)


def judged(domain: dict[str, Any], host: HostState | None = None) -> Verdict:
    host = host or planned()
    return decide({"domains": [domain]}, host, {"gpu": host.devices})


def no_program(argv: Sequence[str], cwd: str | None = None) -> CommandResult:
    raise AssertionError(f"{argv} is not needed")


def module_params(options: Any) -> dict[str, Any]:
    """What the module sees when the role hands it these options."""
    return {"state": "present", "force": False, "shutdown_timeout": 120, "name": None, **options}


def test_new_domain_is_drift_and_resolved_for_the_module() -> None:
    verdict = judged({**DEMO, "pinning": {"near": "gpu", "host_cores": 1}})
    assert (verdict.status, verdict.reboot_required, verdict.refusals) == ("drift", False, ())
    assert [(change.setting, change.before) for change in verdict.changes] == [
        ("domain 'demo'", None),
        ("domain 'demo': state", "no domain"),
    ]
    assert verdict.apply["waiting"] == {}
    assert verdict.apply["domains"] == [
        {
            "name": "demo",
            "state": "running",
            "memory": "1G",
            "vcpus": 2,
            "devices": [{"address": GPU}, {"address": GPU_AUDIO}],
            "vcpu_pins": [{"vcpu": 0, "cpus": "6"}, {"vcpu": 1, "cpus": "7"}],
            "emulator_cpus": "4-5",
            "topology": {"sockets": 1, "cores": 1, "threads": 2},
            "memory_node": 1,
        }
    ]
    assert isinstance(request_from(module_params(verdict.apply["domains"][0])), Request)


def test_what_the_module_wrote_is_in_sync_for_the_plan(tmp_path: Path) -> None:
    domain = {
        **DEMO,
        "pinning": {"near": "gpu", "host_cores": 1},
        "serial_log": "/var/log/demo.log",
        "autostart": False,
    }
    ready = judged(domain).apply["domains"][0]
    base = usual_host(tmp_path)
    base.write("sys/devices/system/cpu/online", "0-7")
    ledger = Ledger({"schema": 1}, base.root)
    with connection(driver_uri(tmp_path), readonly=False) as conn:
        # libvirt's test driver offers only guests of its own kind.
        apply(conn, base.root, ledger, request_from(module_params({**ready, "virt_type": "qemu"})), check_mode=False)
        states = all_snapshots(conn)
    facts = {
        "domains": [state.to_json() for state in states if state.name == "demo"],
        "claims": [claim.to_json() for claim in claims(states)],
    }
    host = planned(facts, ledger=Ledger.from_json(ledger.to_json()))
    assert judged(domain, host).status == "in_sync"
    changed = judged({**domain, "memory": "2G"}, host)
    assert {change.setting for change in changed.changes} == {"domain 'demo': memory", "domain 'demo': currentMemory"}
    assert any("needs a restart" in warning for warning in changed.warnings)
    # Without the ledger's entry the same domain is somebody else's.
    assert judged({**domain, "memory": "2G"}, planned(facts)).refusals[0].allow == "foreign_domain"
    gone = judged({"name": "demo", "state": "absent"}, host)
    assert [(change.setting, change.after) for change in gone.changes] == [("domain 'demo'", None)]


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        (planned(driver="nouveau"), DEMO),
        (planned(driver=None), DEMO),
        (dataclasses.replace(planned(), devices=_functions("vfio-pci", None)), DEMO),
        (planned(), {**DEMO, "hugepages": "1G"}),
    ],
    ids=["native driver", "no driver", "IOMMU off", "no pages"],
)
def test_what_a_reboot_brings_is_waited_for_not_refused(host: HostState, domain: dict[str, Any]) -> None:
    verdict = judged(domain, host)
    assert (verdict.status, verdict.reboot_required) == ("drift", True)
    assert all(change.after_reboot for change in verdict.changes)
    assert list(verdict.apply["waiting"]) == ["demo"]
    assert verdict.assumptions
    assert [entry["name"] for entry in verdict.apply["domains"]] == ["demo"]


def test_libvirt_that_is_not_there_yet_needs_no_reboot() -> None:
    verdict = judged(DEMO, planned({"available": False, "reason": "not installed", "capabilities": None}))
    assert (verdict.status, verdict.reboot_required) == ("drift", False)
    assert "not installed" in verdict.apply["waiting"]["demo"][0]


def test_device_of_another_running_domain_is_refused() -> None:
    claim = {"domain": "other", "address": GPU, "running": True, "autostart": False}
    verdict = judged(DEMO, planned({"claims": [claim]}))
    assert verdict.status == "refused"
    assert verdict.refusals[0].device == GPU


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "rom_file /srv/card.rom of 0000:01:00.0 cannot be read"),
        (rom_image(3, "10de", "2204", last=True)[:600], "is cut off: the image at byte 0 has 1024 bytes, 600 are"),
        (rom_image(3, "10de", "1184", last=True), "is for 10de:1184, and the device is 10de:2204"),
        (rom_image(3, "10de", "2204", last=True), None),
    ],
    ids=["missing", "cut off", "another model", "right"],
)
def test_a_wrong_rom_is_refused_before_anything_is_written(
    tmp_path: Path, content: bytes | None, reason: str | None
) -> None:
    base = usual_host(tmp_path)
    if content is not None:
        base.write("srv/card.rom", "")
        (tmp_path / "srv/card.rom").write_bytes(content)
    domain = {**DEMO, "devices": [{"name": "gpu", "rom_file": "/srv/card.rom"}]}
    read = read_domains_state(base.root, no_program, Ledger(), {"domains": [domain]})
    # Not even what waits for a reboot may begin with it.
    for driver in ("vfio-pci", "nouveau"):
        refusals = judged(domain, planned({"rom_files": read["rom_files"]}, driver)).refusals
        assert [refusal.device for refusal in refusals] == [GPU] * (reason is not None)
        assert all(reason in refusal.reason for refusal in refusals if reason)


def test_managed_device_that_the_host_needs_is_refused_without_its_key() -> None:
    need = Dependency(GPU, "boot_vga", "is the display that the firmware started with", "boot_vga")
    host = planned(dependencies=(need,))
    managed = {"name": "gpu", "managed": True}
    assert judged({**DEMO, "devices": [managed]}, host).refusals[0].allow == "boot_vga"
    assert judged({**DEMO, "devices": [{**managed, "allow": ["boot_vga"]}]}, host).refusals == ()


def test_two_domains_cannot_run_with_one_device() -> None:
    host = planned()
    both = {"domains": [DEMO, {**DEMO, "name": "twin"}]}
    assert "'demo' and 'twin'" in decide(both, host, {"gpu": host.devices}).refusals[0].reason
    turns = {"domains": [DEMO, {**DEMO, "name": "twin", "state": "present"}]}
    assert decide(turns, host, {"gpu": host.devices}).refusals == ()


def test_pinned_domains_get_cpus_of_their_own() -> None:
    host = planned()
    wanted = [
        {"name": "one", "vcpus": 2, "memory": "1G", "pinning": {"near": "gpu"}},
        {"name": "two", "vcpus": 2, "memory": "1G", "pinning": {"near": "gpu"}},
        {"name": "free", "vcpus": 2, "memory": "1G"},
    ]
    pinnings = resolve_pinnings(wanted, host, {"gpu": host.devices})
    assert list(pinnings) == ["one", "two"]
    assert not set(pinnings["one"].reserved) & set(pinnings["two"].reserved)
    too_many = decide({"domains": [{**wanted[0], "vcpus": 64}]}, host, {"gpu": host.devices})
    assert "'one'" in too_many.refusals[0].reason


def test_cpus_shared_by_hand_are_said() -> None:
    pins = {"vcpu_pins": [{"vcpu": 0, "cpus": "4"}]}
    entries = [{"name": name, "memory": "1G", "vcpus": 1, **pins} for name in ("one", "two")]
    warnings = decide({"domains": entries}, planned(), {}).warnings
    assert any("shares CPUs 4 with domain 'one'" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        ({"memroy": "1G"}, "'memroy'"),
        ({"uri": "qemu:///session"}, "'uri'"),
        ({"state": "on"}, "'on'"),
        ({"devices": "gpu"}, "list of names"),
        ({"devices": [{"address": GPU}]}, "expected a name"),
        ({"devices": [{"name": "gpu", "driver": "x"}]}, "expected a name"),
        ({"pinning": "gpu"}, "near and host_cores"),
        ({"pinning": {"node": 1}}, "'node'"),
        ({"pinning": {"host_cores": "all"}}, "host_cores"),
        ({"pinning": {}, "topology": {"cores": 2}}, "only one of them"),
        ({"allow": ["everything"]}, "'everything'"),
        ({"allow": "foreign_domain"}, "expected a list"),
        ({"memory": None}, "needs memory"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(domain: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        judged({**DEMO, **domain})


@pytest.mark.parametrize("wanted", [{"domain": []}, {"domains": {}}, {"domains": [DEMO, DEMO]}, {"domains": [{}]}])
def test_list_that_cannot_be_meant(wanted: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        decide(wanted, planned(), {})

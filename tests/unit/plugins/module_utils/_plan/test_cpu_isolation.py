# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.state import read_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.topology import Topology
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.cpu_isolation import decide
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState
from tests.unit.plugins.cpu_machines import MACHINES, write_tree
from tests.unit.plugins.planned_host import host_with

LINE = "isolcpus=managed_irq,domain,6-11 nohz_full=6-11 rcu_nocbs=6-11 irqaffinity=0-5"
OURS = {"kernel_args": {"cpu_isolation": LINE.split()}}


def _host(machine: str = "ryzen 1600", **more: Any) -> HostState:
    return host_with({"cpu_isolation": {"topology": MACHINES[machine].to_json()}}, **more)


def test_a_fresh_host_drifts_and_needs_a_reboot() -> None:
    verdict = decide({"cpus": "6-11"}, _host(), {})
    assert (verdict.status, verdict.reboot_required) == ("drift", True)
    assert verdict.apply == {"cpus": "6-11", "kernel_args": LINE.split()}
    assert json.dumps(verdict.to_json())


def test_written_and_not_booted_is_pending() -> None:
    verdict = decide({"cpus": "6-11"}, _host(entries=[f"ro {LINE}"], ledger=OURS), {})
    assert (verdict.status, verdict.reboot_required) == ("pending_reboot", True)


def test_written_and_booted_is_in_sync() -> None:
    host = _host("isolating", entries=[f"ro {LINE}"], running=f"ro {LINE}", ledger=OURS)
    assert decide({"cpus": "6-11"}, host, {}).status == "in_sync"
    assert decide({"cpus": [6, 7, 8, "9-11"]}, host, {}).status == "in_sync"


def test_a_second_kernel_without_the_arguments_is_drift_without_a_reboot() -> None:
    host = _host("isolating", entries=[f"ro {LINE}", "ro"], running=f"ro {LINE}", ledger=OURS)
    verdict = decide({"cpus": "6-11"}, host, {})
    assert (verdict.status, verdict.reboot_required) == ("drift", False)


def test_a_kernel_that_ignored_its_arguments_is_refused_instead_of_rebooted_for_ever() -> None:
    verdict = decide({"cpus": "6-11"}, _host(entries=[f"ro {LINE}"], running=f"ro {LINE}", ledger=OURS), {})
    assert verdict.status == "refused"
    assert "isolated CPUs are none, not 6-11" in verdict.refusals[0].reason


@pytest.mark.parametrize(
    ("cpus", "said"),
    [
        ("0-3", "CPU 0 cannot"),
        ("0-11", "leaves no CPU"),
        ("12", "CPU 12 does not exist"),
        ("domains", "no domain is pinned"),
    ],
)
def test_sets_that_are_refused(cpus: str, said: str) -> None:
    verdict = decide({"cpus": cpus}, _host(), {})
    assert verdict.status == "refused"
    assert said in verdict.refusals[0].reason
    assert verdict.changes == ()


def test_an_offline_cpu_is_refused() -> None:
    verdict = decide({"cpus": "3"}, _host("half a core off"), {})
    assert "CPU 3 is offline" in verdict.refusals[0].reason


@pytest.mark.parametrize("cpus", ["", [], None, "4-2", True, {"a": 1}, "a"])
def test_what_cannot_be_meant(cpus: Any) -> None:
    with pytest.raises(InputError):
        decide({"cpus": cpus}, _host(), {})


def test_switches_are_booleans() -> None:
    with pytest.raises(InputError, match="nohz_full is '1'"):
        decide({"cpus": "6-11", "nohz_full": 1}, _host(), {})
    verdict = decide({"cpus": "6-11", "nohz_full": False, "rcu_nocbs": "no", "irqaffinity": "false"}, _host(), {})
    assert verdict.apply["kernel_args"] == ["isolcpus=managed_irq,domain,6-11"]


def test_the_cpus_of_domains() -> None:
    verdict = decide({"cpus": "domains", "domain_cpus": "6-11"}, _host(), {})
    assert verdict.apply["kernel_args"] == LINE.split()
    assert verdict.warnings == ()


def test_a_set_that_differs_from_the_domains_is_said() -> None:
    verdict = decide({"cpus": "6-11", "domain_cpus": "2-5"}, _host(), {})
    assert [("pinned to 2-5" in warning) for warning in verdict.warnings] == [True]


def test_torn_cores_and_a_kernel_without_nohz_are_said() -> None:
    assert "CPUs 7 share a core" in decide({"cpus": "6"}, _host(), {}).warnings[0]
    assert "CONFIG_NO_HZ_FULL" in decide({"cpus": "3"}, _host("without nohz"), {}).warnings[0]


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("ro isolcpus=2-3", True),
        ("ro nohz_full=6-10", True),
        ("ro irqaffinity=0", True),
        ("ro rcu-nocbs=all", True),
        # The same CPUs with other flags: the kernel would keep one of the two.
        ("ro isolcpus=nohz,6-11", True),
        (f"ro {LINE}", False),
        ("ro isolcpu=2", False),
    ],
)
def test_arguments_of_somebody_else_that_contradict_are_refused(line: str, refused: bool) -> None:
    verdict = decide({"cpus": "6-11"}, _host(entries=[line]), {})
    assert (verdict.status == "refused") == refused
    assert not refused or line.split()[1] in verdict.refusals[0].reason


def test_our_own_former_arguments_do_not_contradict() -> None:
    former = "isolcpus=managed_irq,domain,8-11"
    ledger = {"kernel_args": {"cpu_isolation": [former], "iommu": ["intel_iommu=on"]}}
    host = _host(entries=[f"ro {former} intel_iommu=on"], ledger=ledger)
    assert decide({"cpus": "6-11"}, host, {}).status == "drift"
    torn = _host(entries=[f"ro {former} quiet intel_iommu=on"], ledger=ledger)
    assert decide({"cpus": "6-11"}, torn, {}).status == "refused"


def test_giving_back() -> None:
    booted = _host("isolating", entries=[f"ro {LINE}"], running=f"ro {LINE}", ledger=OURS)
    verdict = decide({"cpus": "none"}, booted, {})
    assert (verdict.status, verdict.apply["kernel_args"]) == ("drift", [])
    written = _host("isolating", entries=["ro"], running=f"ro {LINE}")
    assert decide({"cpus": "none"}, written, {}).status == "pending_reboot"
    assert decide({"cpus": "none"}, _host(entries=["ro"], running="ro"), {}).status == "in_sync"


def test_isolation_by_somebody_else_is_not_waited_for() -> None:
    host = _host("isolating", entries=[f"ro {LINE}"], running=f"ro {LINE}")
    assert decide({"cpus": "none"}, host, {}).status == "in_sync"


def test_the_reader_delivers_what_the_decision_takes(tmp_path: Path) -> None:
    def run(argv: Any, cwd: str | None = None) -> CommandResult:
        raise AssertionError("no program is needed to read sysfs")

    write_tree(tmp_path, MACHINES["isolating"])
    facts = json.loads(json.dumps(read_state(Root(str(tmp_path)), run, Ledger(), {})))
    assert Topology.from_json(facts["topology"]) == MACHINES["isolating"]
    host = host_with({"cpu_isolation": facts}, entries=[f"ro {LINE}"], running=f"ro {LINE}", ledger=OURS)
    assert decide({"cpus": "6-11"}, host, {}).status == "in_sync"

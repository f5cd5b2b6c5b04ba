# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action plugin around a reader that really reads, from a directory that stands for the host."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.playbook.task import Task

from ansible_collections.virtfleet.passthrough.plugins.action.host_plan import ActionModule
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.state import read_host
from tests.unit.plugins.host_tree import HostTree

BOOT_ID = "11111111-1111-4111-8111-111111111111"

Module = Callable[[dict[str, Any]], dict[str, Any]]


class Action(ActionModule):
    """The plugin with a module of the test's; ``sent`` are the arguments that the host got."""

    def __init__(self, module: Module, arguments: dict[str, Any], delegate_to: str | None = None) -> None:
        task = Task()
        task.args, task.action, task.delegate_to = arguments, "virtfleet.passthrough.host_plan", delegate_to
        super().__init__(task, mock.Mock(), mock.Mock(), mock.Mock(), mock.Mock(), mock.Mock())
        self.sent: list[dict[str, Any]] = []
        self._module = module

    def _execute_module(self, *_unnamed: Any, **call: Any) -> dict[str, Any]:
        assert call["module_name"] == "virtfleet.passthrough.host_plan"
        self.sent.append(call["module_args"])
        return self._module(call["module_args"])


def no_program(argv: Any, cwd: str | None = None) -> CommandResult:
    raise AssertionError(f"{argv} was started")


@pytest.fixture
def reader(tmp_path: Path) -> Module:
    """The module's result from an Intel host with one NIC, its IOMMU on, and no boot loader that we know."""
    tree = HostTree(tmp_path)
    tree.function("0000:01:00.0", group=1)
    tree.write("/proc/cmdline", "ro intel_iommu=on\n")
    tree.write("/proc/cpuinfo", "vendor_id\t: GenuineIntel\n")
    tree.write("/proc/sys/kernel/random/boot_id", BOOT_ID + "\n")

    def module(arguments: dict[str, Any]) -> dict[str, Any]:
        state = read_host(Root(str(tmp_path)), no_program, arguments["wanted"], arguments["components"])
        return {"changed": False, "state": json.loads(json.dumps(state)), "effective_uid": 0}

    return module


def untouched(_arguments: dict[str, Any]) -> dict[str, Any]:
    raise AssertionError("the host was reached")


def test_the_plan_of_a_host(reader: Module) -> None:
    result = Action(reader, {"wanted": {"iommu": {"enabled": True}}}).run(task_vars={})
    assert (result["changed"], result["status"], result["reboot_required"]) == (False, "in_sync", False)
    assert result["boot_id"] == BOOT_ID
    assert result["summary"] == ["iommu: in sync", "reboot: none is needed"]
    assert result["table"] == ["COMPONENT  STATUS      WHAT AND WHY", "iommu      in sync", "reboot     not needed"]
    assert not {"ansible_facts", "state", "effective_uid"} & set(result)


def test_null_is_unmanaged_for_a_component_and_the_default_for_an_option(reader: Module) -> None:
    action = Action(reader, {"wanted": {"iommu": {"enabled": True, "passthrough_mode": None}, "vfio": None}})
    assert list(action.run(task_vars={})["components"]) == ["iommu"]
    assert [arguments["wanted"] for arguments in action.sent] == [{"iommu": {"enabled": True}}]


def test_components_restrict_what_is_judged(reader: Module) -> None:
    action = Action(reader, {"wanted": {"iommu": {"enabled": True}, "vfio": {"devices": []}}, "components": ["iommu"]})
    assert list(action.run(task_vars={})["components"]) == ["iommu"]
    assert action.sent[0]["components"] == ["iommu"]


def test_a_query_sees_the_names_that_the_facts_show(reader: Module, tmp_path: Path) -> None:
    HostTree(tmp_path).write("/usr/share/misc/pci.ids", "8086  Intel Corporation\n\t10d3  82574L\nC 02  Network\n")
    entry = {"name": "nic", "match": {"query": "name == 'Intel Corporation 82574L'"}}
    plan = Action(reader, {"wanted": {"vfio": {"devices": [entry]}}}).run(task_vars={})
    assert plan["devices"] == {"nic": ["0000:01:00.0"]}


def test_delegation_is_refused_before_the_host_is_reached() -> None:
    with pytest.raises(AnsibleActionFail, match="cannot be delegated"):
        Action(untouched, {"wanted": {}}, delegate_to="elsewhere").run(task_vars={})


@pytest.mark.parametrize(
    "arguments",
    [
        {"wanted": {"gpu": {}}},
        {"wanted": {"gpu": None}},
        {"wanted": {"iommu": {"enabled": True}}, "components": ["gpu"]},
    ],
)
def test_an_unknown_component_is_named_before_the_host_is_reached(arguments: dict[str, Any]) -> None:
    with pytest.raises(AnsibleActionFail, match="unknown component 'gpu'; expected iommu, "):
        Action(untouched, arguments).run(task_vars={})


@pytest.mark.parametrize("arguments", [{}, {"wanted": {}, "wantd": {}}, {"wanted": {}, "components": {"a": 1}}])
def test_arguments_are_validated_before_the_host_is_reached(arguments: dict[str, Any]) -> None:
    with pytest.raises(AnsibleActionFail):
        Action(untouched, arguments).run(task_vars={})


def test_only_root_sees_enough_of_a_live_host(reader: Module) -> None:
    def unprivileged(arguments: dict[str, Any]) -> dict[str, Any]:
        return {**reader(arguments), "effective_uid": 1000}

    with pytest.raises(AnsibleActionFail, match="needs root on the host"):
        Action(unprivileged, {"wanted": {}}).run(task_vars={})
    # A captured tree is a directory like any other.
    assert Action(unprivileged, {"wanted": {}, "root": "/captured"}).run(task_vars={})["status"] == "in_sync"


@pytest.mark.parametrize(
    "failure",
    [
        {"failed": True, "msg": "the ledger is of a newer schema"},
        {"unreachable": True, "msg": "no route to host"},
        {"skipped": True, "msg": "remote module does not support check mode"},
    ],
)
def test_a_failure_of_the_reader_is_passed_on(failure: dict[str, Any]) -> None:
    assert Action(lambda _arguments: failure, {"wanted": {}}).run(task_vars={}) == failure


def test_a_wanted_state_that_cannot_be_meant_fails_by_name(reader: Module) -> None:
    with pytest.raises(AnsibleActionFail, match="iommu_enabled: expected true"):
        Action(reader, {"wanted": {"iommu": {"enabled": False}}}).run(task_vars={})

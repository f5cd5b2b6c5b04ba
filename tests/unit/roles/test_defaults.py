# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Defaults live in the plan. Roles and modules repeat them for people, and must not say anything else."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.options import DEFAULTS as BOOT_DEFAULTS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.options import RUNNING_DOMAINS, TRIAL_MODES
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import BOOTLOADERS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import SECTIONS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.decision import COMPONENTS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.encryption import HOST_KEYS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.hugepages import TIMINGS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.kernel_arguments import OPTIONS, TSC

PASSTHROUGH = "ansible_collections.virtfleet.passthrough.plugins"
ROLES = Path(__file__).parents[3] / "roles"
NAMES = sorted(path.name for path in ROLES.iterdir())

# The role of a component that has none of its own name; its options carry the role's prefix.
ROLE_OF = {"vfio_options": "vfio"}

# Options of the plan that the role does not offer. A kernel left out would boot without the held devices.
ONLY_IN_THE_PLAN = {"initramfs": {"kernels"}}


def load(role: str, path: str) -> Any:
    file = ROLES / role / path
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else None


def options(role: str) -> dict[str, Any]:
    found: dict[str, Any] = load(role, "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    return found


def planned(component: str) -> Mapping[str, Any]:
    module = importlib.import_module(f"{PASSTHROUGH}.module_utils._plan.{component}")
    defaults: Mapping[str, Any] = getattr(module, "DEFAULTS", {})
    return {name: value for name, value in defaults.items() if name not in ONLY_IN_THE_PLAN.get(component, ())}


@pytest.mark.parametrize("role", NAMES)
def test_a_role_documents_its_defaults(role: str) -> None:
    defaults = load(role, "defaults/main.yml") or {}
    # One that follows another role's variable is no value: the specification says so in words, and knows the name.
    following = {name for name, value in defaults.items() if "{{" in str(value)}
    documented = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert documented == {name: value for name, value in defaults.items() if name not in following}
    assert following <= set(options(role))


@pytest.mark.parametrize("role", NAMES)
def test_a_roles_variables_carry_its_name(role: str) -> None:
    assert [name for name in options(role) if not name.startswith(f"{role}_")] == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_components_role_has_the_plans_defaults(component: str) -> None:
    # Without a value an option is left to the host: the role documents it and sets nothing.
    role = ROLE_OF.get(component, component)
    others = [name for name in COMPONENTS if ROLE_OF.get(name, name) == role]
    said = {f"{role}_{name}": value for one in others for name, value in planned(one).items() if value is not None}
    assert (load(role, "defaults/main.yml") or {}) == said
    assert {f"{role}_{name}" for name in planned(component)} <= set(options(role))


def test_the_role_boot_has_the_plans_defaults_and_choices() -> None:
    known = {f"boot_{name}": value for name, value in BOOT_DEFAULTS.items()}
    assert {name: value for name, value in load("boot", "defaults/main.yml").items() if name in known} == known
    offered = options("boot")
    assert tuple(offered["boot_trial_mode"]["choices"]) == TRIAL_MODES
    assert tuple(offered["boot_running_domains"]["choices"]) == RUNNING_DOMAINS


def test_the_playbook_looks_at_what_the_role_boot_will_be_told() -> None:
    (play,) = yaml.safe_load((ROLES.parent / "playbooks/site.yml").read_text(encoding="utf-8"))
    (look,) = [task for task in play["pre_tasks"] if "ansible.builtin.validate_argument_spec" in task]
    spec = look["ansible.builtin.validate_argument_spec"]["argument_spec"]
    documented = {name: dict(option) for name, option in options("boot").items()}
    kept = ("type", "choices")
    assert spec == {name: {key: option[key] for key in kept if key in option} for name, option in documented.items()}
    assert set(look["ansible.builtin.validate_argument_spec"]["provided_arguments"]) == set(spec)


def test_the_module_documents_what_the_role_boot_is_told() -> None:
    documentation = yaml.safe_load(importlib.import_module(f"{PASSTHROUGH}.modules.host_plan").DOCUMENTATION)
    documented = documentation["options"]["boot"]["suboptions"]
    assert {name: option["default"] for name, option in documented.items()} == dict(BOOT_DEFAULTS)


@pytest.mark.parametrize("name", ["hugepages", "initramfs"])
def test_a_components_module_has_the_plans_defaults(name: str) -> None:
    documented = yaml.safe_load(importlib.import_module(f"{PASSTHROUGH}.modules.{name}").DOCUMENTATION)["options"]
    assert {option: documented[option].get("default") for option in planned(name)} == dict(planned(name))


def test_a_roles_choices_are_those_of_the_code() -> None:
    offered = options("kernel_arguments")
    assert tuple(offered["kernel_arguments_bootloader"]["choices"]) == BOOTLOADERS
    assert tuple(offered["kernel_arguments_tsc"]["choices"]) == TSC
    assert {f"kernel_arguments_{name}" for name in (*OPTIONS, "bootloader")} == set(offered)


@pytest.mark.parametrize("role", ["plan", "kernel_arguments", "vfio", "prove", "revert"])
def test_everything_that_reads_or_writes_the_command_line_is_told_the_boot_loader(role: str) -> None:
    modules = {f"virtfleet.passthrough.{name}" for name in ("host_plan", "kernel_cmdline", "vfio_bind", "vfio_options")}
    found = list(module_calls(load(role, "tasks/main.yml"), modules))
    assert found
    assert [call for call in found if "kernel_arguments_bootloader" not in call.get("bootloader", "")] == []


def test_nothing_writes_the_default_line_before_a_boot_on_trial() -> None:
    writers = {f"virtfleet.passthrough.{name}" for name in ("vfio_bind", "vfio_options")}
    calls = [call for role in sorted(ROLES.iterdir()) if role.name != "revert" for call in calls_of(role, writers)]
    assert len(calls) == len(writers)
    untried = "{{ plan_result.reboot.trial.wanted }}"
    assert [call for call in calls if call.get("trial_first") != untried] == []
    conditions = load("kernel_arguments", "tasks/main.yml")[0]["when"]
    assert "not plan_result.reboot.trial.wanted" in conditions


def calls_of(role: Path, modules: set[str]) -> Iterator[dict[str, Any]]:
    for path in sorted(role.glob("tasks/*.yml")):
        yield from module_calls(load(role.name, f"tasks/{path.name}"), modules)


def test_the_role_revert_knows_every_section_of_the_ledger() -> None:
    text = (ROLES / "revert/tasks/main.yml").read_text(encoding="utf-8")
    # Directories go with the files that they were made for.
    assert [name for name in SECTIONS if f"owned.{name}" not in text] == ["directories"]


def module_calls(tasks: list[dict[str, Any]], modules: set[str]) -> Iterator[dict[str, Any]]:
    for task in tasks:
        for part in ("block", "rescue", "always"):
            yield from module_calls(task.get(part, []), modules)
        yield from (task[name] for name in modules & set(task))


def test_the_module_offers_the_plans_timings() -> None:
    documented = yaml.safe_load(importlib.import_module(f"{PASSTHROUGH}.modules.hugepages").DOCUMENTATION)["options"]
    assert tuple(documented["timing"]["choices"]) == TIMINGS
    assert tuple(options("hugepages")["hugepages_timing"]["choices"]) == TIMINGS


def test_the_plans_role_offers_the_keys_of_the_host() -> None:
    assert set(options("plan")["plan_allow"]["choices"]) == HOST_KEYS

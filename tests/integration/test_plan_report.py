# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook ``plan`` as people, scripts and machines see it: real runs over captured trees and a dead port."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import stat
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from tests.unit.plugins.host_tree import HostTree

ROOT = Path(__file__).resolve().parents[2]
GRUB = ROOT / "tests/fixtures/grub/debian12"
CALLBACK = "virtfleet.passthrough.plan_report"
# Nothing listens on port 1 (tcpmux), so the connection is refused at once.
GONE = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
LOST_DEVICE = [{"name": "nic", "match": {"address": "0000:09:00.0"}}]
# A command that changes something as far as Ansible can tell, and one that fails.
CHANGING = {"name": "Change the host", "ansible.builtin.command": "true"}
FAILING = {"name": "Fail", "ansible.builtin.fail": {"msg": "something else went wrong"}}


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of ansible-playbook; ``document`` is what ``plan_output`` got, if the run asked for it."""

    status: int
    stdout: str
    stderr: str
    document: dict[str, t.Any] | None = None
    document_mode: int | None = None

    @property
    def text(self) -> str:
        return self.stdout + self.stderr

    @property
    def report(self) -> str:
        return self.stdout.partition("PLAN REPORT")[2]

    def statuses(self) -> dict[str, str]:
        assert self.document is not None
        return {host: entry["status"] for host, entry in self.document["hosts"].items()}


class Fleet:
    """Captured trees as hosts, in an inventory."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.output = base / "plan.json"
        self._runs: dict[t.Any, Run] = {}
        self._tree("good", "ro intel_iommu=on")
        drifting = self._tree("drift", "ro quiet")
        for name, path in {"grub.cfg": "/boot/grub/grub.cfg", "grub": "/etc/default/grub"}.items():
            drifting.write(path, (GRUB / name).read_text(encoding="utf-8"))
        drifting.write("/usr/sbin/grub-mkconfig", "")
        good = {"plan_root": str(base / "good")}
        hosts = {
            "good": good,
            "drift": {"plan_root": str(base / "drift")},
            "refused": {**good, "vfio_devices": LOST_DEVICE},
            "broken": {**good, "iommu_enabled": False},
            "gone": GONE,
        }
        common = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "iommu_enabled": True}
        inventory = {"passthrough_hosts": {"vars": common, "hosts": hosts}}
        (base / "inventory.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")

    def _tree(self, name: str, command_line: str) -> HostTree:
        (self.base / name).mkdir()
        tree = HostTree(self.base / name)
        tree.function("0000:01:00.0", group=1)
        tree.write("/proc/cmdline", command_line + "\n")
        tree.write("/proc/cpuinfo", "vendor_id\t: GenuineIntel\n")
        tree.write("/proc/sys/kernel/random/boot_id", f"{name}\n")
        tree.write("/sys/firmware/acpi/tables/DMAR", "")
        return tree

    def play(self, name: str, **changes: t.Any) -> str:
        """A playbook of its own with the role ``plan``."""
        path = self.base / f"{name}.yml"
        play = {"name": "Look", "hosts": "passthrough_hosts", "gather_facts": False}
        path.write_text(yaml.safe_dump([{**play, "roles": [{"role": "virtfleet.passthrough.plan"}], **changes}]))
        return str(path)

    def run(self, *arguments: str, callbacks: str = CALLBACK, **environment: str) -> Run:
        """A run of ansible-playbook takes seconds and changes nothing here: each is made once."""
        key = (arguments, callbacks, *sorted(environment.items()))
        if key not in self._runs:
            enabled = {"ANSIBLE_CALLBACKS_ENABLED": callbacks} if callbacks else {}
            self._runs[key] = self._run(arguments, {**enabled, **environment})
        return self._runs[key]

    def _run(self, arguments: t.Sequence[str], environment: t.Mapping[str, str]) -> Run:
        self.output.unlink(missing_ok=True)
        programs = Path(sys.executable).parent
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        done = subprocess.run(
            [programs / "ansible-playbook", "-i", self.base / "inventory.yml", *arguments],
            cwd=ROOT,
            env={
                **inherited,
                "PATH": f"{programs}:{os.environ['PATH']}",
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_SHOW_CUSTOM_STATS": "1",
                "COLUMNS": "100",
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if not self.output.exists():
            return Run(done.returncode, done.stdout, done.stderr)
        document = json.loads(self.output.read_text(encoding="utf-8"))
        return Run(done.returncode, done.stdout, done.stderr, document, stat.S_IMODE(self.output.stat().st_mode))

    def plan(self, hosts: str, *arguments: str, callbacks: str = CALLBACK, **environment: str) -> Run:
        """The collection's own playbook, with a document for machines."""
        asked = ("playbooks/plan.yml", "--limit", hosts, "-e", f"plan_output={self.output}")
        return self.run(*asked, *arguments, callbacks=callbacks, **environment)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet(tmp_path_factory.mktemp("fleet"))


STATUS = {"good": "in_sync", "drift": "drift", "refused": "refused", "broken": "failed", "gone": "unreachable"}


@pytest.mark.parametrize(
    ("hosts", "callbacks", "code"),
    [
        ("good", CALLBACK, 0),
        ("good:drift", CALLBACK, 10),
        ("good:drift:refused", CALLBACK, 11),
        ("refused", CALLBACK, 11),
        ("drift:refused:broken", CALLBACK, 2),
        ("all", CALLBACK, 4),
        ("gone", CALLBACK, 4),
        # What Ansible itself makes of it.
        ("drift", "", 0),
        ("refused", "", 2),
        ("broken", "", 2),
        ("gone", "", 4),
    ],
)
def test_exit_code_and_document(fleet: Fleet, hosts: str, callbacks: str, code: int) -> None:
    names = set(STATUS) if hosts == "all" else set(hosts.split(":"))
    run = fleet.plan(hosts, callbacks=callbacks)
    assert run.status == code, run.text
    assert run.statuses() == {name: STATUS[name] for name in names}
    assert run.document is not None
    assert run.document["exit_code"] == code or not callbacks
    # Where not one host gives an answer, nobody is left to say so.
    assert run.document["complete"] is (hosts != "gone")
    assert run.document_mode == 0o600


def test_the_report_has_every_host_once(fleet: Fleet) -> None:
    report = fleet.plan("all").report
    assert [host for host in re.findall(r"^(\w+)  ", report, re.MULTILINE) if host != "HOST"] == sorted(STATUS)
    assert "iommu: 1 change" in report
    assert "Connection refused" in report
    assert "5 hosts: 1 in sync, 1 drift, 1 REFUSED, 1 FAILED, 1 UNREACHABLE" in report


def test_a_host_that_is_not_in_sync_is_shown_when_its_plan_is_made(fleet: Fleet) -> None:
    text = fleet.plan("good:drift:refused").text
    assert text.index("2 of\n") < text.index("PLAY RECAP")
    assert text.count("COMPONENT") == 2
    assert "vfio          REFUSED     refused: 'nic' (address: 0000:09:00.0) matches no device of this host" in text


@pytest.mark.parametrize(("form", "separator"), [("yaml", "\n"), ("json", '",\n')])
def test_without_the_callback_the_role_shows_the_table(fleet: Fleet, form: str, separator: str) -> None:
    text = fleet.plan("drift", callbacks="", ANSIBLE_CALLBACK_RESULT_FORMAT=form).text
    assert f"WHAT AND WHY{separator}" in text
    assert "PLAN REPORT" not in text


def test_check_mode_writes_the_document_and_nothing_on_the_host(fleet: Fleet) -> None:
    before = sorted(fleet.base.rglob("drift/**"))
    run = fleet.plan("good:drift", "--check")
    assert (run.status, run.statuses()) == (10, {"good": "in_sync", "drift": "drift"})
    assert sorted(fleet.base.rglob("drift/**")) == before


def test_an_audit_that_fails_on_drift_still_says_drift(fleet: Fleet) -> None:
    audit = ("playbooks/verify.yml", "--limit", "good:drift")
    assert fleet.run(*audit).status == 10
    assert fleet.run(*audit, callbacks="").status == 2


def test_statuses_go_to_what_comes_after_this_run(fleet: Fleet) -> None:
    for hosts, names in (("all", STATUS), ("gone", ["gone"])):
        words = fleet.plan(hosts).stdout.partition("plan_status:")[2].partition("PLAN REPORT")[0]
        found = dict(re.findall(r"(\w+): (\w+)", words))
        assert found == {name: STATUS[name] for name in names}


@pytest.mark.parametrize("color", [True, False])
def test_colour_only_where_ansible_uses_it(fleet: Fleet, color: bool) -> None:
    forced = {"ANSIBLE_FORCE_COLOR": "1", "ANSIBLE_NOCOLOR": ""} if color else {}
    assert ("\x1b[" in fleet.plan("drift", **forced).report) is color


def test_no_line_of_the_report_is_wider_than_the_terminal(fleet: Fleet) -> None:
    report = fleet.plan("all", COLUMNS="40").report
    assert all(len(line) <= 40 for line in report.splitlines()[1:])


def test_a_failure_after_the_plan_keeps_ansibles_exit_code(fleet: Fleet) -> None:
    run = fleet.run(fleet.play("failing", tasks=[FAILING]), "--limit", "drift:refused")
    assert run.status == 2
    assert "something else went wrong" in run.report


def test_hosts_whose_turn_did_not_come_are_named(fleet: Fleet) -> None:
    # The inventory's order: good, drift, refused, ...
    rollout = fleet.play("rollout", serial=1, max_fail_percentage=0)
    run = fleet.run(rollout, "--limit", "good,refused,drift")
    assert run.status == 11, run.text
    assert re.search(r"^good +in sync", run.report, re.MULTILINE)
    assert re.search(r"^drift +drift", run.report, re.MULTILINE)
    assert "3 hosts: 1 in sync, 1 drift, 1 REFUSED" in run.report
    first_fails = fleet.run(rollout, "--limit", "broken,gone")
    assert first_fails.status == 2, first_fails.text
    assert re.search(r"^gone +not begun +\? +the run ended before its turn came", first_fails.report, re.MULTILINE)
    assert "1 not begun, 1 FAILED" in first_fails.report


def test_a_host_that_is_changed_after_its_plan_is_not_judged_by_it(fleet: Fleet) -> None:
    run = fleet.run(fleet.play("changing", tasks=[CHANGING]), "--limit", "drift")
    assert run.status == 0, run.text
    assert re.search(r"^drift +changed now", run.report, re.MULTILINE)
    # Before its plan is another matter.
    assert fleet.run(fleet.play("changing_first", pre_tasks=[CHANGING]), "--limit", "drift").status == 10


def test_a_run_without_a_plan_is_left_alone(fleet: Fleet) -> None:
    run = fleet.run(fleet.play("other", roles=[], tasks=[CHANGING]), "--limit", "good")
    assert run.status == 0
    assert "PLAN REPORT" not in run.text


def test_every_playbook_of_the_command_line_runs_before_the_exit(fleet: Fleet) -> None:
    looking = {"name": "Look again", "ansible.builtin.debug": {"msg": "the second playbook"}}
    run = fleet.run(fleet.play("first"), fleet.play("second", roles=[], tasks=[looking]), "--limit", "drift")
    assert run.text.count("the second playbook") == 1
    assert (run.status, run.text.count("PLAN REPORT")) == (10, 1)


def test_other_callbacks_report_too_and_one_that_would_miss_the_end_is_named(fleet: Fleet) -> None:
    assert "is not the last in callbacks_enabled" not in fleet.plan("good").text
    said = " ".join(fleet.plan("good", callbacks=f"{CALLBACK},ansible.builtin.junit").stderr.split())
    assert "it may end the run before ansible.builtin.junit can report" in said


def test_a_captured_tree_is_for_looking_only(fleet: Fleet) -> None:
    roles = [{"role": "virtfleet.passthrough.plan"}, {"role": "virtfleet.passthrough.iommu"}]
    run = fleet.run(fleet.play("writing", roles=roles), "--check", "--limit", "good")
    assert run.status == 2
    assert "plan_root is for looking only" in run.text
    assert "COMPONENT" not in run.text

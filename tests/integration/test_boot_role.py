# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of the hosts of one batch whose boots on trial go differently: the role's own tasks, run by Ansible.

A directory stands for each host. The modules and roles that the tasks call are replaced by ones that read and write
its files, in a collection of the same name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

BOOT_TRIAL = """\
import os
from ansible.module_utils.basic import AnsibleModule

options = {"owners": {"type": "dict"}, "images": {"type": "dict"}, "deadline": {"type": "int"}}
module = AnsibleModule({"state": {"default": "status"}, **options}, supports_check_mode=True)
path, wanted = os.environ["HOST"] + "/trial", module.params["state"]
with open(path) as stream:
    state = stream.read()
if wanted == "armed" and state == "unarmed":
    module.fail_json(msg="grub-editenv failed")
if wanted == "armed":
    module.exit_json(changed=True, told={name: module.params[name] for name in options}, not_covered=["a hang"])
if wanted == "committed" and state not in ("trying", "committed"):
    module.fail_json(msg="nothing to commit")
if wanted == "committed" and os.path.exists(os.environ["HOST"] + "/full"):
    module.fail_json(msg="no space left on /boot")
if wanted != "status":
    with open(path, "w") as stream:
        stream.write(wanted)
module.exit_json(changed=wanted != "status", state=state, last_words=[])
"""
INITRAMFS = """\
import os
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule({"generator": {}}, supports_check_mode=True)
with open(os.environ["HOST"] + "/trial") as stream:
    assert stream.read() == "committed"
module.exit_json(changed=False)
"""
LIBVIRT_DOMAIN = """\
import os
from ansible.module_utils.basic import AnsibleModule

options = {"allow": {"type": "list"}, "shutdown_timeout": {"type": "int"}}
module = AnsibleModule({"name": {}, "state": {}, **options}, supports_check_mode=True)
path = os.environ["HOST"] + "/" + module.params["name"]
if os.path.exists(path + ".hangs"):
    module.fail_json(msg=module.params["name"] + " still runs")
with open(path, "w") as stream:
    stream.write(module.params["state"])
module.exit_json(changed=True)
"""
PROVE = [
    {
        "name": "Prove",
        "block": [
            {
                "name": "Read the drivers",
                "ansible.builtin.assert": {"that": "not broken", "fail_msg": "the card is held by e1000e"},
            }
        ],
        "rescue": [{"name": "Say so", "ansible.builtin.fail": {"msg": "{{ ansible_failed_result.msg }}. No fault."}}],
    }
]
# One that comes up late is at something by the time that it is waited for; one that is gone answers no more.
REBOOT = [
    {"name": "Order it", "ansible.builtin.assert": {"that": "not inhibited", "fail_msg": "a shutdown is inhibited"}},
    {
        "name": "Wait",
        "ansible.builtin.copy": {
            "content": "{{ reboot_boot_id }} {{ lookup('ansible.builtin.file', tree + '/trial') }}",
            "dest": "{{ tree }}/booted",
        },
    },
    {
        "name": "Come up later",
        "ansible.builtin.copy": {"content": "{{ later }}", "dest": "{{ tree }}/trial"},
        "when": "later | length > 0",
    },
    {
        "name": "Be gone",
        "ansible.builtin.set_fact": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1},
        "when": "later == 'gone'",
    },
    {"name": "Give up", "ansible.builtin.fail": {"msg": "no answer in time"}, "when": "later | length > 0"},
]


@pytest.fixture
def collections(tmp_path: Path) -> Path:
    """Where Ansible finds the role ``boot`` among stand-ins."""
    base = tmp_path / "collections"
    collection = base / "ansible_collections/virtfleet/passthrough"
    (collection / "plugins/modules").mkdir(parents=True)
    for module, text in {"boot_trial": BOOT_TRIAL, "initramfs": INITRAMFS, "libvirt_domain": LIBVIRT_DOMAIN}.items():
        (collection / f"plugins/modules/{module}.py").write_text(text)
    (collection / "galaxy.yml").write_text((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    for role, tasks in {"plan": [], "prove": PROVE, "reboot": REBOOT}.items():
        (collection / "roles" / role / "tasks").mkdir(parents=True)
        (collection / "roles" / role / "tasks/main.yml").write_text(yaml.safe_dump(tasks))
    (collection / "roles/boot").symlink_to(ROOT / "roles/boot")
    return base


def play(
    base: Path, collections: Path, parts: Sequence[str], hosts: dict[str, tuple[str, bool]], *options: str, **given: Any
) -> subprocess.CompletedProcess[str]:
    """Run ``parts`` of the role on ``hosts``: what each is at after its reboot (one that is armed still cannot be
    rebooted, one that is unarmed stays so, and "late:" is before what it is at too late), and whether it is found
    broken."""
    for name, (state, _broken) in hosts.items():
        (base / name).mkdir(exist_ok=True)
        (base / name / "trial").write_text(state)
    inventory = {
        name: {
            "tree": str(base / name),
            "broken": broken,
            "inhibited": state == "armed",
            "later": state.partition("late:")[2],
            "ansible_connection": "local",
        }
        for name, (state, broken) in hosts.items()
    }
    (base / "hosts.json").write_text(json.dumps({"all": {"hosts": inventory}}))
    playbook = {
        "hosts": "all",
        "gather_facts": False,
        "max_fail_percentage": 0,
        "environment": {"HOST": "{{ tree }}"},
        "tasks": [
            {
                "name": "Run a part of the role",
                "ansible.builtin.include_role": {"name": "virtfleet.passthrough.boot", "tasks_from": part},
            }
            for part in parts
        ],
    }
    (base / "play.yml").write_text(yaml.safe_dump([playbook]))
    argv = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.json", "play.yml", *options]
    given = {"ansible_python_interpreter": sys.executable, **given}
    environment = {**os.environ, "ANSIBLE_CONFIG": "", "ANSIBLE_COLLECTIONS_PATH": str(collections)}
    return subprocess.run(
        [*argv, "-e", json.dumps(given)], cwd=base, env=environment, capture_output=True, text=True, check=False
    )


def keep(
    base: Path, collections: Path, hosts: dict[str, tuple[str, bool]], *options: str, **given: Any
) -> subprocess.CompletedProcess[str]:
    """The whole role, on hosts that need a boot on trial."""
    plan = {
        "kernel_arguments": {},
        "boot_id": "b",
        "reboot_required": True,
        "components": {"initramfs": {}},
        "reboot": {"trial": {"wanted": True, "state": "none"}, "running_domains": []},
    }
    return play(base, collections, ["main.yml"], hosts, *options, plan_result=plan, boot_reboot=True, **given)


def state(base: Path, host: str) -> str:
    return (base / host / "trial").read_text()


@pytest.mark.parametrize("found", ["trying", "committed"])
def test_a_good_boot_is_kept_even_if_somebody_else_was_first(tmp_path: Path, collections: Path, found: str) -> None:
    run = keep(tmp_path, collections, {"one": (found, False)})
    assert run.returncode == 0, run.stdout + run.stderr
    assert state(tmp_path, "one") == "committed"


@pytest.mark.parametrize(("other", "broken"), [("rolled_back", False), ("trying", True)])
def test_a_host_that_fails_takes_no_other_of_its_batch_back(
    tmp_path: Path, collections: Path, other: str, broken: bool
) -> None:
    hosts = {"one": ("trying", False), "two": (other, broken), "three": ("trying", False)}
    run = keep(tmp_path, collections, hosts)
    assert run.returncode == 2, run.stdout + run.stderr
    assert [state(tmp_path, name) for name in ("one", "three")] == ["committed", "committed"]
    assert state(tmp_path, "two") == "rolled_back"
    # Only one that is not as wanted is sent back; the stand-in of the proof tells no boot. Deadline and watchdog run
    # until it is down, which may hang just because of what was tried.
    assert (tmp_path / "two/booted").read_text() == ("unknown trying" if broken else "b rolled_back")
    assert "The boot on trial was not kept" in run.stdout
    assert ("held by e1000e. No fault." in run.stdout) is broken


@pytest.mark.parametrize(
    ("built", "images"), [({}, {}), ({"initramfs_result": {"staged": {"6.12": "/a"}}}, {"6.12": "/a"})]
)
def test_arming_gets_what_was_planned_and_built(
    tmp_path: Path, collections: Path, built: dict[str, Any], images: dict[str, str]
) -> None:
    plan = {"kernel_arguments": {"iommu": ["intel_iommu=on"], "vfio": []}, "boot_id": "b", "components": {}}
    # As a survey gives a number.
    given = {"plan_result": plan, "boot_deadline": "300", **built}
    for check, shown in ((["--check"], None), ([], images)):
        base = tmp_path / ("check" if check else "real")
        base.mkdir()
        run = play(base, collections, ["trial.yml"], {"one": ("none", False)}, "-v", *check, **given)
        assert run.returncode == 0, run.stdout + run.stderr
        told = json.dumps({"owners": plan["kernel_arguments"], "images": shown, "deadline": 300}, sort_keys=True)
        assert json.dumps(json.loads(told), sort_keys=True) in run.stdout.replace("\n", " "), run.stdout
        # The image that a check could look at is not the one that will be tried.
        assert ("would not come back by itself: a hang" in run.stdout) is not bool(check)


def test_a_host_that_cannot_be_rebooted_takes_no_other_of_its_batch_back(tmp_path: Path, collections: Path) -> None:
    hosts = {"one": ("trying", False), "two": ("armed", False)}
    run = keep(tmp_path, collections, hosts)
    assert run.returncode == 2, run.stdout + run.stderr
    assert [state(tmp_path, name) for name in hosts] == ["committed", "armed"]
    assert "which is still armed: a shutdown is inhibited" in " ".join(run.stdout.split())


def test_a_host_that_cannot_be_armed_leaves_no_other_of_its_batch_armed(tmp_path: Path, collections: Path) -> None:
    hosts = {"one": ("trying", False), "two": ("unarmed", False)}
    run = keep(tmp_path, collections, hosts)
    assert run.returncode == 2, run.stdout + run.stderr
    assert [state(tmp_path, name) for name in hosts] == ["committed", "unarmed"]
    assert not (tmp_path / "two/booted").exists()
    assert "could not be armed, and nothing was rebooted: grub-editenv failed" in " ".join(run.stdout.split())


@pytest.mark.parametrize("wanted", [True, False], ids=["on trial", "plainly"])
def test_a_host_whose_domain_runs_on_leaves_no_other_of_its_batch_without_a_boot(
    tmp_path: Path, collections: Path, wanted: bool
) -> None:
    (tmp_path / "two").mkdir()
    (tmp_path / "two/guest.hangs").write_text("")
    plan = {
        "kernel_arguments": {},
        "boot_id": "b",
        "reboot_required": True,
        "components": {},
        "reboot": {"trial": {"wanted": wanted, "state": "none"}, "running_domains": ["other", "guest"]},
    }
    given = {"plan_result": plan, "boot_reboot": True, "boot_running_domains": "shutdown"}
    hosts = {"one": ("trying", False), "two": ("trying", False)}
    run = play(tmp_path, collections, ["main.yml"], hosts, **given)
    assert run.returncode == 2, run.stdout + run.stderr
    assert (tmp_path / "one/guest").read_text() == "stopped"
    assert (tmp_path / "one/booted").exists()
    assert not (tmp_path / "two/booted").exists()
    assert "Not every domain could be shut down, and nothing was rebooted: guest still runs" in " ".join(
        run.stdout.split()
    )


def test_a_check_tells_what_stands_against_arming(tmp_path: Path, collections: Path) -> None:
    hosts = {"one": ("none", False), "two": ("unarmed", False)}
    run = keep(tmp_path, collections, hosts, "--check")
    assert run.returncode == 2, run.stdout + run.stderr
    assert "could not be armed, and nothing was rebooted: grub-editenv failed" in " ".join(run.stdout.split())
    assert [state(tmp_path, name) for name in hosts] == ["none", "unarmed"]


def test_each_host_that_was_not_kept_is_told_whatever_the_reason(tmp_path: Path, collections: Path) -> None:
    hosts = {
        "good": ("trying", False),
        "gone": ("late:gone", False),
        "armed": ("armed", False),
        "back": ("rolled_back", False),
        "broken": ("trying", True),
        "unarmed": ("unarmed", False),
    }
    run = keep(tmp_path, collections, hosts, __boot_return=2)
    assert run.returncode == 2, run.stdout + run.stderr
    assert (state(tmp_path, "good"), state(tmp_path, "broken")) == ("committed", "rolled_back")
    said = " ".join(run.stdout.split())
    for reason in (
        "has not come back since: look at its console",
        "which is still armed: a shutdown is inhibited",
        "The boot on trial was not kept: the host is back",
        "is back on its old boot entry: the card is held by e1000e",
        "could not be armed, and nothing was rebooted: grub-editenv failed",
    ):
        assert reason in said, reason


def test_a_host_where_the_commit_fails_is_told_last_too(tmp_path: Path, collections: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/full").write_text("")
    hosts = {"full": ("trying", False), "slow": ("late:trying", False), "broken": ("trying", True)}
    run = keep(tmp_path, collections, hosts)
    assert run.returncode == 2, run.stdout + run.stderr
    assert [state(tmp_path, name) for name in hosts] == ["trying", "committed", "rolled_back"]
    said = " ".join(run.stdout.split())
    assert "is as wanted, and something failed while it was kept: no space left on /boot" in said
    assert "is back on its old boot entry: the card is held by e1000e" in said


def test_a_host_that_cannot_be_sent_back_is_told_with_both_reasons(tmp_path: Path, collections: Path) -> None:
    plan = {"reboot": {"trial": {"wanted": False, "state": "trying"}, "running_domains": []}}
    given = {"boot_reboot": True, "plan_result": {"reboot_required": False, "components": {}, **plan}}
    run = play(tmp_path, collections, ["main.yml"], {"one": ("trying", True)}, **given, inhibited=True)
    assert run.returncode == 2, run.stdout + run.stderr
    said = " ".join(run.stdout.split())
    assert "the card is held by e1000e. No fault. It could not be sent back either" in said
    assert "a shutdown is inhibited" in said
    # What brings it back all the same still runs.
    assert state(tmp_path, "one") == "trying"


def test_a_host_that_hangs_does_not_hold_up_the_others(tmp_path: Path, collections: Path) -> None:
    """It is waited for after they were kept, and its own trial is kept if it was only slow."""
    hosts = {"one": ("trying", False), "slow": ("late:trying", False), "back": ("late:rolled_back", False)}
    run = keep(tmp_path, collections, hosts)
    assert run.returncode == 2, run.stdout + run.stderr
    assert [state(tmp_path, name) for name in ("one", "slow", "back")] == ["committed", "committed", "rolled_back"]
    kept = [line for line in run.stdout.splitlines() if line.startswith(("TASK", "changed: [", "ok: ["))]
    wait = next(number for number, line in enumerate(kept) if "Wait until Ansible can log in" in line)
    first = next(number for number, line in enumerate(kept) if "Keep it, for every kernel" in line)
    assert kept[first + 1] == "changed: [one]"
    assert first < wait
    assert "The boot on trial was not kept: the host is back" in " ".join(run.stdout.split())


def test_a_host_that_nobody_can_reach_any_more_is_told_last(tmp_path: Path, collections: Path) -> None:
    hosts = {"one": ("trying", False), "gone": ("late:gone", False)}
    run = keep(tmp_path, collections, hosts, __boot_return=2)
    assert state(tmp_path, "one") == "committed"
    assert run.returncode == 2
    assert "has not come back since: look at its console" in " ".join(run.stdout.split())

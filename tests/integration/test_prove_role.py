# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role ``prove`` says of a host that is not as wanted: its own tasks, run by Ansible on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles/prove"
FINDING = {
    "name": "bar_not_reserved",
    "source": "kernel",
    "device": "0000:09:00.0",
    "behind": [],
    "message": "vfio-pci 0000:09:00.0: BAR 3: can't reserve",
    "cause": "something else on the host holds the device's memory range",
    "remedies": ["Look into /proc/iomem", "Try another slot"],
}


def prove(base: Path, **variables: Any) -> subprocess.CompletedProcess[str]:
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": [str(ROLE / "vars/main.yml")],
        "tasks": [{"name": "Prove", "ansible.builtin.include_tasks": str(ROLE / "tasks/main.yml")}],
    }
    playbook = base / "play.yml"
    playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
    given = {"plan_result": {"components": {}}, "plan_allow": [], **variables}
    argv = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", str(playbook)]
    argv += ["-e", json.dumps({"ansible_python_interpreter": sys.executable, **given})]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def told(run: subprocess.CompletedProcess[str]) -> str:
    """What the last task said, without the folding and quoting of Ansible's output."""
    assert run.returncode == 2, run.stdout + run.stderr
    return " ".join(run.stdout.rpartition("Fail with the reason")[2].replace("''", "'").split())


def test_a_host_as_wanted_is_not_searched(tmp_path: Path) -> None:
    run = prove(tmp_path, __plan_wanted={})
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Look for what the logs know" not in run.stdout


def test_the_reason_stays_and_the_logs_are_searched(tmp_path: Path) -> None:
    text = told(prove(tmp_path, __plan_wanted={"nonsense": {}}))
    assert "unknown component 'nonsense'" in text
    assert "The logs show" in text
    assert "failed=1" in text


def test_findings_are_told_with_the_reason(tmp_path: Path) -> None:
    # Variables of the command line win over what a task registers: a machine with a fault cannot be had here.
    text = told(prove(tmp_path, __plan_wanted={"nonsense": {}}, __prove_diagnosis={"findings": [FINDING]}))
    assert "unknown component 'nonsense'" in text
    assert f"0000:09:00.0: {FINDING['cause']} ({FINDING['message']})." in text
    assert "What may help: Look into /proc/iomem; Try another slot." in text


def test_a_search_that_fails_does_not_hide_the_reason(tmp_path: Path) -> None:
    text = told(prove(tmp_path, __plan_wanted={"nonsense": {}}, __prove_diagnosis={"msg": "no python"}))
    assert "unknown component 'nonsense'" in text
    assert "could not be searched: no python" in text

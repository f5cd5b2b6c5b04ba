# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A scenario that tests nothing must not be green.

Molecule passes over a play without hosts, and over a playbook that is not there. The first is caught by the base
configuration, which these tests run for real; the second by looking at what each scenario has.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BASE = Path(".config/molecule/config.yml")
GLOB = "molecule/*/molecule.yml"
SCENARIOS = sorted(path.parent for path in ROOT.glob(GLOB))
HOST = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
PLAY = [{"name": "Converge", "hosts": "passthrough_hosts", "gather_facts": False, "tasks": []}]

INVENTORY = {"passthrough_hosts": {"hosts": {"here": HOST}}}
EMPTY_GROUP: dict[str, t.Any] = {"passthrough_hosts": {"hosts": {}}, "others": {"hosts": {"here": HOST}}}
# What is wrong with the inventory, and what the run must say about it.
BROKEN: dict[str, tuple[dict[str, t.Any], str]] = {
    "no such group": ({"others": {"hosts": {"here": HOST}}}, "Could not match supplied host pattern"),
    "empty group": (EMPTY_GROUP, "A play matched no host"),
    "empty inventory": ({}, "Could not match supplied host pattern"),
}


def converge(project: Path, inventory: dict[str, t.Any]) -> subprocess.CompletedProcess[str]:
    scenario = project / "molecule/guard"
    (scenario / "inventory").mkdir(parents=True)
    (scenario / "molecule.yml").write_text("scenario:\n  name: guard\n", encoding="utf-8")
    (scenario / "converge.yml").write_text(yaml.safe_dump(PLAY, sort_keys=False), encoding="utf-8")
    (scenario / "inventory/hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
    subprocess.run(["git", "init", "--quiet", project], check=True)
    home = project / "home"
    home.mkdir()
    programs = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(home),
        "MOLECULE_GLOB": GLOB,
        # One long line for each message, in plain text.
        "COLUMNS": "500",
        "NO_COLOR": "1",
    }
    return subprocess.run(
        [programs / "molecule", "converge", "--scenario-name", "guard"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "molecule/callbacks", tmp_path / "molecule/callbacks")
    (tmp_path / BASE).parent.mkdir(parents=True)
    shutil.copyfile(ROOT / BASE, tmp_path / BASE)
    return tmp_path


def test_a_play_with_hosts_passes(project: Path) -> None:
    done = converge(project, INVENTORY)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("what", BROKEN)
def test_a_play_without_hosts_fails(project: Path, what: str) -> None:
    inventory, message = BROKEN[what]
    done = converge(project, inventory)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr


def test_without_the_base_configuration_nothing_would_be_noticed(project: Path) -> None:
    config = yaml.safe_load((project / BASE).read_text(encoding="utf-8"))
    del config["ansible"]["cfg"]
    (project / BASE).write_text(yaml.safe_dump(config), encoding="utf-8")
    done = converge(project, EMPTY_GROUP)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_scenarios() -> None:
    assert {path.name for path in SCENARIOS} >= {"container", "vm"}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_every_step_has_its_playbook(scenario: Path) -> None:
    base = yaml.safe_load((ROOT / BASE).read_text(encoding="utf-8"))
    own = yaml.safe_load((scenario / "molecule.yml").read_text(encoding="utf-8"))
    assert "test_sequence" not in own["scenario"], "the shared sequence is the promise that all scenarios keep"
    playbooks: dict[str, str] = base["ansible"]["playbooks"] | own.get("ansible", {}).get("playbooks", {})
    converging = {"check", "idempotence", "syntax"}
    wanted = set()
    for step in base["scenario"]["test_sequence"]:
        action, *named = step.split()
        wanted |= set(named) or {playbooks.get(action, f"{'converge' if action in converging else action}.yml")}
    assert [name for name in sorted(wanted) if not (scenario / name).is_file()] == []

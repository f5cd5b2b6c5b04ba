# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demonstration's steps."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from lab.machine import Host
from lab.paths import REPOSITORY
from lab.steps import StepFailedError

HERE = Path(__file__).resolve().parent
GROUP = "passthrough_hosts"
CONSOLE_LOG = "/var/log/libvirt/qemu/demo-console.log"
MODULE_RUNS_IN_SYNC = 3


@dataclass(frozen=True)
class Report:
    """What a playbook run did on the one host."""

    changed: int
    changed_tasks: list[str]
    module_runs: list[str]


@dataclass(frozen=True)
class Playbooks:
    """Runs the collection's playbooks against one host, with an inventory as an operator writes it."""

    host: Host
    group_vars: Path = HERE / "group_vars"

    def write_inventory(self) -> Path:
        hosts = {self.host.name: self.host.inventory_variables()}
        return write_inventory(self.host.directory / "inventory", hosts, self.group_vars)

    def attempt(self, playbook: str, limit: float = 900, **variables: object) -> tuple[int, str]:
        """Run one that may fail: its status, and all that it said."""
        return attempt(self._command(playbook, variables), self._report(playbook), limit)

    def _command(self, playbook: str, variables: Mapping[str, object]) -> list[str]:
        return [
            "ansible-playbook",
            "-i",
            str(self.write_inventory()),
            str(REPOSITORY / "playbooks" / f"{playbook}.yml"),
            *(("-e", json.dumps(variables)) if variables else ()),
        ]

    def _report(self, playbook: str) -> Path:
        return self.host.directory / f"{playbook}.report.json"

    def run(self, playbook: str, **variables: object) -> Report:
        report = self._report(playbook)
        report.unlink(missing_ok=True)
        command = self._command(playbook, variables)
        done = subprocess.run(command, cwd=REPOSITORY, env=environment(report), stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0 or not report.exists():
            raise StepFailedError(
                f"{playbook}.yml ended with status {done.returncode}; the console's log: {self.host.console_log}"
            )
        data = json.loads(report.read_text(encoding="utf-8"))
        host = data["hosts"][self.host.name]
        return Report(host["changed"], data["changed_tasks"], host["module_runs"])


def write_inventory(directory: Path, hosts: Mapping[str, Mapping[str, object]], group_vars: Path) -> Path:
    """An inventory as an operator has it: ``hosts`` with their variables, in the group of the playbooks."""
    directory.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({GROUP: {"hosts": dict(hosts)}}, width=1000)
    (directory / "hosts.yml").write_text("---\n" + text, encoding="utf-8")
    link = directory / "group_vars"
    link.unlink(missing_ok=True)
    link.symlink_to(group_vars)
    return directory


def attempt(command: Sequence[str], report: Path, limit: float) -> tuple[int, str]:
    """Run Ansible's ``command``, which may fail and leaves a ``report``: its status, and all that it said."""
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=environment(report),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit,
        check=False,
    )
    return done.returncode, done.stdout


def environment(report: Path) -> Mapping[str, str]:
    """What a playbook run is started with, so that it leaves a ``report``."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "run_report",
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
        "LAB_RUN_REPORT": str(report),
    }


def check_idempotence(playbooks: Playbooks) -> None:
    """Nothing changed, no reboot, and few module runs."""
    boot_id = playbooks.host.ssh("cat /proc/sys/kernel/random/boot_id")
    report = playbooks.run("site", boot_reboot="true")
    if report.changed:
        raise StepFailedError(f"a second run changed something: {', '.join(report.changed_tasks)}")
    if playbooks.host.ssh("cat /proc/sys/kernel/random/boot_id") != boot_id:
        raise StepFailedError("a second run rebooted the host")
    runs = len(report.module_runs)
    print(f"    no change, no reboot, {runs} module runs on the host: {', '.join(report.module_runs)}")
    if runs > MODULE_RUNS_IN_SYNC:
        raise StepFailedError(
            f"a run with nothing to do made {runs} module runs, expected at most {MODULE_RUNS_IN_SYNC}"
        )


def driver_of(host: Host, address: str) -> str:
    return host.ssh(f"basename $(readlink /sys/bus/pci/devices/{address}/driver)").strip()


_GUEST_LINE = re.compile(r"GUEST-PCI (\S+) (\S+) driver=(\S+) mac=(\S+)")


@dataclass(frozen=True)
class GuestDevice:
    """What the guest itself printed about a PCI device that it found."""

    address: str
    ids: str
    driver: str
    mac: str


def guest_devices(host: Host, deadline: float) -> list[GuestDevice]:
    """Wait until the guest has looked at its devices, and give what it said."""
    begun = time.monotonic()
    told = begun
    while True:
        text = host.ssh(f"cat {CONSOLE_LOG}")
        if "GUEST-READY" in text:
            return [GuestDevice(*match) for match in _GUEST_LINE.findall(text)]
        now = time.monotonic()
        if now - begun > deadline:
            last = text.strip()[-300:] or "nothing"
            raise StepFailedError(f"the guest was not ready within {deadline:.0f} s; its console shows last: {last}")
        if now - told >= 20:
            told = now
            print(f"    guest: {now - begun:.0f} of {deadline:.0f} s, {len(text)} bytes on its console", flush=True)
        time.sleep(3)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What reading thousands of PCI functions costs, as ratios to baselines that anybody can repeat.

See README.md beside this file. Times are processor time of the process and its children, the least of some runs:
on a busy machine they say more than the clock on the wall, which is shown for the runs of Ansible too.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.groups import read_iommu
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_functions
from tests.unit.plugins.large_host import build_large_host

SMALL, LARGE = 1_024, 10_240
READING_LIMIT, MODULE_LIMIT = 2.0, 5.0
# The shell loop starts a program per device, each of which reads every device: more would take its time.
SHELL_FUNCTIONS = 1_024

# Like sysfs, no disk.
MEMORY = Path("/dev", "shm")

CHECKOUT = Path(__file__).resolve().parents[2]

FUNCTION_FILES = (
    "uevent",
    "config",
    "numa_node",
    "revision",
    "driver_override",
    "reset_method",
    "resource",
    "power_state",
)
FUNCTION_LINKS = ("driver", "iommu_group", "physfn")
GROUP_FILES = ("type", "reserved_regions")
INTERFACE_FILES = ("address", "addr_assign_type")

PLAYBOOK = """\
- hosts: all
  gather_facts: false
  tasks:
    - {task}
"""

# A module that has its whole result ready: what is left is Ansible's own work with a result of that size.
READY_RESULT = """\
import json
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(argument_spec={"path": {"type": "path"}})
with open(module.params["path"]) as stream:
    module.exit_json(**json.load(stream))
"""
MODULE = "ansible_collections.virtfleet.passthrough.plugins.modules.iommu_groups_facts"

# The loop that guides to PCI passthrough give, for a tree instead of the machine that it runs on.
SHELL_LOOP = """\
for group in $(find "$1"/sys/kernel/iommu_groups/* -maxdepth 0 -type d | sort -V); do
    for device in "$group"/devices/*; do
        lspci -A linux-sysfs -O sysfs.path="$1"/sys/bus/pci -nns "${device##*/}"
    done
done
"""


@dataclass(frozen=True)
class Cost:
    """Seconds of processor time and on the wall."""

    cpu: float
    wall: float


def measure(action: Callable[[], object], runs: int) -> Cost:
    """The cheapest of some runs."""
    return min((_once(action) for _run in range(runs)), key=lambda cost: cost.cpu)


def _once(action: Callable[[], object]) -> Cost:
    started, used = time.perf_counter(), _processor_time()
    action()
    return Cost(_processor_time() - used, time.perf_counter() - started)


def _processor_time() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def bare_loop(base: Path) -> None:
    """The baseline: every file that the module reads, opened and read, and nothing made of it."""
    devices = f"{base}/sys/bus/pci/devices"
    for name in os.listdir(devices):
        directory = f"{devices}/{name}"
        os.readlink(directory)
        _read_all(directory, FUNCTION_FILES)
        for link in FUNCTION_LINKS:
            # physfn is there on VFs alone.
            if os.path.islink(f"{directory}/{link}"):
                os.readlink(f"{directory}/{link}")
    groups = f"{base}/sys/kernel/iommu_groups"
    for name in os.listdir(groups):
        os.listdir(f"{groups}/{name}/devices")
        _read_all(f"{groups}/{name}", GROUP_FILES)
    interfaces = f"{base}/sys/class/net"
    for name in os.listdir(interfaces):
        os.readlink(f"{interfaces}/{name}")
        _read_all(f"{interfaces}/{name}", INTERFACE_FILES)


def _read_all(directory: str, names: tuple[str, ...]) -> None:
    for name in names:
        with open(f"{directory}/{name}", "rb") as stream:
            stream.read()


def reading(base: Path) -> None:
    """What the module does on the host before its result is written."""
    root = Root(str(base))
    devices = read_functions(root, Ledger(), names=True).devices
    read_iommu(root, devices, ["intel_iommu=on"])


def module(base: Path) -> bytes:
    """The module as a process of its own, as on a managed host; its result through a pipe and decoded."""
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {"root": str(base)}}).encode()
    command = [sys.executable, "-m", MODULE]
    output = subprocess.run(command, input=arguments, check=True, stdout=subprocess.PIPE).stdout
    json.loads(output)
    return output


def playbook(task: str) -> None:
    """A whole run of Ansible with one task, on this machine."""
    with tempfile.TemporaryDirectory() as work:
        Path(work, "library").mkdir()
        Path(work, "library/ready_result.py").write_text(READY_RESULT, encoding="utf-8")
        Path(work, "ansible.cfg").write_text("[defaults]\n", encoding="utf-8")
        Path(work, "play.yml").write_text(PLAYBOOK.format(task=task), encoding="utf-8")
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": f"{work}/ansible.cfg",
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".build/collections"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_PIPELINING": "1",
        }
        command = [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            "localhost,",
            "-c",
            "local",
            "play.yml",
        ]
        done = subprocess.run(command, cwd=work, env=environment, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"ansible-playbook failed:\n{done.stdout}{done.stderr}")


def shell_loop(base: Path) -> None:
    subprocess.run(["bash", "-c", SHELL_LOOP, "bash", str(base)], check=True, stdout=subprocess.DEVNULL, timeout=600)


@contextmanager
def large_host(functions: int) -> Iterator[Path]:
    where = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="passthrough-benchmark-", dir=where) as work:
        base = Path(work)
        build_large_host(base, functions)
        yield base


def say(what: str, cost: Cost, baseline: Cost | None = None, limit: float | None = None) -> None:
    line = f"  {what:<42} {cost.cpu:8.3f} s cpu {cost.wall:8.3f} s wall"
    if baseline is not None:
        line += f" {cost.cpu / baseline.cpu:8.2f} x the bare loop"
    if limit is not None:
        line += f" (limit {limit:g})"
    print(line, flush=True)


def compare(functions: int, runs: int) -> tuple[Cost, Cost]:
    """Print one size's ratios; the costs of the reading and of the whole module."""
    with large_host(functions) as base:
        print(f"{functions} functions, {functions} groups", flush=True)
        loop = measure(lambda: bare_loop(base), runs)
        say("bare Python loop over the same files", loop)
        read = measure(lambda: reading(base), runs)
        say("the module's reading", read, loop, READING_LIMIT)
        whole = measure(lambda: module(base), runs)
        say("the whole module, result piped and decoded", whole, loop, MODULE_LIMIT)
        ready = base / "result.json"
        ready.write_bytes(module(base))
        floor = measure(lambda: playbook(f"ready_result: {{path: {ready}}}"), 1)
        say("ansible-playbook, the same result ready", floor, loop)
        run = measure(lambda: playbook(f"virtfleet.passthrough.iommu_groups_facts: {{root: {base}}}"), 1)
        say("ansible-playbook with the module", run, loop)
        return read, whole


def against_shell() -> None:
    if shutil.which("lspci") is None:
        print("lspci is not installed: nothing to compare the shell loop with")
        return
    with large_host(SHELL_FUNCTIONS) as base:
        print(f"{SHELL_FUNCTIONS} functions", flush=True)
        shell = measure(lambda: shell_loop(base), 1)
        say("shell loop over lspci", shell)
        read = measure(lambda: reading(base), 3)
        say("the module's reading", read)
        print(
            f"  the shell loop costs {shell.cpu / read.cpu:.0f} times the module's reading, and grows with the square"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Costs of iommu_groups_facts, as ratios")
    parser.add_argument("--runs", type=int, default=3, help="take the least of so many runs (default: 3)")
    runs = parser.parse_args().runs
    # As the module does; for the baseline too.
    gc.disable()
    (small_read, small_run), (large_read, large_run) = compare(SMALL, runs), compare(LARGE, runs)
    size = LARGE / SMALL
    print(f"from {SMALL} to {LARGE} functions ({size:g} times)")
    print(
        f"  reading {large_read.cpu / small_read.cpu:.1f} times, whole module {large_run.cpu / small_run.cpu:.1f} times"
    )
    against_shell()


if __name__ == "__main__":
    main()

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three hosts, of which the second panics in its boot on trial: ``python -m lab.trials.rollout``.

One after the other, or the first two in one batch: the first is done, the second back on its old entry, the third was
never touched.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from lab import image, machine
from lab.demo.steps import attempt, write_inventory
from lab.errors import LabError
from lab.machine import Host
from lab.paths import REPOSITORY, STATE
from lab.steps import StepFailedError, differences, manifest, step
from lab.trials.cases import CASES
from lab.trials.converge import GROUP_VARS, last_words_of
from lab.trials.evidence import FAILED_HOSTS, SAID, new_boot_faults, old_boot_faults
from lab.trials.look import WANTED, look, without_trial

NAMES = ("trial-a", "trial-b", "trial-c")
LIMIT = 1800.0


def main() -> int:
    options = _parser().parse_args()
    # So that a terminated run ends its hosts as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    begun = time.monotonic()
    try:
        image.ensure("debian12")
        with ExitStack() as stack:
            # Each waits for the one before: three boots at once miss their deadlines on two cores.
            hosts = [stack.enter_context(machine.running(name, "trials")) for name in NAMES]
            Rollout(hosts, options.batch).run()
    except (StepFailedError, LabError) as error:
        print(f"\nROLLOUT FAILED at {error}", file=sys.stderr)
        return 1
    print(f"\nROLLOUT PASSED in {time.monotonic() - begun:.0f} s", flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab.trials.rollout", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--batch", type=int, choices=(1, 2), default=1, help="how many hosts site.yml takes at a time (default: 1)"
    )
    return parser


@dataclass(frozen=True)
class Rollout:
    """``batch`` is the number of hosts that ``site.yml`` takes at a time."""

    hosts: Sequence[Host]
    batch: int = 1

    def run(self) -> None:
        """Every step raises :class:`StepFailedError` when its outcome is not as promised."""
        first, second, third = self.hosts
        with step("1", "remember what the hosts are at", "20 s"):
            before = {host.name: look(host) for host in self.hosts}
            files = manifest(third)
        with step("2", f"site.yml, hosts at a time: {self.batch}; {second.name} panics in its trial", "6 to 10 min"):
            status, said = self._site({second.name: list(CASES["panic"].arguments)})
            told = last_words_of(said)
            print(f"    status {status}: {told}")
            _fail_with([f"the run ended with status {status}"] if status != FAILED_HOSTS else [])
            _fail_with([f"the run does not end with '{words}'" for words in SAID if words not in told])
            _fail_with(recap_faults(said, {first.name: 0, second.name: 1}, third.name))
        with step("3", "the first is done, the second is back, the third was never touched", "20 s"):
            _fail_with(without_trial(new_boot_faults(look(first), WANTED)))
            _fail_with(old_boot_faults(before[second.name], look(second)))
            now = look(third)
            _fail_with(old_boot_faults(before[third.name], now) + differences(files, manifest(third)))
            if now.boot_id != before[third.name].boot_id:
                raise StepFailedError(f"{third.name} was rebooted")
        with step("4", "without the fault, the same run again finishes", "6 to 10 min"):
            done = look(first)
            status, said = self._site({})
            if status:
                raise StepFailedError(f"the run ended with status {status}: {last_words_of(said)}")
            for host in self.hosts:
                _fail_with(without_trial(new_boot_faults(look(host), WANTED)))
            if look(first).boot_id != done.boot_id:
                raise StepFailedError(f"{first.name}, which was done, was rebooted again")

    def _site(self, extra: Mapping[str, Sequence[str]]) -> tuple[int, str]:
        """``extra`` are kernel arguments of single hosts."""
        directory = STATE / "rollout"
        hosts = {
            host.name: {
                **host.inventory_variables(),
                **({"kernel_arguments_extra": list(extra[host.name])} if host.name in extra else {}),
            }
            for host in self.hosts
        }
        inventory = write_inventory(directory / "inventory", hosts, GROUP_VARS)
        playbook = str(REPOSITORY / "playbooks/site.yml")
        batch = ["-e", f"passthrough_serial={self.batch}"]
        status, said = attempt(
            ["ansible-playbook", "-i", str(inventory), playbook, *batch], directory / "report.json", LIMIT
        )
        (directory / "output.log").write_text(said, encoding="utf-8")
        return status, said


def recap_faults(said: str, failed: dict[str, int], untouched: str) -> list[str]:
    """What the last lines of a run say of the hosts: the number of failed tasks of some, nothing of another."""
    recap = said[said.rfind("PLAY RECAP") :] if "PLAY RECAP" in said else ""
    found = {name: int(number) for name, number in re.findall(r"(?m)^(\S+)\s*:.*\bfailed=(\d+)", recap)}
    faults = [
        f"the recap has failed={found.get(name, 'nothing')} for {name}, expected {number}"
        for name, number in failed.items()
        if found.get(name) != number
    ]
    return faults + ([f"the recap names {untouched}, which was not to be touched"] if untouched in found else [])


def _fail_with(found: Sequence[str]) -> None:
    if found:
        raise StepFailedError("; ".join(found))


if __name__ == "__main__":
    sys.exit(main())

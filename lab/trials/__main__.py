# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host: trials that fail, each of which it comes back from without help, then one that is committed and stays."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from lab import image, machine
from lab.binding.evidence import LIST_DRIVERS, drivers
from lab.errors import LabError
from lab.loaders.expected import check_configured
from lab.loaders.host import Modules, boot_files, install_second_kernel, kernel_release, reboot, running_line
from lab.machine import Host
from lab.steps import StepFailedError, differences, step
from lab.trials import faults
from lab.trials.cases import CASES, VERIFY, Case, Pace
from lab.trials.converge import DEADLINE, PANIC, WANTED, Modulewise
from lab.trials.evidence import Boot, new_boot_faults, old_boot_faults, told_faults, trial_faults

TOPOLOGY = "trials"
FLAVOURS = ("debian12", "debian13-systemd-boot")
GOOD = "good"
# Seconds beyond a deadline after which nothing that was armed can come any more.
AFTERWARDS = 40
LOOK = """\
cat /proc/sys/kernel/random/boot_id
cut -d ' ' -f 1 /proc/uptime
ls /sys/kernel/iommu_groups | wc -l
cat /sys/class/watchdog/*/state 2>/dev/null | tr '\\n' ' '"""


def main() -> int:
    options = _parser().parse_args()
    # So that a terminated run ends its host as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    cases = options.cases or [*CASES, GOOD]
    for flavour in options.flavours or FLAVOURS:
        begun = time.monotonic()
        try:
            image.ensure(flavour)
            with machine.running(options.host, TOPOLOGY, flavour) as host:
                Trials(host, cases).run()
        except (StepFailedError, LabError) as error:
            print(f"\nTRIALS FAILED on {flavour} at {error}", file=sys.stderr)
            return 1
        print(f"\nTRIALS PASSED on {flavour} in {time.monotonic() - begun:.0f} s: {', '.join(cases)}", flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab.trials", description="Boots on trial on a virtual host.")
    parser.add_argument(
        "--flavour",
        dest="flavours",
        action="append",
        choices=FLAVOURS,
        help="the host's image; may be given several times (default: all)",
    )
    parser.add_argument(
        "--case",
        dest="cases",
        action="append",
        choices=[*CASES, GOOD],
        help="what becomes of the boot on trial; may be given several times (default: all, the good one last)",
    )
    parser.add_argument("--host", default="trial", help="the name of the host (default: trial)")
    return parser


@dataclass
class Trials:
    """One host's way through ``cases``; every step raises :class:`StepFailedError`."""

    host: Host
    cases: Sequence[str]
    way: Modulewise = field(init=False)

    def __post_init__(self) -> None:
        self.way = Modulewise(self.host, faults.generator_of(self.host))

    def run(self) -> None:
        with step("0", "an administrator's own hooks and units; an ordinary reboot, timed", "1 to 2 min"):
            faults.install(self.host, self.way.generator)
            self.way.prepare()
            pace = self._time_a_reboot()
            before, files = look(self.host), boot_files(self.host)
        for name in self.cases:
            if name == GOOD:
                with step(GOOD, "a good boot is committed, and stays", "6 min"):
                    self._good(pace)
            else:
                case = CASES[name]
                with step(name, f"ended by the {case.ended_by}", "2 to 5 min"):
                    self._failing(case, pace, before, files)

    def _time_a_reboot(self) -> Pace:
        took = reboot(self.host)
        pace = Pace(took, max(0.0, took - look(self.host).uptime))
        print(
            f"    {took:.0f} s from the order to the login, {pace.before_kernel:.0f} s of them before the kernel"
            f" starts; a trial may be away for {pace.limit(DEADLINE):.0f} s"
        )
        return pace

    def _failing(self, case: Case, pace: Pace, before: Boot, files: dict[str, str]) -> None:
        def healthy() -> list[str]:
            found = trial_faults(look(self.host), WANTED)
            return [*found, "the lab says so"] if case.ended_by == VERIFY else found

        outcome = self.way.converge(case.arguments, pace.limit(DEADLINE) + 120, healthy)
        if outcome.committed:
            raise StepFailedError("the boot on trial was committed")
        print(f"    back after {outcome.away:.0f} s, {pace.limit(DEADLINE):.0f} s are allowed")
        told = self.way.modules.succeed("boot_trial")
        for line in told["last_words"]:
            print(f"    | {line}")
        _fail_with(told_faults(case, told, outcome.away, pace, DEADLINE) + old_boot_faults(before, look(self.host)))
        self.way.clear()
        _fail_with(differences(files, boot_files(self.host)))

    def _good(self, pace: Pace) -> None:
        outcome = self.way.converge((), pace.limit(DEADLINE), lambda: trial_faults(look(self.host), WANTED))
        if not outcome.committed or outcome.told["state"] != "committed":
            raise StepFailedError(f"the boot on trial was not committed: {outcome.told}")
        tried = look(self.host)
        wanted = (*WANTED, f"panic={PANIC}")
        modules = Modules(self.host)
        check_configured(modules.info(), wanted[:1])
        joined = install_second_kernel(self.host)
        check_configured(modules.info(), wanted[:1])
        self._outlive(tried)
        for number in (1, 2):
            took = reboot(self.host)
            now = look(self.host)
            _fail_with(new_boot_faults(now, wanted))
            print(f"    reboot {number}: {now.kernel} after {took:.0f} s, {' '.join(now.line)}")
            if now.kernel != joined:
                raise StepFailedError(f"kernel {now.kernel} runs, {joined} was to boot")
        told = modules.succeed("boot_trial")
        if told["state"] != "none" or told["reboot_required"]:
            raise StepFailedError(f"after all of it boot_trial says {told}")

    def _outlive(self, tried: Boot) -> None:
        """The boot that was committed runs on past every deadline that it was given."""
        until = DEADLINE + AFTERWARDS
        time.sleep(max(0.0, until - look(self.host).uptime))
        now = look(self.host)
        if now.boot_id != tried.boot_id or now.uptime < until:
            raise StepFailedError(f"after the commit the host has rebooted by itself: up for {now.uptime:.0f} s")
        _fail_with([f"watchdog {state}" for state in now.watchdogs if state != "inactive"])
        print(f"    up for {now.uptime:.0f} s in the boot that was tried, watchdogs {' '.join(now.watchdogs)}")


def look(host: Host) -> Boot:
    boot_id, uptime, groups, *states = host.ssh(LOOK).split()
    listed = drivers(host.ssh(LIST_DRIVERS))
    return Boot(running_line(host), kernel_release(host), listed, int(groups), states, boot_id, float(uptime))


def _fail_with(found: Sequence[str]) -> None:
    if found:
        raise StepFailedError("; ".join(found))


if __name__ == "__main__":
    sys.exit(main())

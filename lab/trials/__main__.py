# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host: trials that fail, each of which it comes back from without help, then one that is committed and stays, then
one of another list of devices."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import yaml

from lab import image, machine
from lab.binding.evidence import VFIO_PCI
from lab.demo.steps import Playbooks, check_idempotence
from lab.errors import LabError
from lab.loaders.expected import check_configured
from lab.loaders.host import Modules, install_second_kernel, reboot
from lab.machine import Host
from lab.steps import StepFailedError, step
from lab.trials import faults
from lab.trials.cases import CASES, NIC, TWIN, Case, Pace
from lab.trials.converge import GROUP_VARS, converge, last_words_of
from lab.trials.evidence import Boot, failure_faults, new_boot_faults, old_boot_faults
from lab.trials.look import WANTED, look, without_trial
from lab.trials.resets import Watch

TOPOLOGY = "trials"
FLAVOURS = ("debian12", "debian13-systemd-boot")
GOOD = "good"
SECOND = "second"
# What replaces ``vfio_devices`` of ``group_vars``.
BOTH = [
    {"name": name, "match": {"address": address, "vendor_device": "8086:10d3"}}
    for name, address in (("nic", NIC), ("twin", TWIN))
]
REBUILD_IMAGES = "dpkg-reconfigure $(dpkg --search /boot/vmlinuz-$(uname -r) | cut --delimiter : --fields 1)"
# Seconds beyond a deadline after which nothing that was armed can come any more.
AFTERWARDS = 40


def main() -> int:
    options = _parser().parse_args()
    # So that a terminated run ends its host as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    cases = options.cases or [*CASES, GOOD, SECOND]
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
        choices=[*CASES, GOOD, SECOND],
        help="what becomes of the boot on trial; may be given several times (default: all; second wants good before)",
    )
    parser.add_argument("--host", default="trial", help="the name of the host (default: trial)")
    return parser


@dataclass
class Trials:
    """One host's way through ``cases``; every step raises :class:`StepFailedError`."""

    host: Host
    cases: Sequence[str]
    modules: Modules = field(init=False)

    def __post_init__(self) -> None:
        self.modules = Modules(self.host)

    def run(self) -> None:
        with step("0", "an administrator's own hooks and units; an ordinary reboot, timed", "2 min"):
            faults.install(self.host, faults.generator_of(self.host))
            pace = self._time_a_reboot()
            before = look(self.host)
            if before.drivers.get(NIC) in (None, VFIO_PCI):
                raise StepFailedError(f"the host is no untouched one: {before}")
        for name in self.cases:
            if name == GOOD:
                with step(GOOD, "a good boot is committed, and stays", "8 min"):
                    self._good()
            elif name == SECOND:
                with step(
                    SECOND, "a second list of devices: the first is held until a boot with the second is kept", "6 min"
                ):
                    self._second(pace.limit(deadline()))
            else:
                case = CASES[name]
                with step(name, f"ended by the {case.ended_by}", "3 to 6 min"):
                    self._failing(case, pace.limit(deadline()), before)

    def _time_a_reboot(self) -> Pace:
        with Watch(self.host) as watch:
            reboot(self.host)
            back = watch.wait_until_back(machine.DEADLINE)
            (reset,) = watch.story.resets
        took = back - reset.at
        pace = Pace(took, max(0.0, took - look(self.host).uptime + (time.time() - back)))
        print(
            f"    {took:.0f} s from the reset to the login, {pace.before_kernel:.0f} s of them before the kernel"
            f" starts; a trial may be away for {pace.limit(deadline()):.0f} s"
        )
        return pace

    def _failing(self, case: Case, limit: float, before: Boot, **variables: object) -> None:
        outcome = converge(self.host, case.arguments, **variables)
        told = self.modules.succeed("boot_trial")
        print(f"    the trial ran for {outcome.tried:.0f} s, back after {outcome.away:.0f} s of {limit:.0f} s")
        print(f"    it said: {last_words_of(outcome.said)}")
        for line in told["last_words"]:
            print(f"    | {line}")
        _fail_with(failure_faults(case, outcome, told, limit) + old_boot_faults(before, look(self.host)))

    def _good(self) -> None:
        self._keep()
        tried = look(self.host)
        _fail_with(without_trial(new_boot_faults(tried, WANTED)))
        check_configured(self.modules.info(), WANTED)
        check_idempotence(Playbooks(self.host, GROUP_VARS))
        joined = install_second_kernel(self.host)
        check_configured(self.modules.info(), WANTED)
        self._outlive(tried)
        for number in (1, 2):
            took = reboot(self.host)
            now = look(self.host)
            _fail_with(new_boot_faults(now, WANTED))
            print(f"    reboot {number}: {now.kernel} after {took:.0f} s, {' '.join(now.line)}")
            if now.kernel != joined:
                raise StepFailedError(f"kernel {now.kernel} runs, {joined} was to boot")
        told = self.modules.succeed("boot_trial")
        if told["state"] != "none" or told["reboot_required"]:
            raise StepFailedError(f"after all of it boot_trial says {told}")
        status, said = Playbooks(self.host, GROUP_VARS).attempt("verify")
        if status:
            raise StepFailedError(f"verify.yml ended with status {status}: {last_words_of(said)}")

    def _second(self, limit: float) -> None:
        """With devices held already: what a failed trial leaves on the host, and in images that are built after it,
        belongs to another generation than the entry that the host is back on."""
        before = look(self.host)
        _fail_with(new_boot_faults(before, WANTED))
        self._failing(CASES["panic"], limit, before, vfio_devices=BOTH)
        # As every update of the kernel does, and of much else.
        self.host.ssh(REBUILD_IMAGES, limit=900)
        reboot(self.host)
        _fail_with(old_boot_faults(before, look(self.host)))
        self._keep(vfio_devices=BOTH)
        reboot(self.host)
        _fail_with(new_boot_faults(look(self.host), WANTED, (NIC, TWIN)))

    def _keep(self, **variables: object) -> None:
        """A boot on trial with nothing wrong, which has to become the default."""
        outcome = converge(self.host, (), **variables)
        if outcome.status or len(outcome.resets) != 1:
            raise StepFailedError(
                f"site.yml ended with status {outcome.status} after {len(outcome.resets)} resets:"
                f" {last_words_of(outcome.said)}"
            )

    def _outlive(self, tried: Boot) -> None:
        """The boot that was committed runs on past every deadline that it was given."""
        until = deadline() + AFTERWARDS
        time.sleep(max(0.0, until - look(self.host).uptime))
        now = look(self.host)
        if now.boot_id != tried.boot_id or now.uptime < until:
            raise StepFailedError(f"after the commit the host has rebooted by itself: up for {now.uptime:.0f} s")
        print(f"    up for {now.uptime:.0f} s in the boot that was tried, watchdogs {' '.join(now.watchdogs)}")


def deadline() -> int:
    """What the operator's variables say."""
    text = (GROUP_VARS / "passthrough_hosts.yml").read_text(encoding="utf-8")
    return int(yaml.safe_load(text)["boot_deadline"])


def _fail_with(found: Sequence[str]) -> None:
    if found:
        raise StepFailedError("; ".join(found))


if __name__ == "__main__":
    sys.exit(main())

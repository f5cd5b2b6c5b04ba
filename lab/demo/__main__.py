# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts a bare host, makes it a passthrough hypervisor, proves it, runs again, and takes everything back."""

from __future__ import annotations

import argparse
import signal
import sys

from lab import golden, machine
from lab.demo.steps import Playbooks, check_idempotence, driver_of, guest_devices
from lab.errors import LabError
from lab.machine import Host
from lab.steps import StepFailedError, differences, manifest, step

GIVEN = "0000:01:00.0"
TWIN = "0000:02:00.0"
IDS = "8086:10d3"
MAC = "52:54:00:aa:00:10"


def main() -> int:
    options = _parser().parse_args()
    # So that a terminated run ends its host as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    try:
        with step("0", f"host image {options.flavour}", "1 s, or 2 to 4 minutes where it has to be built"):
            golden.ensure(options.flavour)
        with machine.running("demo", "demo", options.flavour) as host:
            demonstrate(host)
    except (StepFailedError, LabError) as error:
        print(f"\nDEMO FAILED at {error}", file=sys.stderr)
        return 1
    print(
        "\nDEMO PASSED: bound early by address and identity, proven in the guest, idempotent, undone without a trace."
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab.demo", description="The main job on a virtual host.")
    parser.add_argument("--flavour", default="debian12", help="the host's image (debian12 or debian13)")
    return parser


def demonstrate(host: Host) -> None:
    """Every step raises :class:`StepFailedError` when its outcome is not as promised."""
    playbooks = Playbooks(host)
    with step("1", "remember what lies on the host", "10 s"):
        before = manifest(host)
    with step("2", "site.yml: plan, write, reboot once on trial, verify, keep it, define the domain", "4 minutes"):
        playbooks.run("site", boot_reboot="true")
    with step("3", "evidence", "15 s"):
        show_evidence(host)
    with step("4", "site.yml again: nothing to do", "30 s"):
        check_idempotence(playbooks)
    with step("5", "revert.yml: take everything back, reboot once", "2 minutes"):
        playbooks.run("revert", boot_reboot="true", revert_force_domains="true", revert_shutdown_timeout=5)
    with step("6", "compare with what was there", "10 s"):
        check_reverted(host, before)


def show_evidence(host: Host) -> None:
    """The guest's own words about the device, and who holds the two cards on the host."""
    given, twin = driver_of(host, GIVEN), driver_of(host, TWIN)
    held = host.ssh("dmesg | grep virtfleet-passthrough: || true").strip()
    print(f"    host: {GIVEN} is held by {given}; its identical twin {TWIN} by {twin}")
    print(f"    host, kernel log: {held}")
    if given != "vfio-pci":
        raise StepFailedError(f"{GIVEN} is held by {given or 'no driver'}, expected vfio-pci")
    if twin != "e1000e":
        raise StepFailedError(f"the twin {TWIN} is held by {twin or 'no driver'}, expected e1000e: it serves the host")
    devices = guest_devices(host, deadline=300)
    for device in devices:
        print(f"    guest: PCI {device.address} {device.ids}, driver {device.driver}, MAC {device.mac}")
    if not any((device.ids, device.mac) == (IDS, MAC) for device in devices):
        raise StepFailedError(f"the guest does not report {IDS} with MAC {MAC}")


def check_reverted(host: Host, before: dict[str, str]) -> None:
    """Files as they were, the card back on its own driver."""
    left = differences(before, manifest(host))
    if left:
        raise StepFailedError(f"{len(left)} differences are left: {'; '.join(left[:20])}")
    driver = driver_of(host, GIVEN)
    if driver != "e1000e":
        raise StepFailedError(f"{GIVEN} is held by {driver or 'no driver'}, expected e1000e")
    print(f"    {len(before)} files and directories are as they were; {GIVEN} is back on {driver}")


if __name__ == "__main__":
    sys.exit(main())

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gives a host's devices to vfio-pci, swaps two cards for other models, and takes everything back."""

from __future__ import annotations

import argparse
import re
import signal
import sys

from lab import emulator, golden, machine, topology
from lab.binding.evidence import LIST_DRIVERS, VFIO_PCI, differing, drivers, holding_faults, lines_of
from lab.demo.steps import Playbooks, check_idempotence
from lab.errors import LabError
from lab.machine import Host
from lab.paths import HERE, host_state
from lab.stall import resetting_once
from lab.steps import StepFailedError, differences, manifest, step

NAME = TOPOLOGY = "binding"
CHANGED = "binding_changed"
NIC, DRIVE = "0000:01:00.0", "0000:05:00.0"
BRIDGE = "0000:03:00.0"
# Address and own driver of what the guests are to have.
CARDS = {
    NIC: "e1000e",
    "0000:04:01.0": "e1000",
    "0000:04:02.0": "e1000",
    DRIVE: "nvme",
    "0000:07:00.0": "xhci_hcd",
}
PF = "0000:08:00.0"
VFS = {"0000:08:10.0": "igbvf", "0000:08:10.2": "igbvf"}
MACS = ("52:54:00:aa:00:40", "52:54:00:aa:00:41")
GIVEN = {**CARDS, **VFS}
# The ones that look like two of them.
TWINS = {"0000:02:00.0": "e1000e", "0000:06:00.0": "nvme"}
# What sits at two of the addresses after the change: its ids and its driver.
OTHERS = {NIC: ("10ec:8139", "8139cp"), DRIVE: ("8086:5845", "nvme")}
TWIN_DRIVE = "0000:06:00.0"
MOUNT = "/srv/lab-data"


# Someone else's work that must survive: a drive with data, and the VFs' own driver, there from the start of every boot.
# It is shown the VFs once, so that the log tells how it speaks of them.
PREPARE = f"""\
set -e
timeout 60 sh -c "until ls -d /sys/bus/pci/devices/{TWIN_DRIVE}/nvme/nvme*/nvme*n1; do sleep 1; done" 2>/dev/null
disk=$(basename $(ls -d /sys/bus/pci/devices/{TWIN_DRIVE}/nvme/nvme*/nvme*n1))
mkfs.ext4 -q -L lab-data /dev/$disk
mkdir {MOUNT}
echo 'LABEL=lab-data {MOUNT} ext4 nofail 0 2' >>/etc/fstab
mount {MOUNT}
head -c 4000000 /dev/urandom >{MOUNT}/data
echo igbvf >/etc/modules-load.d/lab-igbvf.conf
modprobe igbvf
echo {len(VFS)} >/sys/bus/pci/devices/{PF}/sriov_numvfs
udevadm settle
echo 0 >/sys/bus/pci/devices/{PF}/sriov_numvfs
sync"""
# A host answers before its last devices have a driver.
SETTLE = "systemctl is-system-running --wait || true; udevadm settle"
DATA = f"findmnt -no LABEL {MOUNT} && sha256sum {MOUNT}/data"
LIST_LOADED = "ls /sys/bus/pci/drivers"
LIST_MACS = f"ip -o link show dev $(ls /sys/bus/pci/devices/{PF}/net)"


def main() -> int:
    options = _parser().parse_args()
    # So that a terminated run ends its host as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    try:
        with step("0", f"host image {options.flavour}, QEMU", "1 s, or 2 to 5 minutes where they have to be made"):
            golden.ensure(options.flavour)
            emulator.ensure(topology.load(TOPOLOGY).qemu)
        with resetting_once(host_state(NAME)), machine.running(NAME, TOPOLOGY, options.flavour) as host:
            demonstrate(host)
    except (StepFailedError, LabError) as error:
        print(f"\nBINDING FAILED at {error}", file=sys.stderr)
        return 1
    print("\nBINDING PASSED: never seen by their own drivers, twins untouched, other models refused, undone.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab.binding", description="Early binding on a virtual host.")
    parser.add_argument("--flavour", default="debian12", help="the host's image (debian12 or debian13)")
    return parser


def demonstrate(host: Host) -> None:
    """Every step raises :class:`StepFailedError` when its outcome is not as promised."""
    playbooks = Playbooks(host, HERE / "binding/group_vars")
    with step("1", "data on a drive; remember who has which device, and the files", "20 s"):
        host.ssh(SETTLE)
        host.ssh(PREPARE)
        check_native(host)
        drivers_before, files_before, data = all_drivers(host), manifest(host), host.ssh(DATA)
    with step("2", "site.yml: plan, write, reboot once on trial, verify, keep it", "4 minutes"):
        playbooks.run("site", boot_reboot="true")
    with step("3", "evidence", "5 s"):
        check_held(host, drivers_before, data)
    with step("4", "site.yml again: nothing to do", "20 s"):
        check_idempotence(playbooks)
    with step("5", "power off, other models at two of the addresses, power on", "1 minute"):
        machine.stop([host])
        host = machine.power_on(host.name, CHANGED)
        machine.wait([host])
        host.ssh(SETTLE)
        playbooks = Playbooks(host, HERE / "binding/group_vars")
    with step("6", "nothing is bound there, and the plan says what sits there now", "20 s"):
        check_others(host, data)
        check_told(playbooks)
    with step("7", "revert.yml: take everything back, reboot once", "2 minutes"):
        playbooks.run("revert", boot_reboot="true")
    with step("8", "compare with what was there", "15 s"):
        check_reverted(host, drivers_before, files_before, data)


def all_drivers(host: Host) -> dict[str, str]:
    return drivers(host.ssh(LIST_DRIVERS))


def check_native(host: Host) -> None:
    """Before anything: every driver has its cards and says so in the log, or its silence later would mean nothing."""
    log, found = host.ssh("dmesg"), all_drivers(host)
    for address, native in {**CARDS, **TWINS}.items():
        if found.get(address) != native or not lines_of(native, address, log):
            raise StepFailedError(f"{address} is held by {found.get(address) or 'no driver'}, expected {native}")
    silent = [address for address, native in VFS.items() if not lines_of(native, address, log)]
    if silent:
        raise StepFailedError(f"{' and '.join(sorted(set(VFS.values())))} did not speak of {', '.join(silent)}")


def check_held(host: Host, before: dict[str, str], data: str) -> None:
    """The devices are vfio-pci's and their own drivers never saw them; all others are as they were."""
    log, found = host.ssh("dmesg"), all_drivers(host)
    faults = holding_faults(GIVEN, found, log) + differing(before, found, GIVEN)
    faults += [
        f"{native} says nothing about {address}"
        for address, native in TWINS.items()
        if not lines_of(native, address, log)
    ]
    loaded, macs = host.ssh(LIST_LOADED).split(), host.ssh(LIST_MACS)
    faults += [f"{native} is not loaded" for native in sorted(set(VFS.values()) - set(loaded))]
    faults += [
        f"VF {index} of {PF} has not the MAC {mac}"
        for index, mac in enumerate(MACS)
        if not re.search(rf"\bvf {index}\s+link/ether {mac}\b", macs)
    ]
    if host.ssh(DATA) != data:
        faults.append(f"the data on the twin {TWIN_DRIVE} is not what it was")
    for line in log.splitlines():
        if "virtfleet-passthrough:" in line:
            print(f"    kernel log: {line.strip()}")
    if faults:
        raise StepFailedError("; ".join(faults))
    natives = ", ".join(sorted(set(GIVEN.values())))
    print(f"    {', '.join(GIVEN)} are held by {VFIO_PCI}; no line of {natives} names one of them")
    print(f"    twins {', '.join(TWINS)} are on their own drivers, the data is as it was; the bridge {BRIDGE} too")


def check_others(host: Host, data: str) -> None:
    """Where another model sits its own driver has it; the devices that are still there are held."""
    log, found = host.ssh("dmesg"), all_drivers(host)
    still = {address: native for address, native in GIVEN.items() if address not in OTHERS}
    faults = holding_faults(still, found, log)
    for address, (ids, native) in OTHERS.items():
        if found.get(address) != native:
            faults.append(f"{address} is held by {found.get(address) or 'no driver'}, expected {native}")
        said = lines_of("virtfleet-passthrough", f"{address} is {ids}", log)
        if not said:
            faults.append(f"the kernel log does not say that {address} is {ids}")
        for line in said:
            print(f"    kernel log: {line.strip()}")
    if host.ssh(DATA) != data:
        faults.append(f"the data on the twin {TWIN_DRIVE} is not what it was")
    if faults:
        raise StepFailedError("; ".join(faults))


def check_told(playbooks: Playbooks) -> None:
    """verify.yml fails, and names each address with the model that sits there now."""
    status, said = playbooks.attempt("verify")
    silent = [
        f"{address} {ids}" for address, (ids, _native) in OTHERS.items() if address not in said or ids not in said
    ]
    if status == 0 or silent:
        raise StepFailedError(f"verify.yml ended with status {status} and does not name {', '.join(silent)}:\n{said}")
    print(f"    verify.yml ended with status {status}:")
    print("\n".join(f"    {line}" for line in said.splitlines() if any(address in line for address in OTHERS)))


def check_reverted(host: Host, drivers_before: dict[str, str], files_before: dict[str, str], data: str) -> None:
    """Files as they were, every card that is still there on its own driver."""
    faults = differing(drivers_before, all_drivers(host), OTHERS)
    faults += differences(files_before, manifest(host))
    if host.ssh(DATA) != data:
        faults.append(f"the data on the twin {TWIN_DRIVE} is not what it was")
    if faults:
        raise StepFailedError(f"{len(faults)} differences are left: {'; '.join(faults[:20])}")
    print(f"    {len(files_before)} files and directories are as they were, and the driver of every device")


if __name__ == "__main__":
    sys.exit(main())

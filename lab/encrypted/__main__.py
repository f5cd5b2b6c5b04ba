# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gives a NIC and a display of a host with an encrypted root to vfio-pci and takes them back; it always unlocks."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lab import golden, machine
from lab.binding.evidence import LIST_DRIVERS, VFIO_PCI, differing, drivers, holding_faults, lines_of
from lab.demo.steps import Playbooks, check_idempotence
from lab.encrypted.prompt import Typist, answering
from lab.encrypted_image import KEY_TEXT
from lab.errors import LabError
from lab.machine import Host
from lab.paths import HERE, host_state
from lab.steps import StepFailedError, differences, manifest, step

TOPOLOGY = "encrypted"
NIC, TWIN, DISPLAY, OWN_DISPLAY = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0", "0000:00:01.0"
NATIVE = "e1000e"
GIVEN = (NIC, DISPLAY)
# What shows a console on the display that the host keeps.
MODULE = "virtio_gpu"
# How an administrator puts it into the initramfs, by flavour; both generators load what is named there early.
DRACUT_FILE = "/etc/dracut.conf.d/display.conf"
FORCE_DRIVERS = f'force_drivers+=" {MODULE} "'
REBUILD = "dracut --force --quiet /boot/initrd.img-$(uname -r)"
ADD_MODULE: Mapping[str, str] = {
    "debian12-luks": f"echo {MODULE} >>/etc/initramfs-tools/modules && update-initramfs -u",
    "debian13-luks": f"echo '{FORCE_DRIVERS}' >{DRACUT_FILE} && {REBUILD}",
}
SETTLE = "systemctl is-system-running --wait || true; udevadm settle"
ROOT = "lsblk --noheadings --inverse --list --output NAME,TYPE,FSTYPE $(findmnt -no SOURCE /)"
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
# Where the collection writes.
WRITTEN = ("/etc", "/boot", "/var/lib/virtfleet-passthrough")
IMAGES = "sha256sum /boot/initrd.img-*"
# Until a new image is being written beside the old one; a tenth of a second is a long time then.
BUILDING = """\
for _ in $(seq 4000); do
  for image in /boot/.initrd.img-*.virtfleet-new; do
    [ ! -s "$image" ] || exit 0
  done
  sleep 0.1
done
exit 1"""


def main() -> int:
    options = _parser().parse_args()
    # So that a terminated run ends its host as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    try:
        with step("0", f"host image {options.flavour}", "1 s, or 2 to 5 minutes where it has to be made"):
            golden.ensure(options.flavour)
        with (
            answering(host_state(options.host), KEY_TEXT) as typist,
            machine.running(options.host, TOPOLOGY, options.flavour) as host,
        ):
            Proof(host, typist).run()
    except (StepFailedError, LabError) as error:
        print(f"\nENCRYPTED FAILED at {error}", file=sys.stderr)
        return 1
    print("\nENCRYPTED PASSED: unlocked at every boot, held early, refused where the prompt would be dark, undone.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab.encrypted", description="Early binding with a locked root.")
    parser.add_argument("--flavour", default="debian12-luks", choices=ADD_MODULE, help="the host's image")
    parser.add_argument("--host", default="luks", help="its name")
    return parser


@dataclass
class Proof:
    """Every step raises :class:`StepFailedError` when its outcome is not as promised."""

    host: Host
    typist: Typist

    def run(self) -> None:
        with step("1", "the host has been unlocked; remember drivers and files", "30 s"):
            self.host.ssh(SETTLE)
            self.check_unlocked(1)
            drivers_before, untouched = self.native_drivers(), manifest(self.host, *WRITTEN)
        with step("2", "site.yml is refused before it writes: nobody would see the prompt", "45 s"):
            self.check_refused(untouched)
        with step("3", f"plan.yml with the key that allows it; then {MODULE} in the initramfs instead", "1 minute"):
            self.check_allowed()
            self.host.ssh(ADD_MODULE[self.host.flavour], limit=600)
            files_before = manifest(self.host)
        with step("4", "the power goes while site.yml builds the image", "2 minutes"):
            self.cut_during_the_build(drivers_before)
        with step("5", "site.yml: plan, write, reboot once, unlock, verify", "3 minutes"):
            self.playbooks.run("site", boot_reboot="true")
        with step("6", "evidence", "5 s"):
            self.check_unlocked(3)
            self.check_held(drivers_before)
        with step("7", "site.yml again: nothing to do", "20 s"):
            check_idempotence(self.playbooks)
        with step("8", "revert.yml: take everything back, reboot once, unlock", "2 minutes"):
            self.playbooks.run("revert", boot_reboot="true")
        with step("9", "compare with what was there, the content of the image too", "15 s"):
            self.check_unlocked(4)
            self.check_reverted(drivers_before, files_before)

    @property
    def playbooks(self) -> Playbooks:
        return Playbooks(self.host, HERE / "encrypted/group_vars")

    def drivers(self) -> dict[str, str]:
        return drivers(self.host.ssh(LIST_DRIVERS))

    def native_drivers(self) -> dict[str, str]:
        """Both NICs speak through their own driver, or its silence later would mean nothing."""
        log, found = self.host.ssh("dmesg"), self.drivers()
        for address in (NIC, TWIN):
            if found.get(address) != NATIVE or not lines_of(NATIVE, address, log):
                raise StepFailedError(f"{address} is held by {found.get(address) or 'no driver'}, expected {NATIVE}")
        if not found.get(OWN_DISPLAY) or DISPLAY not in found:
            raise StepFailedError(f"the displays are not as {TOPOLOGY} has them: {found}")
        return found

    def check_unlocked(self, boots: int) -> None:
        """The root file system is on what was unlocked, and the passphrase was typed once in each boot."""
        layers = self.host.ssh(ROOT)
        if "crypt" not in layers or "crypto_LUKS" not in layers:
            raise StepFailedError(f"the root file system is not encrypted: {layers}")
        if (self.typist.answers, self.typist.failures) != (boots, []):
            raise StepFailedError(
                f"{self.typist.answers} passphrases were typed in {boots} boots; {', '.join(self.typist.failures)}"
            )
        print(f"    boot {boots}: the passphrase was typed on the console once; / is on {' '.join(layers.split())}")

    def check_refused(self, before: Mapping[str, str]) -> None:
        boot_id = self.host.ssh(BOOT_ID)
        status, said = self.playbooks.attempt("site", boot_reboot="true")
        silent = [word for word in ("encrypted_root_console", DISPLAY, MODULE) if word not in said]
        if status == 0 or silent:
            raise StepFailedError(f"site.yml ended with status {status} and does not say {', '.join(silent)}:\n{said}")
        faults = differences(before, manifest(self.host, *WRITTEN))
        if faults or self.host.ssh(BOOT_ID) != boot_id:
            raise StepFailedError(f"a refused run has written or rebooted: {', '.join(faults)}")
        print(f"    site.yml ended with status {status}, wrote nothing, and said:")
        told = (line.partition("refused: ")[2] for line in said.splitlines() if "encrypted_root_console" in line)
        print("\n".join(f"    {reason}" for reason in told if reason))

    def check_allowed(self) -> None:
        status, said = self.playbooks.attempt("plan", plan_allow=["encrypted_root_console"])
        if status != 0 or "nobody sees the prompt" in said:
            raise StepFailedError(f"plan.yml ended with status {status} although plan_allow has the key:\n{said}")

    def cut_during_the_build(self, before: Mapping[str, str]) -> None:
        """The old image is the one that boots and unlocks. That boot may have its devices already:
        udev holds them where the image could not. Nothing else is touched."""
        images = self.host.ssh(IMAGES)
        with ThreadPoolExecutor(1) as pool:
            attempt = pool.submit(self.playbooks.attempt, "site", boot_reboot="true")
            try:
                self.host.ssh(BUILDING, limit=600)
            finally:
                machine.cut(self.host)
            status, _said = attempt.result()
        self.host = machine.power_on(self.host.name)
        machine.wait([self.host])
        self.host.ssh(SETTLE)
        self.check_unlocked(2)
        left = self.host.ssh("ls -A /boot").split()
        found = self.drivers()
        faults = differing(before, found, GIVEN)
        faults += [
            f"{address} is held by {found.get(address) or 'no driver'}"
            for address in GIVEN
            if found.get(address) not in (before[address], VFIO_PCI)
        ]
        if status == 0:
            faults.append("site.yml did not notice that its host has gone")
        if self.host.ssh(IMAGES) != images:
            faults.append("the image is another than before the cut")
        if faults:
            raise StepFailedError("; ".join(faults))
        half = [name for name in left if name.endswith(".virtfleet-new")]
        print(f"    the old image boots, with {', '.join(half) or 'nothing'} beside it; no device is without a driver")

    def check_held(self, before: Mapping[str, str]) -> None:
        """The devices are vfio-pci's, their own driver never saw them; the prompt had a display."""
        log, found = self.host.ssh("dmesg"), self.drivers()
        faults = holding_faults({NIC: NATIVE}, found, log) + differing(before, found, GIVEN)
        if found.get(DISPLAY) != VFIO_PCI:
            faults.append(f"{DISPLAY} is held by {found.get(DISPLAY) or 'no driver'}, expected {VFIO_PCI}")
        if not lines_of(NATIVE, TWIN, log):
            faults.append(f"{NATIVE} says nothing about {TWIN}")
        shown, mounted = log.find(f"Initialized {MODULE}"), log.find("EXT4-fs (dm-")
        if not 0 <= shown < mounted:
            faults.append(f"{MODULE} was not there before the root file system was unlocked")
        if faults:
            raise StepFailedError("; ".join(faults))
        for line in log.splitlines():
            if "virtfleet-passthrough:" in line:
                print(f"    kernel log: {line.strip()}")
        print(f"    {NIC} and {DISPLAY} are held by {VFIO_PCI}; no line of {NATIVE} names the first, some name {TWIN}")

    def check_reverted(self, drivers_before: Mapping[str, str], files_before: Mapping[str, str]) -> None:
        faults = differing(drivers_before, self.drivers(), ())
        faults += differences(files_before, manifest(self.host))
        if faults:
            raise StepFailedError(f"{len(faults)} differences are left: {'; '.join(faults[:20])}")
        held = sum(" holds " in path for path in files_before)
        print(f"    {len(files_before) - held} files and directories and {held} names in the image are as they were")


if __name__ == "__main__":
    sys.exit(main())

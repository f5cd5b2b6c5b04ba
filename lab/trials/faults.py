# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An administrator's hooks and units that hang, or undo what was configured, in a boot that carries ``lab.fault``."""

from __future__ import annotations

import shlex

from lab.machine import Host
from lab.trials.cases import FAULT, NIC

_HANG = f"""\
#!/bin/sh
case "${{1:-}}" in prereqs) exit 0 ;; esac
case " $(cat /proc/cmdline) " in
  *" {FAULT}=initramfs "*) while :; do sleep 60; done ;;
esac
"""
_DRACUT_SETUP = """\
#!/bin/bash
check() { return 0; }
depends() { return 0; }
install() {
  inst_multiple sh sleep cat
  inst_hook pre-mount 01 "$moddir/hang.sh"
}
"""
# As a service of somebody's that waits for what never comes, where everything else waits for it.
_STALL = f"""\
[Unit]
Description=Never ends in a boot with {FAULT}=userspace
DefaultDependencies=no
ConditionKernelCommandLine={FAULT}=userspace
Before=sysinit.target
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/sleep infinity
"""
# As somebody's own script does that wants the card for itself.
_TAKE_BACK = f"""\
[Unit]
Description=Takes {NIC} back in a boot with {FAULT}=verify
DefaultDependencies=no
ConditionKernelCommandLine={FAULT}=verify
Before=ssh.service
After=systemd-udev-trigger.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo {NIC} >/sys/bus/pci/devices/{NIC}/driver/unbind; \\
  echo >/sys/bus/pci/devices/{NIC}/driver_override; modprobe e1000e; echo {NIC} >/sys/bus/pci/drivers_probe; true'
"""
_WANTS = "[Unit]\nWants=lab-stall.service lab-take-back.service\n"
_UNITS = "/etc/systemd/system"
_DRACUT_MODULE = "/usr/lib/dracut/modules.d/95lab-fault"


def files(generator: str) -> dict[str, tuple[str, int]]:
    """Path to text and mode, for a host whose images ``generator`` makes."""
    if generator == "dracut":
        hang = {
            f"{_DRACUT_MODULE}/module-setup.sh": (_DRACUT_SETUP, 0o755),
            f"{_DRACUT_MODULE}/hang.sh": (_HANG, 0o755),
        }
    else:
        hang = {"/etc/initramfs-tools/scripts/init-premount/lab-fault": (_HANG, 0o755)}
    return {
        **hang,
        f"{_UNITS}/lab-stall.service": (_STALL, 0o644),
        f"{_UNITS}/lab-take-back.service": (_TAKE_BACK, 0o644),
        f"{_UNITS}/sysinit.target.d/lab-faults.conf": (_WANTS, 0o644),
    }


def generator_of(host: Host) -> str:
    return host.ssh("if command -v dracut >/dev/null; then echo dracut; else echo initramfs-tools; fi").strip()


def install(host: Host, generator: str) -> None:
    """They stay on the host for the whole run: without their argument they do nothing."""
    for path, (text, mode) in files(generator).items():
        place = shlex.quote(path)
        host.ssh(f"mkdir -p $(dirname {place}); printf %s {shlex.quote(text)} >{place}; chmod {mode:o} {place}")
    host.ssh("systemctl daemon-reload")

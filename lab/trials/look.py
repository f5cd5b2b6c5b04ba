# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look at a host in its present boot."""

from __future__ import annotations

from collections.abc import Sequence

from lab.binding.evidence import LIST_DRIVERS, drivers
from lab.loaders.host import kernel_release, running_line
from lab.machine import Host
from lab.trials.evidence import TRIAL, Boot

# What the operator's variables come to on the kernel's line, the generation aside.
WANTED = ("intel_iommu=on",)

# What modprobe.d says once the trial is kept: the kernel shows it of what is loaded, modprobe of what is not.
OPTIONS = """\
cat /sys/module/vfio_pci/parameters/disable_idle_d3 2>/dev/null
/sbin/modprobe --show-depends kvm | tail -n 1"""
FILES = "find /etc/modprobe.d /etc/modules-load.d -name 'virtfleet-*'"

LOOK = """\
cat /proc/sys/kernel/random/boot_id
cut -d ' ' -f 1 /proc/uptime
ls /sys/kernel/iommu_groups | wc -l
cat /sys/class/watchdog/*/state 2>/dev/null | tr '\\n' ' '"""


def look(host: Host) -> Boot:
    boot_id, uptime, groups, *states = host.ssh(LOOK).split()
    return Boot(
        line=running_line(host),
        kernel=kernel_release(host),
        drivers=drivers(host.ssh(LIST_DRIVERS)),
        groups=int(groups),
        watchdogs=states,
        boot_id=boot_id,
        uptime=float(uptime),
        files=host.ssh(FILES).split(),
        options=host.ssh(OPTIONS).split(),
    )


def without_trial(found: Sequence[str]) -> list[str]:
    """The boot that was tried keeps its marker on the line that it was started with."""
    return [fault for fault in found if TRIAL not in fault]

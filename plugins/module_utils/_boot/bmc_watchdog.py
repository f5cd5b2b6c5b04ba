# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The watchdog of a baseboard management controller, which covers a boot on trial from before its kernel starts.

It is started as the very last act of the shutdown into the trial, so that a run that is cut off between arming and
reboot does not reset a machine that works. A commit stops it. So does a unit in every other boot: one that the machine
fell back to must not be reset for a trial that is over.
"""

from __future__ import annotations

import sys
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.bmc_script import LONGEST, SCRIPT, SCRIPT_PATH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.parameters import TRIAL_PARAMETER
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile

_NAME = "virtfleet-passthrough-trial-bmc"
# Run by systemd-shutdown when file systems are read-only, right before it resets (systemd-halt.service(8)).
SHUTDOWN_PATH: t.Final = f"/usr/lib/systemd/system-shutdown/{_NAME}"
SERVICE_PATH: t.Final = f"/etc/systemd/system/{_NAME}.service"
DROP_IN_PATH: t.Final = f"/etc/systemd/system/sysinit.target.d/50-{_NAME}.conf"

_DRIVER = "/sys/bus/platform/drivers/ipmi_si"
# For the firmware of a server with much memory; the deadline of the trial comes on top.
_FIRMWARE = 600
_HEAD = "# Written by virtfleet.passthrough (module boot_trial); gone when the trial is committed or rolled back.\n"
# What a directory of a driver holds besides its devices.
_ATTRIBUTES = frozenset({"bind", "unbind", "uevent", "module", "hotmod"})


def seconds_for(root: Root, deadline: int) -> int | None:
    """How long the timer has to run for a trial of ``deadline`` seconds; ``None`` where there is no controller, or
    where that is too long for it."""
    if not any(name not in _ATTRIBUTES for name in root.listdir(_DRIVER)):
        return None
    seconds = deadline + _FIRMWARE
    return seconds if seconds <= LONGEST else None


def bmc_files(identifier: str, boot_id: str, seconds: int) -> tuple[OwnedFile, ...]:
    """``boot_id`` is of the boot that arms: no other one may start the timer. What stops it comes first."""
    program = f"{sys.executable or '/usr/bin/python3'} {SCRIPT_PATH}"
    service = (
        f"{_HEAD}[Unit]\nDescription=Stop the watchdog that was started for the boot on trial {identifier}\n"
        f"DefaultDependencies=no\nConditionKernelCommandLine=!{TRIAL_PARAMETER}={identifier}\n\n"
        # Else every unit that starts would start it again, through sysinit.target.
        f"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={program} stop\n"
    )
    shutdown = (
        f"#!/bin/sh\n{_HEAD}"
        '[ "${1:-}" = reboot ] || exit 0\n'
        "read -r boot </proc/sys/kernel/random/boot_id\n"
        f'[ "$boot" = {boot_id} ] || exit 0\n'
        f"timeout 30 {program} start {seconds}\n"
    )
    return (
        OwnedFile(SCRIPT_PATH, SCRIPT.encode(), 0o755),
        OwnedFile(SERVICE_PATH, service.encode()),
        OwnedFile(DROP_IN_PATH, f"{_HEAD}[Unit]\nWants={_NAME}.service\n".encode()),
        OwnedFile(SHUTDOWN_PATH, shutdown.encode(), 0o755),
    )


def stop(root: Root, run: Runner) -> list[str]:
    """Stop the timer in the boot of a trial; gives a warning where that fails."""
    if not root.exists(SCRIPT_PATH):
        # Its files go after it was stopped: this is the rest of a commit that was cut off.
        return []
    done = run([sys.executable or "/usr/bin/python3", root.path(SCRIPT_PATH), "stop"])
    if done.rc == 0:
        return []
    said = (done.stdout or done.stderr).strip()
    return [f"the BMC's watchdog {said}. It resets the machine unless somebody stops it (ipmitool mc watchdog off)"]

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The units that reboot a machine whose trial nobody commits.

They act in the boot of their own trial only: their condition names its identifier. A drop-in of ``sysinit.target``
starts the timer, because it waits for nothing: it runs also where the boot ends in ``emergency.target``.

Nearly every unit that starts pulls that target in, and with it whatever it wants that does not run: a timer that was
only stopped would count again while a commit is still at its work, or reboot at once where its time is over.
"""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.parameters import TRIAL_PARAMETER
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, remove
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile

OWNER: t.Final = "boot_trial"

_NAME = "virtfleet-passthrough-trial"
_UNITS = "/etc/systemd/system"
SERVICE_PATH: t.Final = f"{_UNITS}/{_NAME}.service"
TIMER_PATH: t.Final = f"{_UNITS}/{_NAME}.timer"
DROP_IN_PATH: t.Final = f"{_UNITS}/sysinit.target.d/50-{_NAME}.conf"

# Seconds before the deadline, when a hardware watchdog resets the machine, which loses the journal's last lines.
_AHEAD = 15

_SYSTEMD = "/run/systemd/system"
# Of this boot alone.
_ENDED = f"/run/{_NAME}.ended"
_HEAD = "# Written by virtfleet.passthrough (module boot_trial); gone when the trial is committed or rolled back.\n"


def unit_files(identifier: str, deadline: int) -> tuple[OwnedFile, ...]:
    """The units for one trial; the file that starts them comes last."""
    common = (
        f"DefaultDependencies=no\nIgnoreOnIsolate=yes\nConditionKernelCommandLine={TRIAL_PARAMETER}={identifier}\n"
        f"ConditionPathExists=!{_ENDED}\n"
    )
    service = (
        f"{_HEAD}[Unit]\nDescription=Give up the boot on trial {identifier}\n{common}\n"
        # Twice: without systemd, which may hang by now.
        "[Service]\nType=oneshot\nExecStart=/bin/systemctl reboot --force --force\n"
    )
    timer = (
        f"{_HEAD}[Unit]\nDescription=Deadline of the boot on trial {identifier}\n{common}\n"
        f"[Timer]\nOnBootSec={deadline - _AHEAD}s\nAccuracySec=1s\n"
    )
    drop_in = f"{_HEAD}[Unit]\nWants={_NAME}.timer\n"
    return (
        OwnedFile(SERVICE_PATH, service.encode()),
        OwnedFile(TIMER_PATH, timer.encode()),
        OwnedFile(DROP_IN_PATH, drop_in.encode()),
    )


def stop(root: Root, run: Runner) -> None:
    """End the countdown of the running trial, for the rest of this boot."""
    if root.exists(_SYSTEMD):
        with open(root.path(_ENDED), "wb"):
            pass
    # Gone already where a commit was cut off at its end, and then systemd knows none that it could stop.
    if root.exists(_SYSTEMD) and root.exists(TIMER_PATH):
        run_checked(run, ["systemctl", "stop", f"{_NAME}.timer"], "Stopping the deadline of the trial")


def forget(root: Root, run: Runner) -> None:
    """Let systemd see that the units are gone."""
    if root.exists(_SYSTEMD):
        run_checked(run, ["systemctl", "daemon-reload"], "Telling systemd that the units of the trial are gone")
    remove(root.path(_ENDED))

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways in which a boot on trial fails, and how long a host may take to come back from each. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Read by what ``faults.py`` puts on the host; without it a boot is a good one.
FAULT = "lab.fault"
# What ``group_vars`` gives away.
NIC = "0000:01:00.0"
# The one that looks like it, and stays with the host until a second list names it too.
TWIN = "0000:02:00.0"


# Who ends a boot on trial that failed.
PANIC = "panic"
WATCHDOG = "hardware watchdog"
DEADLINE = "deadline in user space"
PROOF = "plan that is made again"


@dataclass(frozen=True)
class Case:
    """One way to fail: ``arguments`` bring it about, ``ended_by`` ends it, ``logged`` says that the boot comes far
    enough for a journal, whose last lines then have to be told."""

    name: str
    arguments: tuple[str, ...]
    ended_by: str
    logged: bool = False

    @property
    def state(self) -> str:
        """What ``boot_trial`` says afterwards: only who has reached the host takes the trial away."""
        return "none" if self.ended_by == PROOF else "rolled_back"


_WITHOUT_NETWORK = tuple(f"systemd.mask=systemd-networkd.{kind}" for kind in ("service", "socket"))

CASES: Mapping[str, Case] = {
    case.name: case
    for case in (
        Case("panic", ("init=/bin/false",), PANIC),
        Case("initramfs", (f"{FAULT}=initramfs",), WATCHDOG),
        Case("network", _WITHOUT_NETWORK, DEADLINE, logged=True),
        Case("userspace", (f"{FAULT}=userspace",), DEADLINE, logged=True),
        Case("verify", (f"{FAULT}=verify",), PROOF),
    )
}

# An emulated host on a machine that has other things to do is slower at one time than at another.
SLACK = 1.5


@dataclass(frozen=True)
class Pace:
    """Seconds that an ordinary boot took on this host, from the reset to the login, and those of them before the
    kernel started."""

    boot: float
    before_kernel: float

    def limit(self, deadline: float) -> float:
        """The longest that a host may be away: until the kernel on trial starts, its deadline, one boot."""
        return SLACK * self.before_kernel + deadline + SLACK * self.boot

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One way of bringing a host to a wanted state with a boot on trial: the modules, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.loaders.host import Modules, kernel_release, reboot
from lab.machine import Host
from lab.progress import say
from lab.steps import StepFailedError
from lab.trials import library

OWNER = "lab"
WANTED = ("intel_iommu=on",)
STAGED = "/root/lab-staged.img"
# Seconds: a boot on trial takes 35 to 60 of them on this emulated machine, and a commit some more.
DEADLINE = 150
PANIC = 5

_BUILD = {
    "dracut": "dracut --force --quiet {image} {kernel}",
    "initramfs-tools": "mkinitramfs -o {image} {kernel}",
}


@dataclass(frozen=True)
class Outcome:
    """How a converge ended: ``told`` is what ``boot_trial`` says afterwards, ``away`` the seconds from the order to
    reboot until the host answered again."""

    committed: bool
    told: dict[str, Any]
    away: float


@dataclass
class Modulewise:
    """Arms, reboots, looks, commits; ``limit`` seconds are how long the host may be away."""

    host: Host
    generator: str
    watchdog: str = "auto"
    modules: Modules = field(init=False)

    def __post_init__(self) -> None:
        self.modules = Modules(self.host)

    def prepare(self) -> None:
        """Everything that does not depend on what is tried."""
        installed = library.run(self.host, library.INSTALL_EARLY_FILES).split()
        say(f"{self.host.name}: {len(installed)} files for the watchdog are installed")
        kernel = kernel_release(self.host)
        self.host.ssh(_BUILD[self.generator].format(image=STAGED, kernel=kernel), limit=400)

    def converge(self, arguments: Sequence[str], limit: float, healthy: Callable[[], list[str]]) -> Outcome:
        """``healthy`` says what is wrong with the boot on trial, nothing where it is what was wanted."""
        owners = {OWNER: [*WANTED, *arguments]}
        images = {kernel_release(self.host): STAGED}
        times = {"deadline": DEADLINE, "panic": PANIC, "watchdog": self.watchdog}
        armed = self.modules.succeed("boot_trial", state="armed", owners=owners, images=images, **times)
        say(f"{self.host.name}: armed, watchdog {armed['watchdog']}; not covered: {armed['not_covered'] or 'nothing'}")
        away = reboot(self.host, limit)
        told = self.modules.succeed("boot_trial")
        if told["state"] != "trying":
            return Outcome(False, told, away)
        wrong = healthy()
        if not wrong:
            return Outcome(True, self.modules.succeed("boot_trial", state="committed"), away)
        say(f"{self.host.name}: the boot on trial is not what was wanted: {'; '.join(wrong)}")
        return Outcome(False, told, away + reboot(self.host, limit))

    def clear(self) -> None:
        """Take away what is left of a trial that failed."""
        cleared = self.modules.succeed("boot_trial", state="rolled_back")
        if cleared["state"] != "none":
            raise StepFailedError(f"after clearing away the trial is {cleared['state']}")

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Hardware watchdogs that an initramfs can start as its first act: which there is, for how long, and stopping it.

Started there and never fed, one deadline covers a hang from the initramfs on, a boot that does not end, and a commit
that does not come. Sources: Documentation/watchdog/watchdog-parameters.rst, drivers/watchdog/i6300esb.c and iTCO_wdt.c.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

AUTO: t.Final = "auto"
OFF: t.Final = "off"

_CLASS = "/sys/class/watchdog"
_PCI = "/sys/bus/pci/devices"
# A deadline counts from the start of the kernel, the watchdog from that of the initramfs, some seconds later. User
# space, which leaves a better trace, gives up earlier still.
_LATER = 5


@dataclasses.dataclass(frozen=True)
class Kind:
    """A watchdog driver. ``parameter`` sets its time in seconds, ``rounds`` of which pass before the reset, at most
    ``longest`` of them; found by the ``identity`` that a loaded one shows, or by PCI ids ``vendor:device``. One of the
    modules ``parents`` makes the device that the driver looks for."""

    module: str
    parameter: str
    identity: str
    rounds: int
    longest: int
    pci_ids: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()

    def argument(self, deadline: int) -> str | None:
        """What the early script is told for a trial of ``deadline`` seconds; ``None`` where that is too long for it."""
        seconds = -(-(deadline - _LATER) // self.rounds)
        return f"{self.module},{self.parameter}={seconds}" if seconds <= self.longest else None


KINDS: t.Final[tuple[Kind, ...]] = (
    # Two stages of half the time each.
    Kind("i6300esb", "heartbeat", "i6300ESB timer", 1, 2046, ("8086:25ab",)),
    # The second expiry resets, the first is an interrupt that nobody takes.
    Kind("iTCO_wdt", "heartbeat", "iTCO_wdt", 2, 613, parents=("lpc_ich", "i2c_i801")),
)
NAMES: t.Final[tuple[str, ...]] = tuple(kind.module for kind in KINDS)


@dataclasses.dataclass(frozen=True)
class Choice:
    """``argument`` is what the command line of the trial carries; without one ``reason`` says why there is none."""

    argument: str | None
    reason: str | None


def choose(root: Root, wanted: str, deadline: int) -> Choice:
    """The watchdog for a trial; a name that is not there raises :class:`HostStateError`, ``auto`` does without."""
    if wanted == OFF:
        return Choice(None, "no hardware watchdog was asked for")
    present = present_kinds(root)
    fitting = [kind for kind in present if wanted in (AUTO, kind.module)]
    if not fitting:
        if wanted != AUTO:
            raise HostStateError(f"watchdog={wanted}, but neither {_CLASS} nor {_PCI} shows one")
        return Choice(None, f"no hardware watchdog was found; known are {', '.join(NAMES)}")
    argument = next((text for kind in fitting if (text := kind.argument(deadline)) is not None), None)
    if argument is None:
        reason = f"{fitting[0].module} counts to {fitting[0].longest * fitting[0].rounds} s, too short for the deadline"
        if wanted != AUTO:
            raise HostStateError(f"watchdog={wanted}: {reason}")
        return Choice(None, reason)
    return Choice(argument, None)


def present_kinds(root: Root) -> list[Kind]:
    """The watchdogs of this machine that are known, the one to prefer first."""
    return [kind for kind in KINDS if _is_present(root, kind)]


def _is_present(root: Root, kind: Kind) -> bool:
    if any(root.read_word(f"{_CLASS}/{name}/identity") == kind.identity for name in root.listdir(_CLASS)):
        return True
    return any(_pci_id(root, address) in kind.pci_ids for address in root.listdir(_PCI))


def _pci_id(root: Root, address: str) -> str:
    words = (root.read_word(f"{_PCI}/{address}/{name}") or "" for name in ("vendor", "device"))
    return ":".join(word.removeprefix("0x") for word in words)


def stop_all(root: Root) -> list[str]:
    """Stop every watchdog of a known kind that runs and that nobody holds open; gives a warning for each that cannot
    be stopped. Only for the boot of a trial, where the early script started it."""
    identities = {kind.identity for kind in KINDS}
    warnings = []
    for name in root.listdir(_CLASS):
        place = f"{_CLASS}/{name}"
        running = root.read_word(f"{place}/state") == "active"
        if not running or root.read_word(f"{place}/identity") not in identities:
            continue
        if root.read_word(f"{place}/nowayout") == "1":
            left = root.read_word(f"{place}/timeleft") or root.read_word(f"{place}/timeout") or "some"
            warnings.append(
                f"/dev/{name} cannot be stopped (nowayout): the machine resets in {left} s unless something feeds it"
            )
            continue
        reason = _stop(root.path(f"/dev/{name}"))
        if reason is not None:
            warnings.append(f"/dev/{name} was not stopped: {reason}. Something else feeds it, or the machine resets")
    return warnings


def _stop(device: str) -> str | None:
    """The magic close (Documentation/watchdog/watchdog-api.rst)."""
    try:
        descriptor = os.open(device, os.O_WRONLY)
    except OSError as exc:
        return exc.strerror or str(exc)
    try:
        os.write(descriptor, b"V")
    finally:
        os.close(descriptor)
    return None

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The reboot that a plan needs: what it costs, whether it is a boot on trial, and what stands against it. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import record as trials
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.early_files import (
    ANY_IMAGE,
    NEW_IMAGE,
    NO_IMAGE,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.options import (
    DOMAINS_REFUSE,
    TRIAL_AUTO,
    TRIAL_OFF,
    with_defaults,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    DRIFT,
    IN_SYNC,
    HostState,
    Refusal,
    Verdict,
)

_NOT_KEPT: t.Final = "the old entry is still what boots by default: site keeps this boot, or its deadline ends it"
_STILL_ARMED: t.Final = (
    "a run that was cut off has armed a boot on trial: the next reboot, whoever orders it, boots that once, and comes "
    "back unless site keeps it"
)

# Domains come after the boot, and are never what is on trial.
_AFTER_THE_BOOT: t.Final = "libvirt_domains"


@dataclasses.dataclass(frozen=True)
class Controller:
    """The machine that Ansible runs on: the identifier of its boot, and its DMI UUID, which only root may read."""

    boot_id: str | None = None
    uuid: str | None = None


ELSEWHERE: t.Final = Controller()


@dataclasses.dataclass(frozen=True)
class RunningDomains:
    """Names of all running domains of a host; ``None`` where ``unknown`` says why nobody knows."""

    names: tuple[str, ...] | None
    unknown: str | None = None


NOT_ASKED = RunningDomains(None, "libvirt was not asked")


def running_domains(host: HostState) -> RunningDomains:
    """The domains that a reboot of this host would shut down: as libvirt says where it was asked, else by the files
    that its daemons keep while a domain runs."""
    facts = host.facts.get("libvirt_domains")
    if facts is not None and facts["running"] is not None:
        return RunningDomains(tuple(facts["running"]))
    if host.running_domains is not None:
        return RunningDomains(tuple(domain["name"] for domain in host.running_domains))
    return RunningDomains(None, (facts or {}).get("reason") or "nothing runs in a captured tree")


@dataclasses.dataclass(frozen=True)
class Reboot:
    """``components`` need it; ``trial`` says whether this run will boot on trial, ``trying`` whether it runs in such a
    boot, which only waits for its commit."""

    components: tuple[str, ...]
    running: RunningDomains
    state: str = trials.NONE
    trial: bool = False
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def required(self) -> bool:
        return bool(self.components)

    @property
    def trying(self) -> bool:
        return self.state == trials.TRYING

    def to_json(self) -> dict[str, t.Any]:
        return {
            "required": self.required,
            "components": list(self.components),
            "running_domains": None if self.running.names is None else list(self.running.names),
            "unknown": self.running.unknown,
            "trial": {"wanted": self.trial, "state": self.state},
            "refusals": [refusal.to_json() for refusal in self.refusals],
            "warnings": list(self.warnings),
        }


def judge_reboot(
    options: t.Mapping[str, t.Any] | None,
    verdicts: t.Mapping[str, Verdict],
    host: HostState,
    running: RunningDomains,
    controller: Controller = ELSEWHERE,
) -> Reboot:
    """``options`` are those of the role ``boot``, those that are missing have their defaults."""
    chosen = with_defaults(options)
    components = tuple(name for name, verdict in verdicts.items() if verdict.reboot_required)
    trial = {"state": trials.NONE, **host.trial}
    state = trial["state"]
    if state == trials.TRYING:
        refusals = tuple(_not_what_is_tried(verdicts, trial))
        return Reboot(components, running, state, refusals=refusals, warnings=() if refusals else (_NOT_KEPT,))
    ordered = bool(components) and chosen["reboot"]
    on_trial = ordered and chosen["trial_mode"] == TRIAL_AUTO and _changes_the_boot(verdicts)
    refusals = (
        *(_own_ground(controller, host) if ordered else ()),
        *(_stopped(running) if ordered and chosen["running_domains"] == DOMAINS_REFUSE else ()),
        *(_impossible(trial["obstacle"]) if on_trial and trial.get("obstacle") else ()),
    )
    warnings = (
        *(_came_back(trial["last_words"]) if state == trials.ROLLED_BACK else ()),
        *((_STILL_ARMED,) if state == trials.ARMED and not on_trial else ()),
        *((*trial.get("not_covered", ()), *_unwatched(verdicts, trial), *_outlasts(verdicts)) if on_trial else ()),
        *(_blind(chosen["trial_mode"]) if ordered and not on_trial else ()),
    )
    return Reboot(components, running, state, on_trial, refusals, warnings)


def _changes_the_boot(verdicts: t.Mapping[str, Verdict]) -> bool:
    """Whether command line or image of the next boot are still to be written, so that they can be tried first."""
    drifting = {name: verdict for name, verdict in verdicts.items() if verdict.status == DRIFT}
    return "initramfs" in drifting or any(
        "kernel_args" in verdict.apply and any(change.after_reboot for change in verdict.changes)
        for verdict in drifting.values()
    )


def _not_what_is_tried(verdicts: t.Mapping[str, Verdict], trial: t.Mapping[str, t.Any]) -> t.Iterator[Refusal]:
    if trial["stale"]:
        yield Refusal(
            None,
            f"this boot is on trial and cannot be kept, because {'; '.join(trial['stale'])}: reboot the host, or let "
            "its deadline do so, and run again",
        )
        return
    others = [name for name, verdict in verdicts.items() if verdict.status != IN_SYNC and name != _AFTER_THE_BOOT]
    if others:
        yield Refusal(
            None,
            f"this boot is on trial, and what is wanted of {', '.join(others)} is not what it tries: reboot the host, "
            "or let its deadline do so, and run again",
        )


def _own_ground(controller: Controller, host: HostState) -> t.Iterator[Refusal]:
    advice = "Set boot_reboot: false to have everything written, and reboot it yourself"
    if controller.boot_id is not None and controller.boot_id == host.boot_id:
        yield Refusal(None, f"this host is the machine that Ansible runs on: it is not rebooted from here. {advice}")
    for domain in host.running_domains or ():
        if controller.uuid is not None and domain["uuid"] == controller.uuid.lower():
            yield Refusal(
                None, f"Ansible runs in the domain {domain['name']} of this host: a reboot would end it. {advice}"
            )


def _stopped(running: RunningDomains) -> t.Iterator[Refusal]:
    if running.names:
        yield Refusal(
            None,
            f"the reboot would stop what runs here: {', '.join(running.names)}. boot_running_domains: shutdown shuts "
            "it down first, ignore leaves it to the host",
        )


def _impossible(obstacle: str) -> t.Iterator[Refusal]:
    yield Refusal(
        None, f"{obstacle}. boot_trial_mode: off boots without a trial, and then nothing comes back by itself"
    )


def _came_back(last_words: t.Sequence[str]) -> t.Iterator[str]:
    said = f", and its last words were: {' / '.join(last_words[-3:])}" if last_words else " and left no last words"
    yield f"the last boot on trial was not kept, the host came back by itself{said}"


def _unwatched(verdicts: t.Mapping[str, Verdict], trial: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    built = verdicts.get("initramfs", Verdict()).status == DRIFT
    starting = trial.get("early_watchdog", ANY_IMAGE)
    if starting == NO_IMAGE or (starting == NEW_IMAGE and not built):
        yield "an early hang is not covered: the image that is tried does not start the hardware watchdog"


def _outlasts(verdicts: t.Mapping[str, Verdict]) -> t.Iterator[str]:
    """What a boot entry cannot switch off, and what cannot be held back until the trial is kept."""
    for path in (path for verdict in verdicts.values() for path in verdict.outlasts):
        yield f"the change of {path} counts in the old boot entry too, should the host come back to it"


def _blind(trial_mode: str) -> t.Iterator[str]:
    why = "boot_trial_mode is off" if trial_mode == TRIAL_OFF else "command line and images are written already"
    yield f"this reboot is no trial, because {why}: a boot that fails does not come back by itself"

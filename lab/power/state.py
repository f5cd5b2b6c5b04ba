# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host says about itself after a boot, and whether that is the old or the new configuration. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DEVICE = "0000:01:00.0"
NATIVE = "e1000e"
HELD = "vfio-pci"

OLD = "old"
NEW = "new"
# A boot on trial: it becomes the new configuration, or the machine comes back to the old one by its deadline.
TRIAL = "trial"
# Some of the new arguments and not others, or with another owner of the device.
NEITHER = "neither"

TRIAL_MARK = "virtfleet_passthrough.trial="
GENERATION = "virtfleet_passthrough.generation="

# Everything in one login: under emulation each costs a second. The first line waits until the boot has come to its end.
QUESTION = f"""\
echo "system $(timeout 120 systemctl is-system-running --wait)"
echo "line $(cat /proc/cmdline)"
echo "driver $(basename "$(readlink /sys/bus/pci/devices/{DEVICE}/driver)")"
systemctl list-units --failed --plain --no-legend --no-pager | while read -r unit rest; do echo "failed $unit"; done
echo "root $(findmnt --noheadings --output OPTIONS /)"
dmesg | grep --fixed-strings --regexp 'EXT4-fs error' --regexp '{NATIVE} {DEVICE}:' | sed 's/^/log /'
"""


@dataclass(frozen=True)
class Facts:
    """``system`` is the state that systemd calls the machine, ``log`` are lines of the kernel's."""

    system: str
    line: tuple[str, ...]
    driver: str
    failed: tuple[str, ...]
    root: tuple[str, ...]
    log: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """Which configuration the host is on, and what speaks against it."""

    configuration: str
    faults: tuple[str, ...]


def parse(answer: str) -> Facts:
    """Read what ``QUESTION`` prints."""
    said: dict[str, list[str]] = {}
    for line in answer.splitlines():
        word, _blank, rest = line.partition(" ")
        said.setdefault(word, []).append(rest.strip())

    def one(word: str) -> str:
        return said.get(word, [""])[0]

    return Facts(
        system=one("system"),
        line=tuple(one("line").split()),
        driver=one("driver"),
        failed=tuple(sorted(said.get("failed", []))),
        root=tuple(one("root").split(",")),
        log=tuple(said.get("log", [])),
    )


def judge(facts: Facts, old: Facts, new: Facts) -> Verdict:
    """``old`` is what the host said before the converge, ``new`` what it said after it."""
    configuration = _configuration(facts, old, new)
    faults = [*_device_faults(facts, configuration), *_system_faults(facts, {*old.failed, *new.failed})]
    if configuration == NEITHER:
        faults.insert(0, f"neither the old command line nor the new one: {' '.join(facts.line)}")
    return Verdict(configuration, tuple(faults))


def _configuration(facts: Facts, old: Facts, new: Facts) -> str:
    wanted = {OLD: _bare(old.line), NEW: _bare(new.line)}
    found = _bare(facts.line)
    if any(token.startswith(TRIAL_MARK) for token in facts.line):
        return TRIAL if found == wanted[NEW] else NEITHER
    return next((name for name in (NEW, OLD) if found == wanted[name]), NEITHER)


def _bare(line: Sequence[str]) -> list[str]:
    """Without what belongs to a trial alone, without ``panic=``, which the old entry gets before a trial, and without
    the number of the generation: one that a run began with before the power went is not used again."""
    marks = [place for place, token in enumerate(line) if token.startswith(TRIAL_MARK)]
    rest = [*line[: marks[0]], *line[marks[-1] + 1 :]] if marks else list(line)
    return [GENERATION if token.startswith(GENERATION) else token for token in rest if not token.startswith("panic=")]


def _device_faults(facts: Facts, configuration: str) -> list[str]:
    wanted = {OLD: NATIVE, NEW: HELD, TRIAL: HELD}.get(configuration)
    faults = []
    if wanted is not None and facts.driver != wanted:
        faults.append(f"{DEVICE} is held by {facts.driver or 'no driver'}, expected {wanted}")
    if wanted == HELD:
        probed = [line for line in facts.log if f"{NATIVE} {DEVICE}" in line]
        faults.extend(f"its own driver has seen it: {line}" for line in probed[:1])
    return faults


def _system_faults(facts: Facts, usual: set[str]) -> list[str]:
    faults = []
    if facts.system not in {"running", "degraded"}:
        faults.append(f"systemd calls the machine {facts.system or 'nothing'}")
    if failed := [unit for unit in facts.failed if unit not in usual]:
        faults.append(f"failed units: {', '.join(failed)}")
    if "rw" not in facts.root:
        faults.append(f"the root file system is mounted {','.join(facts.root)}")
    faults.extend(f"the file system is damaged: {line}" for line in facts.log if "EXT4-fs error" in line)
    return faults

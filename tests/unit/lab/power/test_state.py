# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host says after a power cut: old, new, on trial, or none of them."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from lab.power.state import DEVICE, HELD, NATIVE, NEITHER, NEW, OLD, QUESTION, TRIAL, Facts, judge, parse

ANSWER = f"""\
system running
line root=/dev/vda2 ro quiet
driver {NATIVE}
root rw,relatime,errors=remount-ro
log [    9.1] {NATIVE} {DEVICE}: enabling device (0000 -> 0002)
"""
BEFORE = parse(ANSWER)
ADDED = ("intel_iommu=on", "virtfleet_passthrough.generation=1")
RUN = ("virtfleet_passthrough.trial=ab", "panic=15", "softlockup_panic=1", "virtfleet_passthrough.trial=ab")
AFTER = replace(BEFORE, line=(*BEFORE.line, *ADDED, "panic=15"), driver=HELD, log=())
TRYING = replace(AFTER, line=(*AFTER.line, *RUN))


def test_question_is_a_script_that_any_shell_reads() -> None:
    subprocess.run(["sh", "-n", "-c", QUESTION], check=True, timeout=10)


def test_answer() -> None:
    assert parse(ANSWER) == Facts(
        system="running",
        line=("root=/dev/vda2", "ro", "quiet"),
        driver=NATIVE,
        failed=(),
        root=("rw", "relatime", "errors=remount-ro"),
        log=(f"[    9.1] {NATIVE} {DEVICE}: enabling device (0000 -> 0002)",),
    )
    assert parse("driver \nfailed b.service\nfailed a.service\n").failed == ("a.service", "b.service")
    assert parse("").system == ""


@pytest.mark.parametrize(
    ("facts", "configuration"),
    [
        (BEFORE, OLD),
        (replace(BEFORE, line=(*BEFORE.line, "panic=15")), OLD),
        (AFTER, NEW),
        (replace(AFTER, line=tuple(token.replace("generation=1", "generation=2") for token in AFTER.line)), NEW),
        (TRYING, TRIAL),
    ],
)
@pytest.mark.parametrize("new", [AFTER, TRYING], ids=["booted", "committed in its trial"])
def test_configurations(facts: Facts, configuration: str, new: Facts) -> None:
    verdict = judge(facts, BEFORE, new)
    assert (verdict.configuration, verdict.faults) == (configuration, ())


@pytest.mark.parametrize(
    ("facts", "configuration", "fault"),
    [
        (replace(BEFORE, line=(*BEFORE.line, ADDED[0])), NEITHER, "neither the old"),
        (replace(TRYING, line=(*BEFORE.line, *RUN)), NEITHER, "neither the old"),
        (replace(BEFORE, driver=HELD), OLD, f"held by {HELD}, expected {NATIVE}"),
        (replace(AFTER, driver=NATIVE), NEW, f"held by {NATIVE}, expected {HELD}"),
        (replace(TRYING, driver=""), TRIAL, "held by no driver"),
        (replace(AFTER, log=BEFORE.log), NEW, "its own driver has seen it"),
        (replace(BEFORE, system="maintenance"), OLD, "calls the machine maintenance"),
        (replace(BEFORE, system=""), OLD, "calls the machine nothing"),
        (replace(BEFORE, system="degraded", failed=("a.service",)), OLD, "failed units: a.service"),
        (replace(BEFORE, root=("ro",)), OLD, "mounted ro"),
        (replace(BEFORE, log=("EXT4-fs error (device vda2)",)), OLD, "file system is damaged"),
    ],
)
def test_what_speaks_against_a_host(facts: Facts, configuration: str, fault: str) -> None:
    verdict = judge(facts, BEFORE, AFTER)
    assert verdict.configuration == configuration
    assert any(fault in text for text in verdict.faults)


def test_a_unit_that_had_failed_before_counts_no_more() -> None:
    tired = replace(BEFORE, system="degraded", failed=("a.service",))
    assert judge(tired, tired, AFTER).faults == ()

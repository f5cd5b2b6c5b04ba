# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each check of the run of trials must fail when what it stands for is broken."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.trials import evidence, faults
from lab.trials.cases import CASES, Pace

OLD = evidence.Boot(
    line=("root=/dev/vda2", "ro", "quiet"),
    kernel="6.1",
    drivers={"0000:01:00.0": "e1000e", "0000:02:00.0": "e1000e"},
    groups=0,
    watchdogs=("inactive",),
    boot_id="one",
    uptime=30,
)
NEW = dataclasses.replace(OLD, line=(*OLD.line, "panic=5", "intel_iommu=on"), groups=9, boot_id="two")
WANTED = ("intel_iommu=on", "panic=5")
PACE = Pace(reboot=40, before_kernel=15)
TOLD: dict[str, Any] = {"state": "rolled_back", "last_words": ["something"]}


def test_back_on_the_old_entry_also_with_what_an_armed_trial_adds_there() -> None:
    assert evidence.old_boot_faults(OLD, dataclasses.replace(OLD, boot_id="two")) == []
    assert evidence.old_boot_faults(OLD, dataclasses.replace(OLD, line=(*OLD.line, "panic=5"))) == []


@pytest.mark.parametrize(
    "change",
    [
        {"line": (*OLD.line, "intel_iommu=on")},
        {"line": OLD.line[1:]},
        {"kernel": "6.12"},
        {"drivers": {**OLD.drivers, "0000:01:00.0": "vfio-pci"}},
        {"groups": 3},
        {"watchdogs": ("active",)},
    ],
)
def test_anything_else_is_not_the_old_entry(change: dict[str, Any]) -> None:
    assert len(evidence.old_boot_faults(OLD, dataclasses.replace(OLD, **change))) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"line": OLD.line, "groups": 9},
        {"line": (*NEW.line, f"{evidence.TRIAL}abc")},
        {"groups": 0},
        {"watchdogs": ("inactive", "active")},
    ],
)
def test_a_committed_boot_has_what_was_asked_for_and_nothing_of_a_trial(change: dict[str, Any]) -> None:
    assert evidence.new_boot_faults(NEW, WANTED) == []
    assert evidence.new_boot_faults(dataclasses.replace(NEW, **change), WANTED)


def test_a_boot_on_trial_may_carry_its_marker_and_its_watchdog() -> None:
    trying = dataclasses.replace(NEW, line=(*NEW.line, f"{evidence.TRIAL}abc"), watchdogs=("active",))
    assert evidence.trial_faults(trying, WANTED) == []
    assert evidence.trial_faults(OLD, WANTED)


def test_the_limit_is_the_deadline_from_the_start_of_the_kernel_and_one_boot() -> None:
    case = CASES["userspace"]
    limit = 1.5 * 15 + 150 + 1.5 * 40
    assert evidence.told_faults(case, TOLD, limit, PACE, 150) == []
    (late,) = evidence.told_faults(case, TOLD, limit + 1, PACE, 150)
    assert "234 s, at most 232 s" in late


@pytest.mark.parametrize("change", [{"state": "armed"}, {"state": "none"}, {"last_words": []}])
def test_a_trial_that_failed_is_called_so_with_its_last_words(change: dict[str, Any]) -> None:
    assert evidence.told_faults(CASES["network"], {**TOLD, **change}, 100, PACE, 150)


def test_a_panic_leaves_no_words_where_nothing_keeps_them() -> None:
    assert evidence.told_faults(CASES["panic"], {**TOLD, "last_words": []}, 100, PACE, 150) == []


@pytest.mark.parametrize("generator", ["dracut", "initramfs-tools"])
def test_what_is_put_onto_the_host_is_shell_and_units(generator: str, tmp_path: Path) -> None:
    for path, (text, mode) in faults.files(generator).items():
        if mode == 0o755:
            script = tmp_path / "script"
            script.write_text(text)
            subprocess.run(["sh", "-n", str(script)], check=True)
        else:
            assert path.startswith("/etc/systemd/system/")
            assert text.startswith("[Unit]\n")

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each check of the run of trials must fail when what it stands for is broken."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.trials import evidence, faults
from lab.trials.cases import CASES, NIC, TWIN, Case, Pace
from lab.trials.converge import Outcome, last_words_of
from lab.trials.resets import Reset, Story

OLD = evidence.Boot(
    line=("root=/dev/vda2", "ro", "quiet"),
    kernel="6.1",
    drivers={"0000:01:00.0": "e1000e", "0000:02:00.0": "e1000e"},
    groups=0,
    watchdogs=("inactive",),
    boot_id="one",
    uptime=30,
)
NEW = dataclasses.replace(
    OLD,
    line=(*OLD.line, "panic=5", "intel_iommu=on", f"{evidence.GENERATION}1"),
    drivers={**OLD.drivers, NIC: "vfio-pci"},
    groups=9,
    boot_id="two",
    files=(evidence.OPTIONS_FILE,),
    options=("Y", "insmod", "kvm.ko", "ignore_msrs=1"),
)
WANTED = ("intel_iommu=on", "panic=5")
SAID = """\
fatal: [trial]: FAILED! =>
  msg: a failure that was rescued
TASK [boot : Stop where the host came back from its trial]
fatal: [trial]: FAILED! =>
    msg: 'The boot on trial was not kept: the host is
      back on its old boot entry by itself. Its last words: one / the end'
PLAY RECAP
trial : ok=9 changed=3 unreachable=0 failed=1
"""
TOLD: dict[str, Any] = {"state": "rolled_back", "last_words": ["one", "the end"]}


def outcome(**other: Any) -> Outcome:
    resets = (Reset(100.0, watchdog=False), Reset(250.0, watchdog=False))
    return dataclasses.replace(Outcome(2, SAID, resets, 190.0), **other)


def test_back_on_the_old_entry_also_with_what_an_armed_trial_adds_there() -> None:
    assert evidence.old_boot_faults(OLD, dataclasses.replace(OLD, boot_id="two")) == []
    assert evidence.old_boot_faults(OLD, dataclasses.replace(OLD, line=(*OLD.line, "panic=5"))) == []


@pytest.mark.parametrize(
    "change",
    [
        {"line": (*OLD.line, "intel_iommu=on")},
        {"line": OLD.line[1:]},
        {"kernel": "6.12"},
        {"drivers": {**OLD.drivers, NIC: "vfio-pci"}},
        {"groups": 3},
        {"watchdogs": ("active",)},
        {"files": NEW.files},
        {"options": ("insmod", "kvm.ko", "ignore_msrs=1")},
    ],
)
def test_anything_else_is_not_the_old_entry(change: dict[str, Any]) -> None:
    assert len(evidence.old_boot_faults(OLD, dataclasses.replace(OLD, **change))) == 1


def test_a_committed_boot_is_an_old_one_to_the_next_trial() -> None:
    assert evidence.old_boot_faults(NEW, NEW) == []
    assert evidence.old_boot_faults(NEW, OLD)


def test_each_device_that_was_given_away_has_to_be_held() -> None:
    assert evidence.new_boot_faults(NEW, WANTED, (NIC, TWIN)) == [f"{TWIN} is held by e1000e"]


@pytest.mark.parametrize(
    "change",
    [
        {"line": tuple(word for word in NEW.line if word != "panic=5")},
        {"line": NEW.line[:-1]},
        {"line": (*NEW.line, f"{evidence.TRIAL}abc")},
        {"drivers": OLD.drivers},
        {"groups": 0},
        {"watchdogs": ("inactive", "active")},
        {"files": ()},
        {"files": (*NEW.files, "/etc/modules-load.d/virtfleet-x.conf")},
        {"options": NEW.options[1:]},
    ],
)
def test_a_committed_boot_has_what_was_asked_for_and_nothing_of_a_trial(change: dict[str, Any]) -> None:
    assert evidence.new_boot_faults(NEW, WANTED) == []
    assert len(evidence.new_boot_faults(dataclasses.replace(NEW, **change), WANTED)) == 1


def test_the_limit_is_the_deadline_from_the_start_of_the_kernel_and_one_boot() -> None:
    assert Pace(boot=40, before_kernel=10).limit(200) == 1.5 * 10 + 200 + 1.5 * 40


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("network", {}),
        ("panic", {}),
        ("initramfs", {"resets": (Reset(100.0, watchdog=False), Reset(250.0, watchdog=True))}),
    ],
)
def test_a_failure_as_it_must_be(name: str, change: dict[str, Any]) -> None:
    assert evidence.failure_faults(CASES[name], outcome(**change), TOLD, 200) == []


@pytest.mark.parametrize(
    "change",
    [
        {"status": 0},
        {"status": 4},
        {"said": SAID.replace("The boot on trial was not kept", "All is well")},
        {"said": SAID.replace("failed=1", "failed=0 rescued=1")},
        {"said": SAID.replace("the end", "something")},
        {"resets": outcome().resets[:1]},
        {"resets": (*outcome().resets, Reset(300.0, watchdog=False))},
        {"resets": (Reset(100.0, watchdog=False), Reset(250.0, watchdog=True))},
        {"away": 201.0},
    ],
)
def test_every_other_end_of_a_run_is_a_fault(change: dict[str, Any]) -> None:
    assert evidence.failure_faults(CASES["network"], outcome(**change), TOLD, 200)


@pytest.mark.parametrize("change", [{"state": "armed"}, {"state": "none"}, {"last_words": []}])
def test_a_trial_that_failed_is_called_so_with_its_last_words(change: dict[str, Any]) -> None:
    assert evidence.failure_faults(CASES["network"], outcome(), {**TOLD, **change}, 200)


def test_the_trial_of_one_that_was_reached_is_gone() -> None:
    nothing = {"state": "none", "last_words": []}
    assert evidence.failure_faults(CASES["verify"], outcome(), nothing, 200) == []
    assert evidence.failure_faults(CASES["verify"], outcome(), TOLD, 200)


def test_only_the_last_failure_of_a_run_counts() -> None:
    said = last_words_of(SAID)
    assert "rescued" not in said
    assert "the host is back on its old boot entry by itself." in said
    assert last_words_of("all went well") == "all went well"


def test_a_watchdog_stands_before_the_reset_that_it_makes() -> None:
    story = Story()
    story.take('{"return": {}}')
    for at, event in enumerate(["WATCHDOG", "RESET", "RESET"]):
        story.take(json.dumps({"event": event, "timestamp": {"seconds": at, "microseconds": 500000}}))
    assert story.resets == [Reset(1.5, watchdog=True), Reset(2.5, watchdog=False)]


@pytest.mark.parametrize("case", list(CASES.values()), ids=list(CASES))
def test_every_fault_is_one_that_the_host_knows(case: Case) -> None:
    known = "".join(
        text for generator in ("dracut", "initramfs-tools") for text, _mode in faults.files(generator).values()
    )
    assert all(word in known or not word.startswith("lab.") for word in case.arguments)


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

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the plan hears about boots on trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import early_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.reading import read_trial
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs import record
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.proof import Found
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest
from tests.unit.plugins.module_utils._boot.trial_host import MOUNT, TrialHost

NONE = {"state": "none", "stale": [], "last_words": []}


def no_program(argv: Sequence[str], cwd: str | None = None) -> CommandResult:
    raise AssertionError(f"{argv} was started")


def read(host: TrialHost, deadline: int | None) -> dict[str, Any]:
    return read_trial(host.root, no_program, Ledger.read(host.root), deadline)


def test_a_host_that_never_heard_of_trials_is_not_looked_at(host: TrialHost) -> None:
    assert read_trial(Root("/nowhere"), no_program, Ledger(), None) == NONE
    assert read(host, None) == NONE


def test_where_a_trial_is_possible_only_what_it_does_not_cover_is_said(host: TrialHost) -> None:
    found = read(host, 600)
    assert (found["state"], found["obstacle"]) == ("none", None)
    assert found["not_covered"] == [
        "an early hang is not covered: no hardware watchdog was found; known are i6300esb, iTCO_wdt"
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda host: host.environment.unlink(),
            "no boot on trial is possible on this machine: there is no /boot",
        ),
        (
            lambda host: (host.base / "proc/self/mountinfo").write_text(MOUNT.replace("ext4", "btrfs")),
            "lies on btrfs, where GRUB cannot write",
        ),
        (lambda host: host.configuration.write_text(host.generate().replace("custom.cfg", "other.cfg")), "custom.cfg"),
        (
            lambda host: host.environment.write_bytes(
                host.environment.read_bytes().replace(b"saved_entry=0", b"next_entry=abc")
            ),
            "'abc' is already chosen for the next boot, by somebody else",
        ),
    ],
)
def test_why_none_is_possible(host: TrialHost, change: Any, reason: str) -> None:
    change(host)
    obstacle = read(host, 600)["obstacle"]
    assert reason in obstacle


def test_kernels_that_no_entry_boots_are_named(host: TrialHost) -> None:
    """Their images would be built for the trial, and arming it would not know where they belong."""
    for kernel in ("6.12", "6.1", "5.10"):
        (host.base / "lib/modules" / kernel).mkdir(parents=True)
    assert read(host, 600)["base"]["without_entry"] == []
    (host.base / "boot/vmlinuz-5.10").write_bytes(b"kernel")
    assert read(host, 600)["base"]["without_entry"] == ["5.10"]


def test_an_unknown_loader_is_an_obstacle_too(host: TrialHost) -> None:
    host.configuration.unlink()
    assert read(host, 600)["obstacle"]


def test_what_became_of_a_trial_is_told_in_every_run(host: TrialHost) -> None:
    host.arm()
    assert read(host, None)["state"] == "armed"
    host.boot()
    assert read(host, None)["state"] == "trying"
    host.boot()
    assert read(host, None)["state"] == "rolled_back"
    assert "obstacle" not in read(host, None)


def test_the_watchdog_counts_for_images_that_are_known_to_start_it(host: TrialHost) -> None:
    assert read(host, 600)["early_watchdog"] == "any"
    watchdog = host.base / "sys/bus/pci/devices/0000:00:05.0"
    watchdog.mkdir(parents=True)
    (watchdog / "vendor").write_text("0x8086\n")
    (watchdog / "device").write_text("0x25ab\n")
    assert (read(host, 600)["not_covered"], read(host, 600)["early_watchdog"]) == ([], "new")
    path = "/boot/initrd.img-6.12"
    script = early_files.SCRIPT_PATH.lstrip("/")
    for content, image in ((b"an older one", "new"), (early_files.SCRIPT.encode(), "any")):
        with locked(host.root) as ledger:
            found = Found({script: digest(content)}, ())
            record.remember(ledger, path, "6.12", record.image_stamp(host.root, path) or {}, found)
            ledger.save()
        assert read(host, 600)["early_watchdog"] == image
    (host.base / "usr/sbin/mkinitramfs").unlink()
    host.stage(path.lstrip("/"), b"of another generator")
    assert read(host, 600)["early_watchdog"] == "none"

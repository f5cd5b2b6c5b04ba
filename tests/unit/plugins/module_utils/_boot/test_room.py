# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the plan is told about room for the images of a boot on trial."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.images import NAME
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.reading import read_trial
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.room import read_room
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.state import read_host
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs import record, staged
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import SCRATCH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.proof import Found
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from tests.unit.plugins.module_utils._boot.trial_host import KERNELS, MOUNT, NEW_IMAGE, TrialHost

FIRST, SECOND = KERNELS
SMALL, LARGE = 1 << 30, 2 << 30
BOOT = "23 22 8:2 / /boot rw,relatime - ext4 /dev/sda2 rw\n"
# Two volumes of one Btrfs: stat would tell two devices.
VOLUMES = "22 1 0:30 /@ / rw - btrfs /dev/sda2 rw\n24 22 0:30 /@var /var rw - btrfs /dev/sda2 rw\n"


def read(host: TrialHost) -> dict[str, Any]:
    images = [{"kernel": kernel, "path": f"/boot/initrd.img-{kernel}"} for kernel in KERNELS]
    ledger = Ledger.read(host.root)
    base = read_trial(host.root, host.run, ledger, 600)["base"]
    image = f"/boot/initrd.img-{FIRST}"
    assert base == {"kernel": FIRST, "initrd": image, "directory": "/boot", "without_entry": []}
    return read_room(host.root, ledger, base, {"generator": "initramfs-tools", "images": images})


@pytest.fixture(autouse=True)
def _sizes(host: TrialHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(path: str) -> SimpleNamespace:
        # A directory that is not there yet has no size.
        assert Path(path).is_dir()
        return SimpleNamespace(free=SMALL if path.startswith(str(host.base / "boot")) else LARGE)

    monkeypatch.setattr(shutil, "disk_usage", usage)


@pytest.mark.parametrize(
    ("mounts", "boot", "rest"),
    [
        (MOUNT, ("8:1", "/", LARGE), ("8:1", "/", LARGE)),
        (MOUNT + BOOT, ("8:2", "/boot", SMALL), ("8:1", "/", LARGE)),
        (VOLUMES + BOOT.replace("8:2", "8:3"), ("8:3", "/boot", SMALL), ("0:30", "/var", LARGE)),
        # Unknown ones are not taken for one.
        ("", ("/boot", "/boot", SMALL), None),
    ],
)
def test_directories_of_one_file_system_are_told(
    host: TrialHost, mounts: str, boot: tuple[str, str, int], rest: tuple[str, str, int] | None
) -> None:
    mountinfo = host.base / "proc/self/mountinfo"
    (host.base / "var/lib").mkdir(exist_ok=True)
    base = read_trial(host.root, host.run, Ledger.read(host.root), 600)
    assert base["obstacle"] is None
    mountinfo.write_text(mounts)
    images = [{"kernel": FIRST, "path": f"/boot/initrd.img-{FIRST}"}]
    facts = {"generator": "initramfs-tools", "images": images}
    found = read_room(host.root, Ledger.read(host.root), base["base"], facts)
    assert set(found["directories"]) == {"/boot", SCRATCH, staged.DIRECTORY}

    def told(directory: str) -> tuple[str, str, int]:
        name = found["directories"][directory]
        return (name, found["file_systems"][name]["point"], found["file_systems"][name]["free"])

    assert told("/boot") == boot
    for directory in (SCRATCH, staged.DIRECTORY):
        assert told(directory) == (rest or (directory, directory, LARGE))


def test_what_an_earlier_run_has_staged_is_known_while_it_counts(host: TrialHost) -> None:
    path = staged.staged_path(FIRST)
    place = host.base / path.lstrip("/")
    place.parent.mkdir(parents=True)
    place.write_bytes(NEW_IMAGE)
    assert read(host)["staged"] == {}
    with locked(host.root) as ledger:
        record.remember(ledger, path, FIRST, record.image_stamp(host.root, path) or {}, Found({"a": "1"}, ()))
        ledger.save()
    kept = {"content": {"files": {"a": "1"}, "modules": []}, "size": len(NEW_IMAGE)}
    assert read(host)["staged"] == {FIRST: kept}
    # Somebody has made a newer one.
    present = host.base / f"boot/initrd.img-{FIRST}"
    present.touch()
    assert read(host)["staged"] == {}


def test_the_copy_of_a_trial_that_failed_is_known(host: TrialHost) -> None:
    assert read(host)["copy"] == 0
    host.arm(host.request(images={FIRST: host.stage("var/tmp/new.img")}))
    assert read(host)["copy"] == len(NEW_IMAGE)
    host.boot(lost=True)
    assert read(host)["copy"] == len(NEW_IMAGE)
    host.roll_back()
    # One of this name that no trial has made stays.
    host.stage(f"boot/{NAME}")
    assert read(host)["copy"] == 0
    host.arm()
    assert read(host)["copy"] == 0


def test_the_images_get_the_watchdog_besides(host: TrialHost) -> None:
    assert read(host)["early_files"] == {}
    watchdog = host.base / "sys/bus/pci/devices/0000:00:05.0"
    watchdog.mkdir(parents=True)
    (watchdog / "vendor").write_text("0x8086\n")
    (watchdog / "device").write_text("0x25ab\n")
    assert "/etc/virtfleet-passthrough/trial-watchdog" in read(host)["early_files"]


def test_nothing_is_read_unless_a_trial_may_be_made_on_a_live_host(
    host: TrialHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kernel in KERNELS:
        (host.base / "lib/modules" / kernel).mkdir(parents=True)
    wanted: dict[str, Any] = {"initramfs": {}}

    def trial(deadline: int | None, live: bool) -> dict[str, Any]:
        monkeypatch.setattr(Root, "is_live", property(lambda _root: live))
        found: dict[str, Any] = read_host(host.root, host.run, wanted, trial_deadline=deadline)["trial"]
        return found

    assert "room" not in trial(600, live=False)
    assert "room" not in trial(None, live=True)
    assert trial(600, live=True)["room"]["file_systems"]["8:1"]["free"] > 0
    wanted = {"iommu": {}}
    assert "room" not in trial(600, live=True)

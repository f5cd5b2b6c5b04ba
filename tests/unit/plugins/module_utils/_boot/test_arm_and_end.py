# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The life of a trial with GRUB, from arming to either end, and every write of it cut off."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import deadline
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.images import NAME
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    InputError,
    RefusedError,
    ToolError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._held_back import read_held
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import LEDGER_PATH, Ledger
from tests.unit.plugins.module_utils._boot.trial_host import KERNELS, NEW_IMAGE, OLD_IMAGE, TrialHost, environment
from tests.unit.plugins.module_utils._cmdline.grub_host import NORMAL

FIRST, SECOND = KERNELS
OPTIONS = _owned.OwnedFile("/etc/modprobe.d/virtfleet-vfio-options.conf", b"options kvm ignore_msrs=1\n")


# What differs from boot to boot.
RUNNING = ("proc/cmdline", "proc/sys/kernel/random/boot_id")


def _without_running(host: TrialHost) -> dict[str, bytes]:
    """All files but those; a power cut leaves the unfinished ones of atomic writes, hidden, which nobody reads."""
    files = host.snapshot().items()
    return {path: text for path, text in files if path not in RUNNING and not Path(path).name.startswith(".")}


def _default_line(host: TrialHost) -> str:
    return host.lines()[0]


def test_the_trial_boots_once_with_the_new_line_and_then_the_old_entry_again(host: TrialHost) -> None:
    host.arm()
    assert host.state == "armed"
    assert _default_line(host) == f"{NORMAL} panic=15"
    tried = host.boot()
    assert " ".join(tried.args).startswith(f"{NORMAL} panic=15 intel_iommu=on virtfleet_passthrough.trial=")
    assert {"softlockup_panic=1", "hung_task_panic=1"} <= set(tried.args)
    assert host.state == "trying"
    back = host.boot()
    assert " ".join(back.args) == f"{NORMAL} panic=15"
    assert host.state == "rolled_back"


def test_a_lost_trial_goes_without_a_trace(host: TrialHost) -> None:
    before = host.snapshot()
    host.arm(host.request(images={FIRST: host.stage("var/tmp/new.img")}))
    host.boot(lost=True)
    assert host.state == "rolled_back"
    assert host.image() == OLD_IMAGE
    assert host.roll_back()
    assert not host.roll_back()
    (host.base / "var/tmp/new.img").unlink()
    assert _without_running(host) == {path: content for path, content in before.items() if path not in RUNNING}


def test_a_commit_makes_line_and_image_the_default_and_needs_no_reboot(host: TrialHost) -> None:
    host.arm(host.request(images={FIRST: host.stage()}))
    assert host.image() == OLD_IMAGE
    assert host.boot().initrd == "/boot/staged.img"
    done = host.commit()
    assert done.arguments is not None
    assert host.lines() == [f"{NORMAL} panic=15 intel_iommu=on"] * 2
    assert host.image() == NEW_IMAGE
    assert (host.state, host.status().reboot_required) == ("committed", False)
    assert not host.custom.exists()
    assert not (host.base / "boot/staged.img").exists()
    assert not (host.base / deadline.TIMER_PATH.lstrip("/")).exists()
    assert host.commit().arguments is None
    again = host.boot()
    assert (again.initrd, host.state) == (f"/boot/initrd.img-{FIRST}", "none")


def test_an_image_from_elsewhere_is_copied_and_the_copy_is_promoted(host: TrialHost) -> None:
    request = host.request(images={FIRST: host.stage("var/tmp/new.img"), SECOND: host.stage("var/tmp/other.img", b"x")})
    host.arm(request)
    assert host.boot().initrd == f"/boot/{NAME}"
    host.commit()
    assert (host.image(FIRST), host.image(SECOND)) == (NEW_IMAGE, b"x")
    assert not list((host.base / "boot").glob("*virtfleet*"))


def test_arming_twice_is_arming_once_and_check_mode_tells_it_exactly(host: TrialHost) -> None:
    before = host.snapshot()
    predicted = host.arm(check_mode=True)
    assert host.snapshot() == before
    done = host.arm()
    assert (predicted.changed, predicted.diff, predicted.record.line) == (True, done.diff, done.record.line)
    armed = host.snapshot()
    assert not host.arm().changed
    assert not host.arm(check_mode=True).changed
    assert host.snapshot() == armed


def test_another_trial_replaces_the_armed_one(host: TrialHost) -> None:
    host.arm()
    host.arm(host.request(owners={"iommu": ["intel_iommu=off"]}, panic=20))
    assert _default_line(host) == f"{NORMAL} panic=20"
    tried = host.boot()
    assert "intel_iommu=off" in tried.args
    assert "intel_iommu=on" not in tried.args


def test_check_mode_of_both_ends_writes_nothing(host: TrialHost) -> None:
    host.arm()
    armed = host.snapshot()
    assert host.roll_back(check_mode=True)
    assert host.snapshot() == armed
    host.boot()
    trying = host.snapshot()
    predicted = host.commit(check_mode=True)
    assert host.snapshot() == trying
    done = host.commit()
    assert predicted.arguments is not None
    assert done.arguments is not None
    assert predicted.arguments.diff == done.arguments.diff


@pytest.mark.parametrize(
    ("path", "content"),
    [(f"boot/vmlinuz-{FIRST}", b"updated"), (f"boot/initrd.img-{FIRST}", b"updated"), ("boot/grub/custom.cfg", b"#\n")],
)
def test_an_update_while_armed_is_noticed_and_not_committed(host: TrialHost, path: str, content: bytes) -> None:
    host.arm()
    host.boot()
    (host.base / path).write_bytes(content)
    assert [reason for reason in host.status().stale if path in reason]
    with pytest.raises(RefusedError, match=path):
        host.commit()
    assert _default_line(host) == f"{NORMAL} panic=15"


@pytest.mark.parametrize("gone", [False, True])
def test_an_image_of_another_kernel_that_was_made_anew_or_removed_meanwhile_stays_so(
    host: TrialHost, gone: bool
) -> None:
    """With the kernel's update its modules changed: what was staged before holds the old ones."""
    images = {FIRST: host.stage("var/tmp/new.img"), SECOND: host.stage("var/tmp/other.img", b"staged before")}
    host.arm(host.request(images=images))
    host.boot()
    target = host.base / f"boot/initrd.img-{SECOND}"
    if gone:
        target.unlink()
    else:
        target.write_bytes(b"of the update")
    done = host.commit()
    assert host.image(FIRST) == NEW_IMAGE
    assert not target.exists() if gone else target.read_bytes() == b"of the update"
    assert [warning for warning in done.warnings if str(target).endswith(warning.split()[0])]
    recorded = Ledger.read(host.root).section("images")
    assert recorded.get(f"/boot/initrd.img-{SECOND}", {"stamp": {}})["stamp"] == {}


def test_a_trial_that_an_earlier_version_has_armed_is_kept(host: TrialHost) -> None:
    host.arm(host.request(images={FIRST: host.stage("var/tmp/new.img"), SECOND: host.stage("var/tmp/other.img", b"x")}))
    host.boot()
    path = host.base / LEDGER_PATH.lstrip("/")
    data = json.loads(path.read_text())
    (trial,) = data["trial"].values()
    for image in trial["images"].values():
        del image["replaces"]
    path.write_text(json.dumps(data))
    host.commit()
    assert (host.image(FIRST), host.image(SECOND)) == (NEW_IMAGE, b"x")


def test_an_update_while_armed_makes_arming_start_over(host: TrialHost) -> None:
    host.arm()
    (host.base / f"boot/vmlinuz-{FIRST}").write_bytes(b"updated")
    assert host.status().stale
    assert host.arm().changed
    assert not host.status().stale


@pytest.mark.parametrize("state", ["none", "armed", "rolled_back"])
def test_nothing_but_a_running_trial_is_committed(host: TrialHost, state: str) -> None:
    if state != "none":
        host.arm()
    if state == "rolled_back":
        host.boot(lost=True)
    before = host.snapshot()
    assert host.state == state
    with pytest.raises(RefusedError, match="nothing to commit"):
        host.commit()
    assert host.snapshot() == before


def test_a_trial_is_not_armed_within_another(host: TrialHost) -> None:
    host.arm()
    host.boot()
    with pytest.raises(RefusedError, match="on trial"):
        host.arm()


def test_rolled_back_within_its_own_boot_it_is_no_commit(host: TrialHost) -> None:
    host.arm()
    host.boot()
    host.roll_back()
    assert (host.state, host.status().reboot_required) == ("none", True)


def test_an_own_panic_stays_as_it_is(host: TrialHost) -> None:
    host.set("user", "panic=60")
    host.arm()
    assert _default_line(host) == f"{NORMAL} panic=60"
    assert [token for token in host.boot().args if token.startswith("panic=")] == ["panic=60", "panic=15"]
    host.commit()
    assert _default_line(host) == f"{NORMAL} intel_iommu=on panic=60"


def _no_source(host: TrialHost) -> None:
    host.configuration.write_text(host.generate().replace("custom.cfg", "other.cfg"))


def _no_clearing(host: TrialHost) -> None:
    host.configuration.write_text(host.generate().replace("save_env next_entry", ""))


def _mount(line: str) -> Callable[[TrialHost], None]:
    def mount(host: TrialHost) -> None:
        (host.base / "proc/self/mountinfo").write_text(line)

    return mount


def _mapped(host: TrialHost) -> None:
    (host.base / "sys/dev/block/8:1/dm").mkdir(parents=True)


def _raid_below_partition(host: TrialHost) -> None:
    disk = host.base / "sys/devices/virtual/block/md0"
    (disk / "md").mkdir(parents=True)
    (disk / "md0p1").mkdir()
    (host.base / "sys/dev/block").mkdir(parents=True)
    (host.base / "sys/dev/block/8:1").symlink_to(disk / "md0p1")


def _counting(host: TrialHost) -> None:
    host.environment.write_bytes(environment({"boot_counter": "2"}))


def _waiting(host: TrialHost) -> None:
    host.configuration.write_text(host.configuration.read_text().replace("menuentry", "set timeout=-1\nmenuentry", 1))


def _chosen(host: TrialHost) -> None:
    host.environment.write_bytes(environment({"next_entry": "windows"}))


OBSTACLES: list[tuple[Callable[[TrialHost], Any], str]] = [
    (_no_source, "custom.cfg"),
    (_no_clearing, "next_entry"),
    (_mount("22 1 0:30 / / rw - btrfs /dev/sda1 rw\n"), "btrfs"),
    (_mount("22 1 8:1 / / rw - ext4 /dev/sda1 ro\n"), "read-only"),
    (_mount(""), "unknown"),
    (_mapped, "device-mapper"),
    (_raid_below_partition, "MD RAID"),
    (_counting, "greenboot"),
    (_waiting, "for ever"),
    (_chosen, "windows"),
    (lambda host: host.environment.unlink(), "grubenv"),
    (lambda host: (host.base / "usr/bin/grub-editenv").unlink(), "grub-editenv"),
    (lambda host: host.custom.write_text("# mine\n"), "was not written by"),
    (lambda host: (host.base / f"boot/initrd.img-{FIRST}").unlink(), "not there"),
]


@pytest.mark.parametrize(("spoil", "words"), OBSTACLES)
def test_where_a_trial_would_not_come_back_it_is_refused_before_the_first_write(
    host: TrialHost, spoil: Callable[[TrialHost], Any], words: str
) -> None:
    spoil(host)
    before = host.snapshot()
    with pytest.raises((RefusedError, HostStateError), match=words):
        host.arm()
    assert host.snapshot() == before


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"deadline": 10}, "deadline"),
        ({"panic": 0}, "panic"),
        ({"images": {"5.10": "/boot/staged.img"}}, "5.10"),
        ({"images": {FIRST: "staged.img"}}, "absolute"),
    ],
)
def test_what_cannot_be_meant_is_said(host: TrialHost, wanted: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        host.arm(host.request(**wanted))


@pytest.mark.parametrize("content", [None, b""])
def test_no_image_and_an_empty_one_are_not_tried(host: TrialHost, content: bytes | None) -> None:
    path = "/boot/staged.img" if content is None else host.stage(content=content)
    with pytest.raises(HostStateError, match=path):
        host.arm(host.request(images={FIRST: path}))


def test_no_room_for_a_second_image_is_found_before(host: TrialHost, monkeypatch: pytest.MonkeyPatch) -> None:
    path = host.stage("var/tmp/new.img")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10 << 20, 7 << 20, 3 << 20))
    before = host.snapshot()
    with pytest.raises(RefusedError, match=r"has 3 MiB free.*needs 5 MiB"):
        host.arm(host.request(images={FIRST: path}))
    assert host.snapshot() == before


def test_the_copy_of_a_failed_trial_makes_room_for_the_next(host: TrialHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.arm(host.request(images={FIRST: host.stage("var/tmp/new.img", bytes(2 << 20))}))
    host.boot(lost=True)
    copy = host.base / "boot" / NAME
    request = host.request(images={FIRST: host.stage("var/tmp/new.img", b"x" * (2 << 20))})
    free = 5 << 20
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10 << 20, 5 << 20, free))
    host.arm(request)
    assert copy.read_bytes() == b"x" * (2 << 20)
    free = 3 << 20
    with pytest.raises(RefusedError, match=r"has 5 MiB free.*needs 6 MiB"):
        host.arm(host.request(images={FIRST: host.stage("var/tmp/new.img", b"y" * (2 << 20))}))


@pytest.mark.parametrize("tool", ["grub-editenv", "grub-mkconfig"])
def test_a_tool_that_fails_leaves_nothing(host: TrialHost, tool: str) -> None:
    before = host.snapshot()
    host.fail = tool
    with pytest.raises(ToolError):
        host.arm()
    assert host.snapshot() == before


WRITES = ("rename", "unlink", "pwrite")


class _PowerCut:
    """Ends the process, without any clean-up, at the ``number``-th change of the file system."""

    def __init__(self, number: int) -> None:
        self.left = number

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def change(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                os._exit(9)
            return function(*args, **kwargs)

        return change


def _cut(number: int, work: Callable[[], object]) -> bool:
    """Do ``work`` in a process of its own that dies at a write; whether it came to its end before."""
    child = os.fork()
    if child == 0:
        cut = _PowerCut(number)
        for name in WRITES:
            setattr(os, name, cut.wrap(getattr(os, name)))
        with contextlib.suppress(Exception):
            work()
            os._exit(0)
        os._exit(1)
    _pid, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9)
    return code == 0


def _fresh(where: Path, number: int) -> TrialHost:
    return TrialHost(where / str(number))


def test_a_power_cut_at_any_write_of_an_arming_leaves_a_host_that_boots_and_is_understood(tmp_path: Path) -> None:
    number, finished = 0, False
    while not finished:
        host = _fresh(tmp_path, number)
        before = host.snapshot()
        request = host.request(images={FIRST: host.stage("var/tmp/new.img")})
        finished = _cut(number, functools.partial(host.arm, request))
        entry = host.boot()
        on_trial = any(token.startswith("virtfleet_passthrough.trial=") for token in entry.args)
        assert (host.state == "trying") == on_trial
        assert host.image() == OLD_IMAGE
        entry = host.boot()
        assert set(entry.args) - {"panic=15"} == set(NORMAL.split())
        assert host.arm(request).changed
        assert host.state == "armed"
        host.roll_back()
        (host.base / "var/tmp/new.img").unlink()
        assert _without_running(host) == {path: text for path, text in before.items() if path not in RUNNING}, number
        number += 1
    assert number > 10


@pytest.mark.parametrize("reboots", [False, True])
def test_a_power_cut_at_any_write_of_a_commit_leaves_the_old_or_the_new(tmp_path: Path, reboots: bool) -> None:
    number, finished = 0, False
    while not finished:
        host = _fresh(tmp_path, number)
        request = host.request(images={FIRST: host.stage("var/tmp/new.img")})
        host.hold_back(OPTIONS)
        host.arm(request)
        host.boot()
        finished = _cut(number, host.commit)
        if reboots:
            entry = host.boot()
            assert "virtfleet_passthrough.trial" not in " ".join(entry.args)
            # Nothing new becomes the default without the files that were tried with it.
            in_place = host.root.read_bytes(OPTIONS.path) == OPTIONS.content
            assert in_place or (host.image() == OLD_IMAGE and "intel_iommu=on" not in entry.args), number
            host.hold_back(OPTIONS)
            if host.state != "none":
                host.arm(request)
                host.boot()
                host.commit()
        else:
            # A run that broke off without a power cut is finished by the next.
            host.commit()
        assert host.lines() == [f"{NORMAL} panic=15 intel_iommu=on"] * 2
        assert host.image() == NEW_IMAGE
        assert not list((host.base / "boot").glob("*virtfleet*"))
        ledger = Ledger.read(host.root)
        assert not ledger.section("trial")
        assert not read_held(ledger)
        assert host.root.read_bytes(OPTIONS.path) == OPTIONS.content
        assert _owned.owned_paths(ledger, "vfio_options") == [OPTIONS.path]
        number += 1
    assert number > 10


@pytest.mark.parametrize("reboots", [False, True])
def test_a_power_cut_at_any_write_of_a_commit_leaves_no_copy_for_good(tmp_path: Path, reboots: bool) -> None:
    """Also where the present image was tried, so that arming has copied nothing."""
    number, finished = 0, False
    while not finished:
        host = _fresh(tmp_path, number)
        host.arm(host.request(images={SECOND: host.stage("var/tmp/other.img", b"x")}))
        host.boot()
        finished = _cut(number, host.commit)
        if reboots:
            host.boot()
            host.roll_back()
        else:
            host.commit()
        assert not list((host.base / "boot").glob(".*virtfleet*")), number
        assert not list((host.base / "boot").glob("*virtfleet*")), number
        number += 1
    assert number > 10


def test_a_commit_that_was_cut_off_at_its_very_end_keeps_what_it_has_written(tmp_path: Path) -> None:
    """The next run finds everything as wanted, and only clears the trial away."""
    number, finished, ends = 0, False, []
    while not finished:
        host = _fresh(tmp_path, number)
        host.arm()
        host.boot()
        finished = _cut(number, host.commit)
        host.boot()
        committed = "intel_iommu=on" in _default_line(host)
        if committed and host.state == "interrupted":
            host.roll_back()
            ends.append(_default_line(host))
        number += 1
    assert ends
    assert set(ends) == {f"{NORMAL} panic=15 intel_iommu=on"}

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._this_boot import (
    TAKEN_BACK_PATH,
    changed_since_boot,
    image_changed_since_boot,
    note_taken_back,
    taken_back,
)
from tests.unit.plugins.host_tree import HostTree

RELEASE = "6.12.0-test"
BEGAN = 4_000_000_000


@pytest.fixture
def tree(tmp_path: Path) -> HostTree:
    """A host whose boot began far in the future: everything that a test writes is older, until its times are set."""
    tree = HostTree(tmp_path)
    tree.write("/proc/stat", f"cpu  1 2 3\nbtime {BEGAN}\nprocesses 7\n")
    tree.write("/proc/sys/kernel/osrelease", f"{RELEASE}\n")
    tree.write("/proc/sys/kernel/random/boot_id", "first\n")
    return tree


def set_modified(tree: HostTree, path: str, seconds: int) -> None:
    os.utime(tree.base / path.lstrip("/"), (seconds, seconds))


def test_what_is_newer_than_the_boot(tree: HostTree) -> None:
    for path, seconds in (("/etc/old", BEGAN - 1), ("/etc/new", BEGAN), ("/etc/newer", BEGAN + 60)):
        tree.write(path, "")
        set_modified(tree, path, seconds)
    paths = ["/etc/newer", "/etc/old", "/etc/missing", "/etc/new"]
    assert changed_since_boot(tree.root, paths) == ["/etc/new", "/etc/newer"]
    tree.write("/proc/stat", "cpu  1 2 3\n")
    assert changed_since_boot(tree.root, paths) == []


def test_a_time_that_a_tool_kept_does_not_hide_a_replaced_file(tree: HostTree) -> None:
    tree.write("/etc/kept", "")
    set_modified(tree, "/etc/kept", 1)
    tree.write("/proc/stat", "btime 1000\n")
    assert changed_since_boot(tree.root, ["/etc/kept"]) == ["/etc/kept"]


@pytest.mark.parametrize(("kernel", "seconds", "newer"), [(RELEASE, 1, True), (RELEASE, -1, False), ("6.1", 1, False)])
def test_only_the_image_of_the_running_kernel_counts(tree: HostTree, kernel: str, seconds: int, newer: bool) -> None:
    path = f"/boot/initrd.img-{kernel}"
    tree.write(path, "")
    set_modified(tree, path, BEGAN + seconds)
    ledger = Ledger.from_json({"schema": 1, "images": {path: {"kernel": kernel}}})
    assert image_changed_since_boot(tree.root, ledger) is newer


def test_notes_of_two_owners(tree: HostTree) -> None:
    assert taken_back(tree.root, "vfio") == {}
    note_taken_back(tree.root, "vfio", {"0000:01:00.0": {"native_driver": "e1000e"}})
    note_taken_back(tree.root, "vfio_options", {"kvm.ignore_msrs": "1"})
    assert taken_back(tree.root, "vfio") == {"0000:01:00.0": {"native_driver": "e1000e"}}
    note_taken_back(tree.root, "vfio", {})
    assert taken_back(tree.root, "vfio") == {}
    assert taken_back(tree.root, "vfio_options") == {"kvm.ignore_msrs": "1"}
    note_taken_back(tree.root, "vfio_options", {})
    assert not tree.root.exists(TAKEN_BACK_PATH)


def test_another_boot_knows_nothing_of_it(tree: HostTree) -> None:
    note_taken_back(tree.root, "vfio", {"0000:01:00.0": {}})
    tree.write("/proc/sys/kernel/random/boot_id", "second\n")
    assert taken_back(tree.root, "vfio") == {}
    note_taken_back(tree.root, "vfio_options", {"kvm.ignore_msrs": "1"})
    assert (taken_back(tree.root, "vfio"), taken_back(tree.root, "vfio_options")) == ({}, {"kvm.ignore_msrs": "1"})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"boot_id": "first"}', '{"boot_id": "first", "owners": {"vfio": 1}}'])
def test_a_file_that_is_something_else_is_no_note(tree: HostTree, text: str) -> None:
    tree.write(TAKEN_BACK_PATH, text)
    assert taken_back(tree.root, "vfio") == {}

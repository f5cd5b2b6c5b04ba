# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.storage import storage_dependencies
from tests.unit.plugins.host_tree import HostTree


def mountinfo(*mounts: tuple[str, str, str]) -> str:
    lines = [
        f"{20 + number} 1 {device} / {point} rw - ext4 {source} rw"
        for number, (device, point, source) in enumerate(mounts)
    ]
    return "\n".join(lines) + "\n"


def found(tree: HostTree) -> set[tuple[str, str, str | None]]:
    return {(item.address, item.kind, item.allow) for item in storage_dependencies(tree.root)}


def test_the_root_disk_can_never_be_released_and_another_mount_by_its_key(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.disk("vda2", "254:2", tree.function("0000:00:03.0", "1af4:1042", "010000"))
    tree.disk("nvme0n1", "259:0", tree.function("0000:02:00.0", "1b36:0010", "010802"))
    tree.write(
        "/proc/self/mountinfo", mountinfo(("254:2", "/", "/dev/vda2"), ("259:0", "/srv/my\\040data", "/dev/nvme0n1"))
    )
    assert found(tree) == {
        ("0000:00:03.0", "root_disk", None),
        ("0000:02:00.0", "storage", "storage_in_use"),
    }
    assert any("/srv/my data" in item.detail for item in storage_dependencies(tree.root))


def test_a_root_on_a_volume_stands_on_every_disk_below_it(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    volume = tree.disk("dm-0", "253:0", None)
    for number, address in enumerate(("0000:02:00.0", "0000:03:00.0")):
        disk = tree.disk(f"sd{'ab'[number]}", f"8:{16 * number}", tree.function(address, "8086:2922", "010601"))
        (volume / "slaves" / disk.name).symlink_to(os.path.relpath(disk, volume / "slaves"))
    tree.write("/proc/self/mountinfo", mountinfo(("253:0", "/", "/dev/mapper/root")))
    assert found(tree) == {("0000:02:00.0", "root_disk", None), ("0000:03:00.0", "root_disk", None)}


def test_a_disk_that_something_is_built_on_is_in_use_without_a_mount(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    disk = tree.disk("nvme0n1", "259:0", tree.function("0000:02:00.0", "1b36:0010", "010802"))
    (disk / "holders/md0").mkdir()
    assert found(tree) == {("0000:02:00.0", "storage", "storage_in_use")}


def test_swap_counts(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.disk("nvme0n1", "259:0", tree.function("0000:02:00.0", "1b36:0010", "010802"))
    tree.write(
        "/proc/swaps", "Filename Type Size Used Priority\n/dev/nvme0n1 partition 100 0 -2\n/swapfile file 1 0 -3\n"
    )
    assert found(tree) == {("0000:02:00.0", "storage", "storage_in_use")}


def test_a_btrfs_root_stands_on_all_its_members(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    disks = [
        tree.disk(
            f"vd{'ab'[number]}", f"254:{16 * number}", tree.function(f"0000:00:0{number + 3}.0", "1af4:1042", "010000")
        )
        for number in range(2)
    ]
    for disk in disks:
        tree.link(f"/sys/fs/btrfs/0b1c/devices/{disk.name}", disk)
    tree.write("/proc/self/mountinfo", mountinfo(("0:31", "/", "/dev/vda")))
    assert {address for address, _kind, _allow in found(tree)} == {"0000:00:03.0", "0000:00:04.0"}


def test_a_free_disk_is_free(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.disk("nvme0n1", "259:0", tree.function("0000:02:00.0", "1b36:0010", "010802"))
    assert found(tree) == set()

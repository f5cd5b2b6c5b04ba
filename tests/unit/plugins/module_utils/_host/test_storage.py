# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.storage import storage_use
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency
from tests.unit.plugins.efi_variables import hard_drive, load_option, set_boot_current
from tests.unit.plugins.host_tree import HostTree

ROOT_IN_MEMORY = ("0:2", "/", "rootfs", "tmpfs")


def mountinfo(*mounts: tuple[str, ...]) -> str:
    """Device, point, source and, where it is not ext4, the type of each mount; the root is in memory if not named."""
    if all(mount[1] != "/" for mount in mounts):
        mounts = (ROOT_IN_MEMORY, *mounts)
    lines = [
        f"{20 + number} 1 {device} / {point} rw - {kind} {source} rw"
        for number, (device, point, source, kind) in enumerate((*mount, "ext4")[:4] for mount in mounts)
    ]
    return "\n".join(lines) + "\n"


def found(tree: HostTree) -> set[tuple[str, str, str | None]]:
    return {(item.address, item.kind, item.allow) for item in dependencies(tree)}


def dependencies(tree: HostTree) -> list[Dependency]:
    if not tree.root.exists("/proc/self/mountinfo"):
        tree.write("/proc/self/mountinfo", mountinfo())
    return list(storage_use(tree.root, read_devices(tree.root, Ledger())).dependencies)


def test_the_root_disk_can_never_be_released_and_another_mount_by_its_key(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.disk("vda2", "254:2", tree.function("0000:00:03.0", "1af4:1042", "010000"))
    tree.disk("nvme0n1", "259:0", tree.function("0000:02:00.0", "1b36:0010", "010802"))
    tree.write(
        "/proc/self/mountinfo", mountinfo(("254:2", "/", "/dev/vda2"), ("259:0", "/srv/my\\040data", "/dev/nvme0n1"))
    )
    assert found(tree) == {
        ("0000:00:03.0", "root_disk", None),
        ("0000:02:00.0", "storage", "storage"),
    }
    assert any("/srv/my data" in item.detail for item in dependencies(tree))


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
    assert found(tree) == {("0000:02:00.0", "storage", "storage")}


def test_a_disk_with_many_volumes_names_the_first(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    disk = tree.disk("nvme0n1", "259:0", tree.function("0000:02:00.0", "1b36:0010", "010802"))
    for number in range(6):
        (disk / f"holders/dm-{number}").mkdir()
    assert [item.detail for item in dependencies(tree)] == [
        "holds nvme0n1, on which dm-0, dm-1, dm-2, dm-3 and 2 more is built"
    ]


def test_a_disk_with_many_mounts_names_them_in_one_sentence(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    disk = tree.disk("sda", "8:0", tree.function("0000:00:17.0", "8086:2922", "010601"))
    tree.partition(disk, "sda1", "8:1")
    tree.partition(disk, "sda2", "8:2")
    volumes = [("8:2", f"/var/lib/kubelet/pods/{number}/volume", "/dev/sda2") for number in range(300)]
    mounts = [("8:1", "/", "/dev/sda1"), ("8:1", "/boot", "/dev/sda1"), ("8:2", "/var", "/dev/sda2"), *volumes]
    tree.write("/proc/self/mountinfo", mountinfo(*mounts))
    assert [(item.kind, item.detail) for item in dependencies(tree)] == [
        ("root_disk", "holds /, /boot"),
        (
            "storage",
            (
                "holds /var, /var/lib/kubelet/pods/0/volume, /var/lib/kubelet/pods/1/volume, "
                "/var/lib/kubelet/pods/2/volume and 297 more"
            ),
        ),
    ]


@pytest.mark.parametrize("blank", ["\u00a0", "\u2028", "\x85", "\x0c", "\x1c"])
def test_a_blank_that_the_kernel_does_not_escape_hides_no_mount(tmp_path: Path, blank: str) -> None:
    tree = HostTree(tmp_path)
    tree.disk("vda", "254:0", tree.function("0000:00:03.0", "1af4:1042", "010000"))
    tree.disk("vdb", "254:16", tree.function("0000:00:04.0", "1af4:1042", "010000"))
    line = f"21 1 254:0 /sub{blank}volume / rw - ext4 /dev/vda rw\n"
    tree.write("/proc/self/mountinfo", line + mountinfo(("254:16", f"/srv/my{blank}data", "/dev/vdb")))
    assert {(item.address, item.detail) for item in dependencies(tree)} == {
        ("0000:00:03.0", "holds /"),
        ("0000:00:04.0", f"holds /srv/my{blank}data"),
    }


COMPOSEFS = "lowerdir+=/run/ostree/.private/cfsroot-lower,datadir+=/sysroot/ostree/repo/objects,metacopy=on"


@pytest.mark.parametrize(
    "layers",
    [
        COMPOSEFS,
        COMPOSEFS.replace("/run/ostree/.private/cfsroot-lower", "/"),
        "lowerdir=/run/ostree/.private/cfsroot-lower::/sysroot/ostree/repo/objects,redirect_dir=on",
        "lowerdir=/sysroot,upperdir=/run/overlay/rw,workdir=/run/overlay/work",
    ],
)
def test_an_overlay_at_the_root_stands_on_the_disk_of_its_layers(tmp_path: Path, layers: str) -> None:
    tree = HostTree(tmp_path)
    tree.disk("vda3", "254:3", tree.function("0000:00:03.0", "1af4:1042", "010000"))
    tree.disk("vdb", "254:16", tree.function("0000:00:04.0", "1af4:1042", "010000"))
    lines = [
        f"20 1 0:30 / / ro - overlay composefs ro,{layers}",
        "21 20 254:3 / /sysroot ro - xfs /dev/vda3 rw",
        "22 20 0:25 / /run rw - tmpfs tmpfs rw",
    ]
    tree.write("/proc/self/mountinfo", "\n".join(lines) + "\n")
    assert ("0000:00:03.0", "root_disk", None) in found(tree)
    assert all(item.address != "0000:00:04.0" for item in dependencies(tree))


def test_an_overlay_at_the_root_whose_layers_are_out_of_sight_may_be_on_every_controller(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.disk("vda", "254:3", tree.function("0000:00:03.0", "1af4:1042", "010000"))
    tree.write("/proc/self/mountinfo", "20 1 0:30 / / rw - overlay overlay rw,lowerdir=/lib/layers/1:/lib/layers/2\n")
    assert found(tree) == {("0000:00:03.0", "root_disk", None)}


def test_a_live_system_stands_on_the_disk_with_its_image(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.disk("sdb1", "8:17", tree.function("0000:00:14.0", "8086:a36d", "0c0330"))
    tree.disk("sda", "8:0", tree.function("0000:00:17.0", "8086:a352", "010601"))
    loop = tree.disk("loop0", "7:0", None)
    tree.write(f"{loop.relative_to(tmp_path)}/loop/backing_file", "/run/live/medium/live/filesystem.squashfs\n")
    lines = [
        "20 1 0:30 / / rw - overlay overlay rw,lowerdir=/run/live/rootfs/,upperdir=/run/live/overlay/rw",
        "21 20 0:25 / /run rw - tmpfs tmpfs rw",
        "22 21 8:17 / /run/live/medium ro - vfat /dev/sdb1 ro",
        "23 21 7:0 / /run/live/rootfs ro - squashfs /dev/loop0 ro",
        "24 21 0:26 / /run/live/overlay rw - tmpfs tmpfs rw",
    ]
    tree.write("/proc/self/mountinfo", "\n".join(lines) + "\n")
    assert ("0000:00:14.0", "root_disk", None) in found(tree)
    assert all(item.address != "0000:00:17.0" for item in dependencies(tree))


def test_loop_devices_that_lie_in_each_other_end(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.disk("sda", "8:0", tree.function("0000:00:17.0", "8086:a352", "010601"))
    for number, other in ((0, "/b"), (1, "/")):
        loop = tree.disk(f"loop{number}", f"7:{number}", None)
        tree.write(f"{loop.relative_to(tmp_path)}/loop/backing_file", f"{other.rstrip('/')}/image\n")
    tree.write("/proc/self/mountinfo", mountinfo(("7:0", "/", "/dev/loop0"), ("7:1", "/b", "/dev/loop1")))
    assert found(tree) == {("0000:00:17.0", "root_disk", None)}


def test_a_snap_is_part_of_the_disk_that_its_file_is_on(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.disk("sda", "8:0", tree.function("0000:00:17.0", "8086:a352", "010601"))
    loop = tree.disk("loop0", "7:0", None)
    tree.write(f"{loop.relative_to(tmp_path)}/loop/backing_file", "/var/lib/snapd/snaps/core22_1.snap\n")
    tree.write("/proc/self/mountinfo", mountinfo(("8:0", "/", "/dev/sda"), ("7:0", "/snap/core22/1", "/dev/loop0")))
    assert [item.detail for item in dependencies(tree)] == ["holds /"]


@pytest.mark.parametrize("text", ["", "21 20 254:3 / /srv rw - xfs /dev/vda3 rw\n", "20 1 8:1 / / rw\n", "\x00\xff"])
def test_where_nothing_tells_what_the_root_is_on_every_storage_controller_may_carry_it(
    tmp_path: Path, text: str
) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:00:17.0", "8086:a352", "010601")
    tree.function("0000:02:00.0", "8086:1533", "020000")
    tree.write("/proc/self/mountinfo", text)
    assert found(tree) == {("0000:00:17.0", "root_disk", None)}


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("/dev/sda1 /boot ext4 noauto 1 2", True),
        ("UUID=ABCD-0123 /efi vfat x-systemd.automount 0 0", True),
        ('LABEL="boot" /boot ext4 noauto', True),
        ("PARTUUID=0FC63DAF-01 /boot/efi vfat noauto 0 0", True),
        ("PARTLABEL=esp /boot vfat noauto 0 0", True),
        ("# /dev/sda1 /boot ext4 noauto 1 2", False),
        ("/dev/sda1 /mnt ext4 noauto 1 2", False),
        ("/dev/sdz1 /boot ext4 noauto 1 2", False),
        ("UUID= /boot", False),
        ("/dev/sda1", False),
    ],
)
def test_what_the_machine_starts_from_never_goes_although_it_is_not_mounted(
    tmp_path: Path, line: str, needed: bool
) -> None:
    tree = HostTree(tmp_path)
    disk = tree.disk("sda", "8:0", tree.function("0000:01:00.0", "8086:a352", "010601"))
    tree.partition(disk, "sda1", "8:1")
    tree.udev(
        "8:1",
        ID_FS_UUID="ABCD-0123",
        ID_FS_LABEL="boot",
        ID_PART_ENTRY_UUID="0fc63daf-01",
        ID_PART_ENTRY_NAME="esp",
    )
    tree.write("/etc/fstab", f"# <file system>\n\n{line}\n")
    tree.write("/proc/self/mountinfo", mountinfo(("0:44", "/efi", "systemd-1", "autofs")))
    assert found(tree) == ({("0000:01:00.0", "root_disk", None)} if needed else set())


def test_a_disk_that_the_kernel_serves_to_others_is_in_use(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    for number, name in enumerate(("sda", "sdb", "sdc")):
        tree.disk(name, f"8:{16 * number}", tree.function(f"0000:0{number + 1}:00.0", "8086:a352", "010601"))
    tree.write("/sys/kernel/config/target/core/iblock_0/data/udev_path", "/dev/sda\n")
    tree.write("/sys/kernel/config/target/core/fileio_0/image/udev_path", "/dev/sdc\n")
    tree.write("/sys/kernel/config/nvmet/subsystems/nqn.2026-01.org:x/namespaces/1/device_path", "/dev/sdb\n")
    assert found(tree) == {("0000:01:00.0", "storage", "storage"), ("0000:02:00.0", "storage", "storage")}


def test_swap_counts(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.disk("nvme0n1", "259:0", tree.function("0000:02:00.0", "1b36:0010", "010802"))
    tree.write(
        "/proc/swaps", "Filename Type Size Used Priority\n/dev/nvme0n1 partition 100 0 -2\n/swapfile file 1 0 -3\n"
    )
    assert found(tree) == {("0000:02:00.0", "storage", "storage")}


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


def multipath_disk(tree: HostTree, *addresses: str) -> Path:
    """An NVMe disk as native multipath shows it: on no bus, with links to its controllers beside it."""
    subsystem = tree.base / "sys/devices/virtual/nvme-subsystem/nvme-subsys0"
    disk = subsystem / "nvme0n1"
    (disk / "slaves").mkdir(parents=True)
    (disk / "holders").mkdir()
    for number, address in enumerate(addresses):
        controller = tree.function(address, "144d:a808", "010802") / f"nvme/nvme{number}"
        controller.mkdir(parents=True)
        (subsystem / f"nvme{number}").symlink_to(os.path.relpath(controller, subsystem))
    tree.link("/sys/class/block/nvme0n1", disk)
    tree.link("/sys/dev/block/259:0", disk)
    return disk


def test_a_root_on_nvme_multipath_stands_on_every_controller(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    part = multipath_disk(tree, "0000:02:00.0", "0000:03:00.0") / "nvme0n1p2"
    part.mkdir()
    (part / "partition").write_text("2\n")
    tree.link("/sys/dev/block/259:2", part)
    tree.function("0000:04:00.0", "144d:a808", "010802")
    tree.write("/proc/self/mountinfo", mountinfo(("259:2", "/", "/dev/nvme0n1p2")))
    assert found(tree) == {("0000:02:00.0", "root_disk", None), ("0000:03:00.0", "root_disk", None)}


def test_a_root_on_a_partition_of_an_array_stands_on_its_disks(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    array = tree.disk("md0", "9:0", None)
    disk = tree.disk("sda", "8:0", tree.function("0000:02:00.0", "8086:2922", "010601"))
    (array / "slaves" / "sda").symlink_to(os.path.relpath(disk, array / "slaves"))
    tree.function("0000:03:00.0", "144d:a808", "010802")
    (array / "md0p1").mkdir()
    (array / "md0p1/partition").write_text("1\n")
    tree.link("/sys/dev/block/259:1", array / "md0p1")
    tree.write("/proc/self/mountinfo", mountinfo(("259:1", "/", "/dev/md0p1")))
    assert found(tree) == {("0000:02:00.0", "root_disk", None)}


def test_an_endpoint_between_root_port_and_disk_goes_with_the_disk(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.function("0000:00:0e.0", "8086:9a0b", "010400")
    tree.function("10000:e0:06.0", "8086:a0b0", "060400", under="0000:00:0e.0/pci10000:e0", bridge=True)
    disk = tree.function("10000:e1:00.0", "144d:a808", "010802", under="0000:00:0e.0/pci10000:e0/10000:e0:06.0")
    tree.disk("nvme0n1", "259:0", disk)
    tree.write("/proc/self/mountinfo", mountinfo(("259:0", "/", "/dev/nvme0n1")))
    assert {address for address, _kind, _allow in found(tree)} == {"0000:00:0e.0", "10000:e1:00.0"}


def storage_host(base: Path, *mounts: tuple[str, ...]) -> HostTree:
    """Two storage controllers and a network card; nothing leads from the mounts to any of them."""
    tree = HostTree(base)
    tree.function("0000:02:00.0", "144d:a808", "010802")
    tree.function("0000:03:00.0", "1000:0097", "010700")
    tree.function("0000:04:00.0")
    tree.write("/proc/self/mountinfo", mountinfo(*mounts))
    return tree


CANNOT_BE_TOLD = [
    (("0:29", "/", "rpool/ROOT/x", "zfs"), "may carry /: what it is on cannot be told (zfs rpool/ROOT/x)"),
    (("0:30", "/boot", "bpool/BOOT", "zfs"), "may carry /boot: what it is on cannot be told (zfs bpool/BOOT)"),
    (("0:31", "/", "/dev/sda:/dev/sdb", "bcachefs"), "(bcachefs /dev/sda:/dev/sdb)"),
    (("7:0", "/", "/dev/loop0", "squashfs"), "(squashfs /dev/loop0)"),
    (("8:1", "/usr", "/dev/sda1", "ext4"), "(ext4 /dev/sda1)"),
]


@pytest.mark.parametrize(("mount", "words"), CANNOT_BE_TOLD)
def test_where_it_cannot_be_told_every_storage_controller_stays(
    tmp_path: Path, mount: tuple[str, ...], words: str
) -> None:
    tree = storage_host(tmp_path, mount)
    tree.disk("loop0", "7:0", None)
    assert found(tree) == {("0000:02:00.0", "root_disk", None), ("0000:03:00.0", "root_disk", None)}
    assert all(words in item.detail for item in dependencies(tree))


def test_a_pool_that_the_machine_can_start_without_goes_by_its_key(tmp_path: Path) -> None:
    tree = storage_host(tmp_path, ("0:29", "/tank", "tank", "zfs"), ("0:30", "/tank/a", "tank/a", "zfs"))
    assert [(item.address, item.allow) for item in dependencies(tree)] == [
        ("0000:02:00.0", "storage"),
        ("0000:03:00.0", "storage"),
    ]


@pytest.mark.parametrize(
    "mount",
    [
        ("0:40", "/", "server:/export", "nfs4"),
        ("0:41", "/srv", "overlay", "overlay"),
        ("0:42", "/", "rootfs", "tmpfs"),
        ("0:43", "/", "hostshare", "virtiofs"),
        ("0:44", "/efi", "systemd-1", "autofs"),
        ("0:45", "/srv", "proc", "proc"),
        ("43:0", "/", "/dev/nbd0", "ext4"),
        ("8:16", "/", "/dev/sdb", "ext4"),
    ],
)
def test_what_no_disk_of_this_host_carries_keeps_none(tmp_path: Path, mount: tuple[str, ...]) -> None:
    tree = storage_host(tmp_path, mount)
    tree.disk("nbd0", "43:0", None)
    tree.disk("sdb", "8:16", tree.base / "sys/devices/platform/host3/session1/target3:0:0/3:0:0:1")
    assert found(tree) == set()


def zfs_host(base: Path, *mounts: tuple[str, ...]) -> HostTree:
    """Two disks in the pool rpool, one that tells of no pool, and one with a member of a pool that is not open."""
    tree = storage_host(base, *mounts)
    properties = [{"ID_FS_LABEL": "rpool"}, {"ID_FS_LABEL": "rpool"}, {}, {"ID_FS_LABEL": "old"}]
    for number, labels in enumerate(properties, start=5):
        tree.disk(f"sd{number}", f"8:{number}", tree.function(f"0000:0{number}:00.0", "1000:0097", "010700"))
        tree.udev(f"8:{number}", ID_FS_TYPE="zfs_member", **labels)
    return tree


def test_the_members_of_a_zfs_root_are_known_from_udev(tmp_path: Path) -> None:
    tree = zfs_host(tmp_path, ("0:29", "/", "rpool/ROOT/x", "zfs"))
    assert found(tree) == {
        ("0000:05:00.0", "root_disk", None),
        ("0000:06:00.0", "root_disk", None),
        ("0000:05:00.0", "storage", "storage"),
        ("0000:06:00.0", "storage", "storage"),
        ("0000:07:00.0", "storage", "storage"),
    }


def test_an_imported_pool_is_in_use_without_a_mount(tmp_path: Path) -> None:
    tree = zfs_host(tmp_path)
    tree.write("/proc/spl/kstat/zfs/rpool/state", "ONLINE\n")
    tree.write("/proc/spl/kstat/zfs/arcstats", "")
    assert {address for address, _kind, _allow in found(tree)} == {"0000:05:00.0", "0000:06:00.0", "0000:07:00.0"}


def test_a_pool_that_nobody_has_open_is_free(tmp_path: Path) -> None:
    assert found(zfs_host(tmp_path)) == set()


def test_an_imported_pool_without_known_members_may_be_anywhere(tmp_path: Path) -> None:
    tree = storage_host(tmp_path)
    tree.write("/proc/spl/kstat/zfs/tank/state", "ONLINE\n")
    assert found(tree) == {("0000:02:00.0", "storage", "storage"), ("0000:03:00.0", "storage", "storage")}


def two_disks(base: Path) -> HostTree:
    tree = HostTree(base)
    for number, name in enumerate(("sda", "sdb"), start=1):
        tree.disk(name, f"8:{number}", tree.function(f"0000:0{number}:00.0", "1000:0097", "010700"))
    return tree


def test_bcachefs_names_all_its_members(tmp_path: Path) -> None:
    tree = two_disks(tmp_path)
    tree.write("/proc/self/mountinfo", mountinfo(("0:31", "/", "/dev/sda:/dev/sdb", "bcachefs")))
    assert found(tree) == {("0000:01:00.0", "root_disk", None), ("0000:02:00.0", "root_disk", None)}


def test_the_disks_below_arrays_of_partitions_below_encryption_below_volumes(tmp_path: Path) -> None:
    tree = two_disks(tmp_path)
    array, crypt = tree.disk("md0", "9:0", None), tree.disk("dm-0", "253:0", None)
    volumes = [tree.disk(f"dm-{number}", f"253:{number}", None) for number in (1, 2)]
    parts = [
        tree.partition(Path(os.path.realpath(tree.base / "sys/class/block" / name)), f"{name}1", f"8:1{number}")
        for number, name in enumerate(("sda", "sdb"))
    ]
    tree.build_block(array, *parts)
    tree.build_block(crypt, array)
    for volume in volumes:
        tree.build_block(volume, crypt)
    tree.write("/proc/self/mountinfo", mountinfo(("253:2", "/", "/dev/mapper/vg-root")))
    for address in ("0000:01:00.0", "0000:02:00.0"):
        mine = {item.kind for item in dependencies(tree) if item.address == address}
        assert mine == {"root_disk", "storage"}


@pytest.mark.parametrize(("mapped", "needed"), [("my--vg-root", True), ("my--vg--2-root", False), (None, False)])
def test_a_physical_volume_without_a_volume_keeps_its_active_group_complete(
    tmp_path: Path, mapped: str | None, needed: bool
) -> None:
    tree = two_disks(tmp_path)
    tree.write("/run/lvm/pvs_online/Abc123", "8:2\nvg:my-vg\ndev:/dev/sdb\n")
    if mapped is not None:
        volume = tree.disk("dm-0", "253:0", None)
        tree.build_block(volume, Path(os.path.realpath(tree.base / "sys/class/block/sda")))
        tree.write("/sys/devices/virtual/block/dm-0/dm/name", f"{mapped}\n")
        tree.write("/sys/devices/virtual/block/dm-0/dm/uuid", "LVM-abcdef\n")
    assert (("0000:02:00.0", "storage", "storage") in found(tree)) == needed


def test_a_cache_that_nothing_is_built_on_yet_is_in_use(tmp_path: Path) -> None:
    tree = two_disks(tmp_path)
    (Path(os.path.realpath(tree.base / "sys/class/block/sdb")) / "bcache").mkdir()
    assert found(tree) == {("0000:02:00.0", "storage", "storage")}


ESP = "c1a5d0de-0001-4aaa-8bbb-0123456789ab"


@pytest.mark.parametrize(
    ("option", "needed"),
    [
        (load_option(hard_drive(ESP)), True),
        (load_option(b"\x02\x01\x0c\x00" + bytes(8), hard_drive(ESP)), True),
        (load_option(hard_drive(ESP, signature_type=1)), False),
        (load_option(hard_drive(ESP)[:30]), False),
        (load_option(b"\x04\x01\x00\x00"), False),
        (b"\x01", False),
        (b"", False),
    ],
)
def test_the_esp_of_the_last_start_never_goes_although_it_is_not_mounted(
    tmp_path: Path, option: bytes, needed: bool
) -> None:
    tree = two_disks(tmp_path)
    set_boot_current(tree.base, option)
    tree.udev("8:1", ID_PART_ENTRY_UUID="99999999-0001-4aaa-8bbb-0123456789ab")
    tree.udev("8:2", ID_PART_ENTRY_UUID=ESP)
    assert found(tree) == ({("0000:02:00.0", "root_disk", None)} if needed else set())


def test_every_esp_that_proxmox_keeps_in_step_never_goes(tmp_path: Path) -> None:
    tree = two_disks(tmp_path)
    tree.write("/etc/kernel/proxmox-boot-uuids", "AAAA-0001\nAAAA-0002\n")
    tree.udev("8:1", ID_FS_UUID="AAAA-0001")
    tree.udev("8:2", ID_FS_UUID="AAAA-0002")
    assert found(tree) == {("0000:01:00.0", "root_disk", None), ("0000:02:00.0", "root_disk", None)}


def test_an_nvme_disk_over_fibre_channel_stands_on_its_adapter(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    adapter = tree.function("0000:05:00.0", "10df:f400", "0c0400")
    tree.write("/sys/devices/pci0000:00/0000:05:00.0/host3/fc_host/host3/port_name", "0x100000109b000001\n")
    tree.link("/sys/class/fc_host/host3", adapter / "host3/fc_host/host3")
    controller = tree.base / "sys/devices/virtual/nvme-fabrics/ctl/nvme0"
    (controller / "nvme0n1").mkdir(parents=True)
    address = "traddr=nn-0x1:pn-0x2,host_traddr=nn-0x200000109b000001:pn-0x100000109b000001\n"
    (controller / "address").write_text(address)
    tree.link("/sys/class/nvme/nvme0", controller)
    tree.link("/sys/dev/block/259:0", controller / "nvme0n1")
    tree.write("/proc/self/mountinfo", mountinfo(("259:0", "/", "/dev/nvme0n1")))
    assert found(tree) == {("0000:05:00.0", "root_disk", None)}

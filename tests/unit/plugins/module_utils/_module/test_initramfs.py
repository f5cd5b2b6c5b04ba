# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import re
import shutil
import typing as t
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import early_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.early_watchdog import release_early_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, InputError, ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs import rebuild, record
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import SCRATCH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.needs import installed_digests
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.staleness import stale_images, suspects
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.state import read_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import LEDGER_PATH, Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.initramfs import prove_and_rebuild
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import (
    INIT_TOP_PATH,
    OWNER,
    SCRIPT_PATH,
    boot_files,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import TABLE_PATH, Table
from tests.unit.plugins.cpio_images import archive

OLD, NEW = "6.1.0-1", "6.12.0-2"
NIC = Identity("8086", "10d3", "8086", "0000")
MODULES = ("vfio/vfio", "vfio/vfio_iommu_type1", "vfio/pci/vfio-pci")

WATCHDOG = early_files.IN_IMAGE["initramfs-tools"]


class Module:
    def __init__(self, params: dict[str, t.Any], check_mode: bool) -> None:
        self.params = params
        self.check_mode = check_mode
        self.logged: list[str] = []

    def log(self, message: str) -> None:
        self.logged.append(message)


class Host:
    """A host whose generator packs what lies in its tree; ``spoil`` changes what it writes, ``fails`` its exit."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = Root(str(base))
        self.commands: list[tuple[str, ...]] = []
        self.spoil: t.Callable[[dict[str, bytes]], bytes] = archive
        self.fails = False
        self.synced: list[str] = []
        (base / "var/tmp").mkdir(parents=True)
        (base / "var/lib").mkdir()
        (base / "usr/sbin").mkdir(parents=True)
        (base / "usr/sbin/mkinitramfs").write_text("")
        for kernel in (OLD, NEW):
            self.install_kernel(kernel)

    def install_kernel(self, kernel: str, modules: Sequence[str] = MODULES) -> None:
        directory = self.base / "lib/modules" / kernel
        directory.mkdir(parents=True)
        lines = [f"kernel/drivers/{name}.ko:" for name in modules]
        (directory / "modules.dep").write_text("\n".join(lines) + "\n")
        (self.base / "boot").mkdir(exist_ok=True)
        (self.base / f"boot/vmlinuz-{kernel}").write_text("")
        self.image(kernel).write_bytes(archive(self.packed(kernel)))

    def image(self, kernel: str) -> Path:
        return self.base / f"boot/initrd.img-{kernel}"

    def packed(self, kernel: str) -> dict[str, bytes]:
        files = {"init": b"#!/bin/sh\n"}
        for path, inside in WATCHDOG.items():
            content = self.root.read_bytes(path)
            if content is not None:
                files[inside] = content
        table = self.root.read_bytes(TABLE_PATH)
        if table is not None:
            files[TABLE_PATH.lstrip("/")] = table
            files[SCRIPT_PATH.lstrip("/")] = self.root.read_bytes(SCRIPT_PATH) or b""
            files["scripts/init-top/00-virtfleet-vfio"] = self.root.read_bytes(INIT_TOP_PATH) or b""
            dep = (self.base / "lib/modules" / kernel / "modules.dep").read_text()
            files.update({f"lib/modules/{kernel}/{line.rstrip(':')}": b"" for line in dep.splitlines()})
        return files

    def run(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        self.commands.append(tuple(argv))
        if argv[0].endswith("mkinitramfs"):
            (self.base / argv[2].lstrip("/")).write_bytes(self.spoil(self.packed(argv[3])))
            return CommandResult(tuple(argv), 1 if self.fails else 0, "", "hook failed")
        return CommandResult(tuple(argv), 0, "", "")

    def hold(self, generation: int = 1) -> None:
        table = Table(generation, {Address.parse("0000:01:00.0"): NIC})
        with locked(self.root) as ledger:
            for file in boot_files(table, ["initramfs-tools"]):
                _owned.install(self.root, ledger, OWNER, file)
        # Images are older than the table, whatever the clock's resolution.
        for kernel in (OLD, NEW):
            os.utime(self.image(kernel), (1, 1))

    def let_go(self) -> None:
        with locked(self.root) as ledger:
            for path in _owned.owned_paths(ledger, OWNER):
                _owned.release(self.root, ledger, path)

    def call(self, *, check: bool = False, **params: t.Any) -> Result:
        module: t.Any = Module(
            {
                "generator": "auto",
                "kernels": ["all"],
                "planned_files": None,
                "staged": False,
                "require": None,
                **params,
            },
            check,
        )
        return prove_and_rebuild(module, self.run, root=self.root)

    def rebuilt(self, result: Result) -> list[str]:
        return [image["kernel"] for image in result.data["images"] if image["rebuilt"]]

    def contents(self) -> list[bytes]:
        return [self.image(kernel).read_bytes() for kernel in (OLD, NEW)]

    @property
    def leftovers(self) -> list[str]:
        return [path.name for path in (self.base / "boot").iterdir() if "virtfleet" in path.name]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path)
    # A sync of this whole machine for every image is neither needed nor quick.
    monkeypatch.setattr(rebuild, "sync_boot_filesystem", host.synced.append)
    return host


def test_nothing_wanted_nothing_done_nothing_looked_at(host: Host) -> None:
    assert not host.call().changed
    assert host.commands == []
    assert not (host.base / LEDGER_PATH.lstrip("/")).exists()


def test_every_kernels_image_is_built_once(host: Host) -> None:
    host.hold()
    result = host.call()
    assert host.rebuilt(result) == [OLD, NEW]
    assert host.synced == [str(host.base / "boot")] * 2
    assert "module vfio_pci" in result.data["images"][0]["proven"]
    host.commands.clear()
    again = host.call()
    assert not again.changed
    assert again.data["images"][0]["proven"] == result.data["images"][0]["proven"]
    assert host.commands == []
    assert host.leftovers == []


def test_check_mode_foretells_and_leaves_all(host: Host) -> None:
    host.hold()
    before = (host.contents(), (host.base / LEDGER_PATH.lstrip("/")).read_bytes())
    foretold = host.call(check=True)
    assert (host.contents(), (host.base / LEDGER_PATH.lstrip("/")).read_bytes()) == before
    done = host.call()
    assert (foretold.changed, foretold.diff) == (done.changed, done.diff)
    assert host.rebuilt(foretold) == host.rebuilt(done)


def test_a_new_table_makes_all_images_stale(host: Host) -> None:
    host.hold(1)
    host.call()
    host.hold(2)
    assert host.rebuilt(host.call()) == [OLD, NEW]


def test_an_image_that_the_distribution_replaced_is_looked_into(host: Host) -> None:
    host.hold()
    host.call()
    host.image(NEW).write_bytes(archive(host.packed(NEW)))
    assert not host.call().changed
    host.image(NEW).write_bytes(archive({"init": b""}))
    assert host.rebuilt(host.call()) == [NEW]


def test_release_brings_the_old_content_back_and_forgets(host: Host) -> None:
    before = host.contents()
    host.hold()
    host.call()
    host.let_go()
    assert stale_images(host.root, Ledger.read(host.root), {}) == [f"/boot/initrd.img-{name}" for name in (OLD, NEW)]
    assert host.rebuilt(host.call()) == [OLD, NEW]
    assert host.contents() == before
    assert not (host.base / LEDGER_PATH.lstrip("/")).exists()
    assert not host.call().changed


def test_an_image_that_outlived_its_kernel_is_named_and_keeps_nobody_from_a_release(host: Host) -> None:
    host.hold()
    host.call()
    (host.base / f"boot/vmlinuz-{OLD}").unlink()
    host.let_go()
    assert host.call(check=True).warnings == host.call().warnings != ()
    assert host.image(OLD).exists()
    assert not (host.base / LEDGER_PATH.lstrip("/")).exists()
    assert host.call().warnings == ()


def test_an_image_that_went_with_its_kernel_is_forgotten_silently(host: Host) -> None:
    host.hold()
    host.call()
    (host.base / f"boot/vmlinuz-{OLD}").unlink()
    host.image(OLD).unlink()
    assert host.call().warnings == ()
    assert list(Ledger.read(host.root).section("images")) == [f"/boot/initrd.img-{NEW}"]


def spoilt(change: t.Callable[[dict[str, bytes]], object]) -> t.Callable[[dict[str, bytes]], bytes]:
    def spoil(files: dict[str, bytes]) -> bytes:
        change(files)
        return archive(files)

    return spoil


SPOILT: dict[str, tuple[t.Callable[[dict[str, bytes]], bytes], str]] = {
    "empty": (lambda _files: b"", "is empty although its generator reported success"),
    "cut off": (lambda files: archive(files)[:600], "breaks off"),
    "no table": (spoilt(lambda files: files.pop(TABLE_PATH.lstrip("/"))), f"lacks {TABLE_PATH.lstrip('/')}"),
    "old table": (
        spoilt(lambda files: files.update({TABLE_PATH.lstrip("/"): b"generation 9\n"})),
        "another version",
    ),
    "no module": (
        spoilt(lambda files: files.pop(f"lib/modules/{OLD}/kernel/drivers/vfio/pci/vfio-pci.ko")),
        "lacks module vfio_pci",
    ),
    "no init": (spoilt(lambda files: files.pop("init")), "has no /init"),
}


@pytest.mark.parametrize("fault", sorted(SPOILT))
def test_a_wrong_image_never_takes_the_place_of_the_old(host: Host, fault: str) -> None:
    host.hold()
    before = host.contents()
    host.spoil, reason = SPOILT[fault]
    with pytest.raises(ToolError, match=reason):
        host.call()
    assert host.contents() == before
    assert host.leftovers == []


CRYPTTAB = b"# target source key options\ncryptroot UUID=1234 none luks\nswap UUID=5678 none luks\n"
UNLOCKING = {
    "usr/sbin/cryptsetup": b"",
    "usr/lib/systemd/systemd-cryptsetup": b"",
    "cryptroot/crypttab": CRYPTTAB,
    "cryptroot/keyfiles/cryptroot.key": b"key",
    f"lib/modules/{OLD}/kernel/drivers/md/dm-crypt.ko": b"",
}
LOST = [
    ("usr/sbin/cryptsetup", None, "cryptsetup"),
    ("usr/lib/systemd/systemd-cryptsetup", None, "systemd-cryptsetup"),
    ("cryptroot/crypttab", None, "an entry for cryptroot in cryptroot/crypttab"),
    ("cryptroot/crypttab", b"# cryptroot is gone\nswap UUID=5678 none luks\n", "an entry for cryptroot in cryptroot"),
    ("cryptroot/keyfiles/cryptroot.key", None, "cryptroot/keyfiles/cryptroot.key"),
    (f"lib/modules/{OLD}/kernel/drivers/md/dm-crypt.ko", None, "module dm_crypt"),
]


def encrypt(host: Host) -> None:
    (host.base / "proc").mkdir()
    (host.base / "proc/cmdline").write_text("quiet rd.luks.uuid=luks-1234\n")


@pytest.mark.parametrize(("name", "content", "said"), LOST)
def test_an_image_that_no_longer_unlocks_never_takes_the_place_of_the_old(
    host: Host, name: str, content: bytes | None, said: str
) -> None:
    encrypt(host)
    host.image(OLD).write_bytes(archive({**host.packed(OLD), **UNLOCKING}))
    host.hold()
    before = host.contents()
    files = {key: value for key, value in UNLOCKING.items() if key != name}
    if content is not None:
        files[name] = content
    host.spoil = spoilt(lambda packed: packed.update(files))
    with pytest.raises(ToolError, match=f"lacks {re.escape(said)}.*what unlocks the root file system"):
        host.call(kernels=[OLD])
    assert host.contents() == before
    assert host.leftovers == []
    # Where the root file system is not encrypted, nobody needs it.
    (host.base / "proc/cmdline").write_text("quiet\n")
    assert host.rebuilt(host.call(kernels=[OLD])) == [OLD]


def test_an_image_that_unlocks_as_before_is_taken(host: Host) -> None:
    encrypt(host)
    host.image(OLD).write_bytes(archive({**host.packed(OLD), **UNLOCKING}))
    host.hold()
    # At other places, as after an upgrade of the tools, and with more beside it.
    moved = {name.replace("usr/sbin/", "sbin/"): content for name, content in UNLOCKING.items()}
    host.spoil = spoilt(lambda packed: packed.update({**moved, "cryptroot/keyfiles/swap.key": b""}))
    assert host.rebuilt(host.call(kernels=[OLD])) == [OLD]


def test_where_the_old_image_is_none_there_is_nothing_to_compare(host: Host) -> None:
    encrypt(host)
    host.image(OLD).write_bytes(b"no image")
    host.hold()
    assert host.rebuilt(host.call()) == [OLD, NEW]


def test_a_failed_build_leaves_the_old_image(host: Host) -> None:
    host.hold()
    before = host.contents()
    host.fails = True
    with pytest.raises(ToolError, match=f"Building the initramfs for {OLD} failed.*hook failed"):
        host.call()
    assert host.contents() == before
    assert host.leftovers == []


def test_a_full_boot_stops_before_the_first_build(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 1 << 20

    host.hold()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage)
    with pytest.raises(HostStateError, match=r"/boot has 1 MiB free, the new image of 6\.1\.0-1 needs"):
        host.call()
    assert not [command for command in host.commands if command[0].endswith("mkinitramfs")]


def test_what_a_power_cut_left_is_swept_away(host: Host) -> None:
    host.hold()
    leftover = host.base / rebuild.new_name(f"/boot/initrd.img-{OLD}").lstrip("/")
    leftover.write_bytes(b"half")
    host.call()
    assert host.leftovers == []


def test_a_kernel_without_vfio_pci_stops_before_the_first_build(host: Host) -> None:
    host.install_kernel("6.12.0-cloud", ["net/virtio_net"])
    host.hold()
    with pytest.raises(HostStateError, match=r"Kernel 6\.12\.0-cloud lacks vfio_iommu_type1, vfio_pci"):
        host.call()
    assert host.commands == []


def test_one_kernel_of_two(host: Host) -> None:
    host.hold()
    assert host.rebuilt(host.call(kernels=[NEW])) == [NEW]
    with pytest.raises(InputError, match=r"kernels names 5\.10, which is not installed"):
        host.call(kernels=["5.10"])


def test_a_kernel_without_an_image_gets_one(host: Host) -> None:
    host.hold()
    host.image(NEW).unlink()
    assert host.rebuilt(host.call()) == [OLD, NEW]
    assert host.image(NEW).exists()


def test_more_may_be_required(host: Host) -> None:
    wanted = {"path": "/init", "content": "#!/bin/sh\n", "content_sha256": None, "module": None}
    module = {"path": None, "content": None, "content_sha256": None, "module": "vfio"}
    assert not host.call(require=[wanted]).changed
    with pytest.raises(ToolError, match="lacks module vfio"):
        host.call(require=[module])
    with pytest.raises(ToolError, match="another version of init"):
        host.call(require=[{**wanted, "content": "else"}])
    with pytest.raises(HostStateError, match="lacks nosuch"):
        host.call(require=[{**module, "module": "nosuch"}])
    with pytest.raises(InputError, match="content without a path"):
        host.call(require=[{**wanted, "path": None}])


def test_an_image_with_keys_stays_closed(host: Host) -> None:
    def closed(files: dict[str, bytes]) -> bytes:
        os.umask(0o077)
        return archive(files)

    before = os.umask(0o022)
    host.image(NEW).chmod(0o644)
    host.hold()
    host.spoil = closed
    try:
        host.call(kernels=[NEW])
    finally:
        os.umask(before)
    assert host.image(NEW).stat().st_mode & 0o777 == 0o600


def test_no_generator(host: Host) -> None:
    (host.base / "usr/sbin/mkinitramfs").unlink()
    with pytest.raises(
        HostStateError, match=r"No known initramfs generator is installed\. Looked for: initramfs-tools"
    ):
        host.call()
    with pytest.raises(HostStateError, match="The generator dracut is not installed"):
        host.call(generator="dracut")


def test_scripts_that_copy_images_are_told(host: Host) -> None:
    directory = host.base / "etc/initramfs/post-update.d"
    directory.mkdir(parents=True)
    (directory / "systemd-boot").write_text("")
    host.hold()
    host.call(kernels=[NEW])
    image = f"/boot/initrd.img-{NEW}"
    assert host.commands[-1][0] == "run-parts"
    assert host.commands[-1][3:] == (f"--arg={NEW}", f"--arg={image}", "/etc/initramfs/post-update.d")


def test_the_reader_looks_only_where_it_must(host: Host) -> None:
    facts = read_state(host.root, host.run, Ledger.read(host.root), {})
    assert [image["content"] for image in facts["images"]] == [None, None]
    host.hold()
    facts = read_state(host.root, host.run, Ledger.read(host.root), {"generator": None})
    # Older than the table: they cannot hold it, and nobody unpacks them to see.
    assert [image["content"] for image in facts["images"]] == [None, None]
    host.call()
    facts = read_state(host.root, host.run, Ledger.read(host.root), {})
    assert all(TABLE_PATH.lstrip("/") in image["content"]["files"] for image in facts["images"])
    assert facts["images"][0]["modules_needed"] == ["vfio_iommu_type1", "vfio_pci"]


def planned(*tables: Table) -> dict[str, str]:
    return {
        file.path: _owned.digest(file.content) for table in tables for file in boot_files(table, ["initramfs-tools"])
    }


def test_check_mode_goes_by_the_files_that_will_be(host: Host) -> None:
    foretold = host.call(check=True, planned_files=planned(Table(1, {Address.parse("0000:01:00.0"): NIC})))
    assert host.commands == []
    host.hold()
    done = host.call(planned_files={})
    assert host.rebuilt(foretold) == host.rebuilt(done) == [OLD, NEW]
    assert foretold.diff == done.diff
    foretold = host.call(check=True, planned_files={})
    host.let_go()
    done = host.call()
    assert host.rebuilt(foretold) == host.rebuilt(done) == [OLD, NEW]
    assert foretold.diff == done.diff


def test_an_image_that_went_with_its_kernel_is_forgotten(host: Host) -> None:
    host.hold()
    host.call()
    host.let_go()
    host.image(OLD).unlink()
    (host.base / f"boot/vmlinuz-{OLD}").unlink()
    before = (host.base / LEDGER_PATH.lstrip("/")).read_bytes()
    host.call(check=True, planned_files={})
    assert (host.base / LEDGER_PATH.lstrip("/")).read_bytes() == before
    assert host.rebuilt(host.call()) == [NEW]
    assert not (host.base / LEDGER_PATH.lstrip("/")).exists()


def test_an_image_made_between_two_tables_is_cleaned_on_the_way_back(host: Host) -> None:
    """A new kernel's image that our hook filled, of which the ledger knows nothing, and then another table."""
    host.hold(1)
    host.call(kernels=[OLD])
    host.image(NEW).write_bytes(archive(host.packed(NEW)))
    made = host.image(NEW).stat().st_mtime_ns
    table = host.base / TABLE_PATH.lstrip("/")
    with locked(host.root) as ledger:
        for file in boot_files(Table(2, {Address.parse("0000:02:00.0"): NIC}), ["initramfs-tools"]):
            _owned.install(host.root, ledger, OWNER, file)
    os.utime(table, ns=(made + 10**9, made + 10**9))
    facts = read_state(host.root, host.run, Ledger.read(host.root), {})
    assert [image["recorded"] for image in facts["images"]] == [True, False]
    assert facts["images"][1]["content"] is not None
    with locked(host.root) as ledger:
        suspected = suspects(host.root, ledger)
        assert f"/boot/initrd.img-{NEW}" in suspected
        for path, kernel in suspected.items():
            record.suspect(ledger, path, kernel)
        ledger.save()
    host.let_go()
    assert host.rebuilt(host.call()) == [OLD, NEW]
    assert b"generation" not in b"".join(host.contents())
    assert not (host.base / LEDGER_PATH.lstrip("/")).exists()


def test_a_right_image_is_unpacked_until_the_module_has_recorded_it(host: Host) -> None:
    host.hold()
    host.call()
    host.image(NEW).write_bytes(archive(host.packed(NEW)))
    facts = read_state(host.root, host.run, Ledger.read(host.root), {})
    assert [image["recorded"] for image in facts["images"]] == [True, False]
    assert not host.call().changed
    facts = read_state(host.root, host.run, Ledger.read(host.root), {})
    assert [image["recorded"] for image in facts["images"]] == [True, True]
    assert facts["images"][0]["size"] == host.image(OLD).stat().st_size


def test_what_is_free_is_told_of_a_live_host_only(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_state(host.root, host.run, Ledger.read(host.root), {})["free"] == {}
    monkeypatch.setattr(Root, "is_live", property(lambda _root: True))
    assert set(read_state(host.root, host.run, Ledger.read(host.root), {})["free"]) == {"/boot", SCRATCH}


def staged(kernel: str) -> str:
    return f"/var/lib/virtfleet-passthrough/images/{kernel}.img"


def test_a_staged_image_is_proven_and_nothing_boots_with_it(host: Host) -> None:
    host.hold()
    before = host.contents()
    result = host.call(staged=True)
    assert result.changed
    assert result.data["staged"] == {kernel: staged(kernel) for kernel in (OLD, NEW)}
    assert host.contents() == before
    assert host.synced == []
    assert host.leftovers == []
    for kernel in (OLD, NEW):
        path = host.base / staged(kernel).lstrip("/")
        assert path.read_bytes() == archive(host.packed(kernel))
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_staging_again_builds_nothing(host: Host) -> None:
    host.hold()
    first = host.call(staged=True)
    host.commands.clear()
    again = host.call(staged=True)
    assert (again.changed, again.data["staged"]) == (False, first.data["staged"])
    assert host.commands == []


def test_a_kernels_new_image_makes_its_staged_one_old(host: Host) -> None:
    host.hold()
    host.call(staged=True)
    later = (host.base / staged(NEW).lstrip("/")).stat().st_mtime_ns + 10**9
    os.utime(host.image(NEW), ns=(later, later))
    host.image(NEW).write_bytes(archive({"init": b"#!/bin/sh\n# updated\n"}))
    os.utime(host.image(NEW), ns=(later, later))
    host.commands.clear()
    assert host.rebuilt(host.call(staged=True)) == [NEW]


def test_check_mode_foretells_what_will_be_staged(host: Host) -> None:
    host.hold()
    foretold = host.call(staged=True, check=True)
    assert not (host.base / "var/lib/virtfleet-passthrough/images").exists()
    done = host.call(staged=True)
    assert (foretold.changed, foretold.diff, foretold.data["staged"]) == (done.changed, done.diff, done.data["staged"])


def test_a_failed_build_stages_nothing(host: Host) -> None:
    host.hold()
    host.fails = True
    with pytest.raises(ToolError, match="hook failed"):
        host.call(staged=True)
    assert list((host.base / "var/lib/virtfleet-passthrough/images").iterdir()) == []


def test_images_that_do_not_fit_are_refused_before_the_first_build(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.hold()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1 << 20))
    with pytest.raises(HostStateError, match="2 images to be tried need"):
        host.call(staged=True)
    assert host.commands == []


def test_what_no_trial_waits_for_is_swept_away(host: Host) -> None:
    host.hold()
    host.call(staged=True)
    host.call()
    assert not (host.base / "var/lib/virtfleet-passthrough/images").exists()
    assert set(Ledger.read(host.root).section("images")) == {f"/boot/initrd.img-{kernel}" for kernel in (OLD, NEW)}


def with_watchdog(host: Host) -> None:
    place = host.base / "sys/class/watchdog/watchdog0"
    place.mkdir(parents=True)
    (place / "identity").write_text("i6300ESB timer\n")


def test_an_image_that_will_be_tried_can_start_the_machines_watchdog(host: Host) -> None:
    host.hold()
    with_watchdog(host)
    foretold = host.call(staged=True, check=True)
    assert not host.root.exists(early_files.SCRIPT_PATH)
    result = host.call(staged=True)
    assert (foretold.changed, foretold.diff) == (result.changed, result.diff)
    held = Ledger.read(host.root).section("images")[staged(NEW)]["files"]
    assert set(WATCHDOG.values()) <= set(held)
    host.commands.clear()
    assert not host.call(staged=True).changed
    assert host.commands == []


def test_an_image_that_starts_a_watchdog_is_right_until_that_is_taken_back(host: Host) -> None:
    host.hold()
    with_watchdog(host)
    host.call(staged=True)
    # As a commit leaves them.
    host.call()
    assert not host.call().changed
    ledger = Ledger.read(host.root)
    vfio = {path: digest for path, digest in installed_digests(host.root, ledger).items() if path not in WATCHDOG}
    assert stale_images(host.root, ledger, vfio) == []
    facts = read_state(host.root, host.run, Ledger.read(host.root), {})
    assert set(facts["images"][0]["watchdog_files"]) >= set(WATCHDOG)
    host.let_go()
    with locked(host.root) as ledger:
        release_early_files(host.root, ledger)
    assert host.rebuilt(host.call()) == [OLD, NEW]
    assert host.contents() == [archive({"init": b"#!/bin/sh\n"})] * 2
    assert not (host.base / LEDGER_PATH.lstrip("/")).exists()


def test_without_a_watchdog_nothing_of_it_is_brought(host: Host) -> None:
    host.hold()
    host.call(staged=True)
    assert not host.root.exists(early_files.SCRIPT_PATH)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images on an EFI system partition: beside type 1 entries and inside unified kernel images.

The generator and ukify are stand-ins; Debian's real ones run in the chroot tests.
"""

from __future__ import annotations

import os
import shutil
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    RefusedError,
    ToolError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs import rebuild
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import read_image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import LEDGER_PATH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import DRACUT_HOOK_PATH, SCRIPT_PATH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import TABLE_PATH
from tests.unit.plugins.cpio_images import archive
from tests.unit.plugins.efi_variables import set_loader_variable, set_variable
from tests.unit.plugins.image_host import ImageHost
from tests.unit.plugins.unified_images import FakeUkify, unified_image

MACHINE = "4098b3f648d74c13b1f04ccfba7798e8"
OLD, NEW = "6.12.41+deb13-amd64", "6.12.43+deb13-amd64"
LINE = "root=/dev/vda2 ro quiet"
TABLE = TABLE_PATH.lstrip("/")
MICROCODE = "kernel/x86/microcode/GenuineIntel.bin"


class EspHost(ImageHost):
    """Two kernels that systemd-boot starts; ``keeps``: the generator has images in ``/boot``, as on Debian, else
    kernel-install made them in the entries' places only, as on Fedora."""

    generator = "dracut"

    def __init__(self, base: Path, keeps: bool = True) -> None:
        super().__init__(base)
        self.tools["env"] = self._dracut
        self.ukify = FakeUkify()
        self.tools["ukify"] = self.ukify
        self.microcode: Mapping[str, bytes] = {}
        self.keeps = keeps
        self.put("usr/bin/dracut")
        self.put("usr/bin/ukify")
        self.put("etc/debian_version")
        self.put("etc/machine-id", MACHINE)
        self.put("proc/cmdline", LINE)
        set_loader_variable(base, "LoaderInfo", "systemd-boot 257.13")
        for kernel in (OLD, NEW):
            self.modules(kernel)
            if keeps:
                self.put(f"boot/vmlinuz-{kernel}")
                self.put(f"boot/initrd.img-{kernel}", self.pack(kernel))

    def pack(self, kernel: str) -> bytes:
        files = {"init": b"#!/bin/sh\n", **self.microcode}
        table = self.root.read_bytes(TABLE_PATH)
        if table is not None:
            files[TABLE] = table
            files[SCRIPT_PATH.lstrip("/")] = self.root.read_bytes(SCRIPT_PATH) or b""
            hook = self.root.read_bytes(DRACUT_HOOK_PATH) or b""
            files["usr/lib/dracut/hooks/pre-udev/10-virtfleet-vfio.sh"] = hook
            files.update(self.packed_modules(kernel))
        return archive(files)

    def _dracut(self, argv: Sequence[str], _cwd: str | None) -> tuple[int, str]:
        assert list(argv[:5]) == ["env", "NO_POST_UPDATE_HOOKS=1", "dracut", "--force", "--quiet"]
        self.put(argv[5], self.pack(argv[6]))
        return 0, ""

    def type1(self, kernel: str) -> str:
        directory = f"{MACHINE}/{kernel}"
        self.put(
            f"efi/loader/entries/{MACHINE}-{kernel}.conf",
            f"title Debian\nversion {kernel}\nmachine-id {MACHINE}\noptions {LINE}\n"
            f"linux /{directory}/linux\ninitrd /{directory}/microcode\ninitrd /{directory}/initrd.img-{kernel}\n",
        )
        self.put(f"efi/{directory}/initrd.img-{kernel}", self.pack(kernel))
        return f"/efi/{directory}/initrd.img-{kernel}"

    def unified(self, kernel: str, **sections: bytes) -> str:
        path = f"efi/EFI/Linux/{MACHINE}-{kernel}.efi"
        self.put(path, unified_image(kernel, LINE, **{"initrd": self.pack(kernel), **sections}))
        set_loader_variable(self.base, "StubInfo", "systemd-stub 257.13")
        return f"/{path}"

    def kept(self, *kernels: str) -> list[str]:
        return [f"/boot/initrd.img-{kernel}" for kernel in kernels] if self.keeps else []

    def holds(self, path: str) -> bool:
        return TABLE in read_image(self.root, self.run, path).names


@pytest.fixture(autouse=True)
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    paths: list[str] = []
    monkeypatch.setattr(rebuild, "sync_boot_filesystem", paths.append)
    return paths


@pytest.fixture(params=[True, False], ids=["copies", "made in place"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> EspHost:
    return EspHost(tmp_path, request.param)


@pytest.mark.parametrize("layout", ["type1", "unified"])
def test_what_boots_is_what_is_proven(host: EspHost, layout: str, synced: list[str]) -> None:
    put: t.Callable[[str], str] = getattr(host, layout)
    places = [put(OLD), put(NEW)]
    before = {path: host.read(path) for path in places}
    host.hold()
    foretold = host.call(check=True)
    assert {path: host.read(path) for path in places} == before
    done = host.call()
    assert host.rebuilt(foretold) == host.rebuilt(done) == [*host.kept(OLD, NEW), *places]
    assert all(host.holds(path) for path in places)
    assert str(host.base / "efi") in synced
    # One image for each kernel, however many places it goes to.
    assert len([command for command in host.commands if "dracut" in command]) == 2
    assert not host.call().changed

    host.let_go()
    assert host.rebuilt(host.call()) == [*host.kept(OLD, NEW), *places]
    # A unified image comes back with the stub of today and the content of before.
    assert not any(host.holds(path) for path in places)
    if layout == "type1":
        assert {path: host.read(path) for path in places} == before
    assert not (host.base / LEDGER_PATH.lstrip("/")).exists()
    assert host.leftovers == []
    assert list((host.base / "var/tmp").iterdir()) == []


def test_a_copy_that_somebody_replaced_is_found(host: EspHost) -> None:
    place = host.type1(NEW)
    host.hold()
    host.call()
    host.put(place, archive({"init": b""}))
    assert host.rebuilt(host.call()) == [place]
    assert host.holds(place)


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644)])
def test_an_image_that_only_root_may_read_stays_so_on_its_way(tmp_path: Path, umask: int, mode: int) -> None:
    """The generator makes it so where it holds keys; the one before it did not."""
    host = EspHost(tmp_path)
    place = host.type1(NEW)
    (tmp_path / place.lstrip("/")).chmod(0o644)
    host.hold()
    former = os.umask(umask)
    try:
        host.call()
    finally:
        os.umask(former)
    assert host.holds(place)
    assert (tmp_path / place.lstrip("/")).stat().st_mode & 0o777 == mode


def test_another_systems_entries_and_those_of_another_loader_are_none_of_ours(tmp_path: Path) -> None:
    host = EspHost(tmp_path)
    host.type1(NEW)
    entry = tmp_path / f"efi/loader/entries/{MACHINE}-{NEW}.conf"
    entry.write_text(entry.read_text().replace(MACHINE, "0" * 32, 1))
    host.hold()
    assert host.rebuilt(host.call(check=True)) == host.kept(OLD, NEW)
    entry.write_text(entry.read_text().replace("0" * 32, MACHINE))
    set_loader_variable(tmp_path, "LoaderInfo", "GRUB 2.12")
    assert host.rebuilt(host.call(check=True)) == host.kept(OLD, NEW)


@pytest.mark.parametrize(
    "failure", ["exit status", "another initramfs", "another line", "truncated", "nothing", "empty"]
)
def test_a_unified_image_that_came_out_wrong_never_boots(host: EspHost, failure: str) -> None:
    place = host.unified(NEW)
    before = host.read(place)
    host.hold()
    host.ukify.failure = failure
    with pytest.raises(ToolError):
        host.call()
    assert host.read(place) == before
    assert host.leftovers == []
    assert list((host.base / "var/tmp").iterdir()) == []
    host.ukify.failure = None
    assert place in host.rebuilt(host.call())


def test_a_power_cut_before_the_rename_leaves_the_old_image(host: EspHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies beside it then has a name that no entry loads, and the next run takes it over."""
    place = host.type1(NEW)
    before = host.read(place)
    host.hold()

    class PowerCutError(BaseException):
        pass

    def cut(source: str, target: str) -> None:
        if target.endswith(os.path.basename(place)) and "/efi/" in target:
            raise PowerCutError
        renamed(source, target)

    renamed = os.rename
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", cut)
        # No clean-up runs in a power cut.
        patch.setattr(shutil, "rmtree", lambda _path: None)
        patch.setattr(
            "ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.unified_image.remove",
            lambda _path: None,
        )
        with pytest.raises(PowerCutError):
            host.call(kernels=[NEW])
    assert host.read(place) == before
    assert list((host.base / "var/tmp").iterdir()) != []
    host.call(kernels=[NEW])
    assert host.holds(place)
    assert list((host.base / "var/tmp").iterdir()) == []
    assert [path.name for path in (host.base / place.lstrip("/")).parent.iterdir()] == [os.path.basename(place)]


def test_microcode_is_not_lost_on_the_way(tmp_path: Path) -> None:
    host = EspHost(tmp_path)
    place = host.unified(NEW, initrd=archive({MICROCODE: b"m"}) + host.pack(NEW))
    before = host.read(place)
    host.hold()
    with pytest.raises(ToolError, match=f"has {MICROCODE} in its initramfs"):
        host.call()
    assert host.read(place) == before
    host.microcode = {MICROCODE: b"m"}
    host.put(f"boot/initrd.img-{NEW}", host.pack(NEW))
    host.call()
    assert host.holds(place)


def test_secure_boot_without_a_key_stops_before_the_first_build(host: EspHost) -> None:
    host.unified(NEW)
    host.hold()
    set_variable(host.base, "SecureBoot", b"\x01")
    with pytest.raises(RefusedError, match="no key was found"):
        host.call()
    assert host.commands == []
    assert "no key was found" in host.facts()["unified_obstacle"]


def test_a_full_partition_stops_before_the_first_build(host: EspHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.type1(NEW)
    host.hold()
    usage = shutil.disk_usage

    class Full:
        free = 1 << 20

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Full if "/efi/" in path else usage(path))
    with pytest.raises(HostStateError, match=f"/efi/{MACHINE}/{NEW} has 1 MiB free".replace("+", r"\+")):
        host.call()
    assert host.commands == []

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images on Debian 13's EFI system partition, with its real dracut, kernel-install and ukify.

The partition is a file system in memory. Takes about two minutes once the tree is in the cache.
"""

from __future__ import annotations

import shutil
import subprocess
import typing as t

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import read_image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.initramfs import prove_and_rebuild
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import TABLE_PATH
from tests.integration.chroot.conftest import Chroot
from tests.integration.chroot.test_initramfs_chroot import NIC, Module, checksum, vfio_bind
from tests.integration.chroot.test_kernel_install_chroot import LINE, MACHINE, Machine
from tests.unit.plugins.efi_variables import set_loader_variable

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.chroot

TABLE = TABLE_PATH.lstrip("/")


@pytest.fixture(params=["bls", "uki"])
def machine(request: pytest.FixtureRequest, debian13: Chroot) -> Iterator[Machine]:
    base = debian13.base
    # kernel-install writes paths as they are on the file system that holds them.
    (base / "efi").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(base / "efi")], check=True)
    (base / "efi/loader/entries").mkdir(parents=True)
    (base / "efi/loader/loader.conf").write_text("timeout 3\n")
    (base / "etc/machine-id").write_text(f"{MACHINE}\n")
    (base / "etc/kernel/install.conf").write_text(f"layout={request.param}\ninitrd_generator=none\n")
    (base / "etc/kernel/cmdline").write_text(" ".join(LINE) + "\n")
    (base / "proc/cmdline").write_text(" ".join(LINE) + "\n")
    set_loader_variable(base, "LoaderInfo", "systemd-boot 257.13")
    if NIC not in debian13.natives:
        debian13.device(NIC)
    host = Machine(debian13, request.param)
    host.install_kernel(debian13.kernel)
    yield host
    subprocess.run(["umount", str(base / "efi")], check=True)
    (base / "efi").rmdir()
    shutil.rmtree(base / "sys/firmware")
    (base / "etc/kernel/cmdline").unlink()


def initramfs(machine: Machine) -> Result:
    module: t.Any = Module(False, generator="auto", kernels=["all"], require=None, planned_files=None, staged=False)
    return prove_and_rebuild(module, machine.run, root=machine.chroot.root)


def place(machine: Machine) -> Path:
    """The file that the kernel's only entry boots the initramfs from."""
    base, kernel = machine.chroot.base, machine.chroot.kernel
    images = machine.images() or sorted((base / f"efi/{MACHINE}/{kernel}").glob("initrd*"))
    assert len(images) == 1
    return images[0]


def names(machine: Machine) -> tuple[str, ...]:
    path = "/" + str(place(machine).relative_to(machine.chroot.base))
    return read_image(machine.chroot.root, machine.run, path).names


def test_what_boots_is_proven_and_comes_back(machine: Machine) -> None:
    chroot = machine.chroot
    before, line = names(machine), machine.lines()
    vfio_bind(chroot, "present")
    outcome = initramfs(machine)
    path = "/" + str(place(machine).relative_to(chroot.base))
    assert [image["path"] for image in outcome.data["images"]] == [f"/boot/{chroot.image.name}", path]
    assert all("module vfio_pci" in image["proven"] for image in outcome.data["images"])
    assert TABLE in names(machine)
    assert machine.lines() == line
    if machine.layout == "uki":
        assert f"size: {chroot.image.stat().st_size} bytes" in chroot.output("ukify", "inspect", path)
    else:
        assert checksum(place(machine)) == checksum(chroot.image)
    assert not initramfs(machine).changed

    # What the distribution does with the next kernel package keeps it so.
    machine.install_kernel(chroot.kernel)
    assert TABLE in names(machine)
    assert not initramfs(machine).changed

    vfio_bind(chroot, "absent")
    assert initramfs(machine).changed
    assert names(machine) == before
    assert machine.lines() == line


@pytest.mark.parametrize("machine", ["uki"], indirect=True)
def test_a_ukify_that_fails_leaves_what_boots(machine: Machine) -> None:
    chroot = machine.chroot
    before = checksum(place(machine))
    configuration = chroot.base / "etc/kernel/uki.conf"
    configuration.write_text("[UKI]\nSplash=/nowhere.bmp\n")
    vfio_bind(chroot, "present")
    try:
        with pytest.raises(ToolError, match="ended with exit status"):
            initramfs(machine)
        assert checksum(place(machine)) == before
        assert [path.name for path in place(machine).parent.iterdir()] == [place(machine).name]
    finally:
        configuration.unlink()
        vfio_bind(chroot, "absent")
        initramfs(machine)

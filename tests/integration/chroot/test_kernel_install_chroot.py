# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel arguments where Debian 13's real kernel-install makes entry files, or unified images with its real ukify.

The EFI system partition is a directory of the tree. Takes about a minute once the tree is in the cache.
"""

from __future__ import annotations

import dataclasses
import shutil
import typing as t

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.portable_executable import read_pe
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import read_boot_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.writer import (
    ArgumentsChange,
    set_arguments,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import LEDGER_PATH, Ledger, locked
from tests.integration.chroot.conftest import Chroot
from tests.unit.plugins.efi_variables import set_loader_variable

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.chroot

MACHINE = "4098b3f648d74c13b1f04ccfba7798e8"
NEWER = "99.0.0-1-test"
LINE = ["root=/dev/vda2", "ro", "quiet", f"systemd.machine_id={MACHINE}"]


@dataclasses.dataclass(frozen=True)
class Machine:
    """A tree that systemd-boot boots in the given kernel-install layout."""

    chroot: Chroot
    layout: str

    def run(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        """Start a program in the tree, where paths begin at the tree's root."""
        base = str(self.chroot.base)
        there = ["env", f"--chdir={cwd.removeprefix(base)}"] if cwd else []
        return self.chroot.run([*there, *(word.removeprefix(base) for word in argv)])

    def put(self, owner: str, *args: str, check_mode: bool = False) -> ArgumentsChange:
        with locked(self.chroot.root, check_mode) as ledger:
            return set_arguments(self.chroot.root, self.run, ledger, owner, args, check_mode)

    def state(self) -> dict[str, t.Any]:
        return read_boot_state(self.chroot.root, Ledger.read(self.chroot.root))

    def lines(self) -> dict[str, list[str]]:
        return {entry["kernel"]: entry["args"] for entry in self.state()["entries"]}

    def install_kernel(self, release: str) -> None:
        """What the hook of a kernel's package runs; another release is a copy, without modules."""
        for name in ("vmlinuz", "initrd.img"):
            wanted = self.chroot.base / f"boot/{name}-{release}"
            if not wanted.exists():
                shutil.copy(self.chroot.base / f"boot/{name}-{self.chroot.kernel}", wanted)
        self.chroot.output(
            *("env", "BOOT_ROOT=/efi", "kernel-install", "--entry-token=machine-id", "--make-entry-directory=yes"),
            *("add", release, f"/boot/vmlinuz-{release}"),
        )

    def images(self) -> list[Path]:
        return sorted((self.chroot.base / "efi/EFI/Linux").glob("*.efi"))

    def snapshot(self) -> dict[str, bytes]:
        base = self.chroot.base
        ledger = base / LEDGER_PATH.lstrip("/")
        files = [path for top in ("efi", "etc/kernel") for path in (base / top).rglob("*") if path.is_file()]
        return {str(path.relative_to(base)): path.read_bytes() for path in [*files, ledger] if path.exists()}


@pytest.fixture(params=["bls", "uki"])
def machine(request: pytest.FixtureRequest, debian13: Chroot) -> Iterator[Machine]:
    base = debian13.base
    (base / "efi/loader/entries").mkdir(parents=True)
    (base / "efi/loader/loader.conf").write_text("timeout 3\n")
    (base / "etc/machine-id").write_text(f"{MACHINE}\n")
    # The image in /boot is the one that was made there; dracut would make another.
    (base / "etc/kernel/install.conf").write_text(f"layout={request.param}\ninitrd_generator=none\n")
    initrd = f"{MACHINE}\\{debian13.kernel}\\initrd.img-{debian13.kernel}"
    (base / "proc/cmdline").write_text(f"initrd=\\{initrd} {' '.join(LINE)}\n")
    if request.param == "uki":
        set_loader_variable(base, "StubInfo", "systemd-stub 257.13")
    set_loader_variable(base, "LoaderInfo", "systemd-boot 257.13")
    host = Machine(debian13, request.param)
    host.install_kernel(debian13.kernel)
    debian13.commands.clear()
    yield host
    shutil.rmtree(base / "efi")
    shutil.rmtree(base / "sys/firmware")
    for path in (*(base / "boot").glob(f"*-{NEWER}"), base / "etc/kernel/cmdline", base / LEDGER_PATH.lstrip("/")):
        path.unlink(missing_ok=True)


def test_set_install_a_kernel_and_take_away(machine: Machine) -> None:
    before, kernel = machine.snapshot(), machine.chroot.kernel
    assert machine.state()["bootloader"] == {"bls": "systemd-boot", "uki": "unified-kernel"}[machine.layout]
    assert machine.lines() == {kernel: LINE}
    assert not machine.state()["reboot_required"]
    arguments = ["intel_iommu=on", "hugepagesz=1G", "hugepages=4"]

    foretold = machine.put("iommu", *arguments, check_mode=True)
    assert (machine.snapshot(), machine.chroot.commands) == (before, [])
    done = machine.put("iommu", *arguments)
    assert (foretold.changed, foretold.state, foretold.diff) == (True, done.state, done.diff)
    assert machine.lines() == {kernel: [*LINE, *arguments]}
    assert done.state["reboot_required"]
    for path in machine.images():
        image, said = read_pe(str(path)), machine.chroot.output("ukify", "inspect", f"/efi/EFI/Linux/{path.name}")
        assert image is not None
        assert " ".join([*LINE, *arguments]) in said

    machine.chroot.commands.clear()
    assert not machine.put("iommu", *arguments).changed
    assert machine.chroot.commands == []

    machine.install_kernel(NEWER)
    assert machine.lines() == {NEWER: [*LINE, *arguments], kernel: [*LINE, *arguments]}
    again = machine.put("iommu", *arguments)
    assert not again.changed
    assert [entry["kernel"] for entry in again.state["entries"] if entry["default"]] == [NEWER]

    machine.put("iommu")
    assert machine.lines() == {NEWER: LINE, kernel: LINE}
    # The newer kernel is there now; everything else is as it was, to the byte.
    after = {path: data for path, data in machine.snapshot().items() if NEWER not in path}
    assert after == before


@pytest.mark.parametrize("machine", ["uki"], indirect=True)
def test_a_failing_ukify_leaves_every_byte(machine: Machine) -> None:
    before = machine.snapshot()
    configuration = machine.chroot.base / "etc/kernel/uki.conf"
    try:
        for text, reason in (
            ("[UKI]\nSplash=/nowhere.bmp\n", "ended with exit status"),
            ("[UKI]\nInitrd=/etc/hostname\n", "another content of .initrd"),
        ):
            (machine.chroot.base / "etc/hostname").write_text("more\n")
            configuration.write_text(text)
            with pytest.raises(ToolError, match=reason):
                machine.put("iommu", "intel_iommu=on")
            configuration.unlink()
            assert machine.snapshot() == before
            assert not list((machine.chroot.base / "var/tmp").glob("virtfleet-*"))
    finally:
        configuration.unlink(missing_ok=True)


def test_the_tools_are_the_distributions(machine: Machine) -> None:
    changed = machine.run(["dpkg", "--verify", "systemd", "systemd-ukify", "systemd-boot", "systemd-boot-efi"]).stdout
    assert [line for line in changed.splitlines() if "/usr/share/" not in line] == []

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel arguments through the real grub-mkconfig and its scripts, with two kernels, and back.

One program is a stand-in: ``grub-probe``, because a tree has no disk of its own. It is the one of Molecule's
container scenario. Takes half a minute once the trees are in the cache.
"""

from __future__ import annotations

import dataclasses
import shutil
import typing as t
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import read_boot_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.writer import (
    ArgumentsChange,
    set_arguments,
    set_owners,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError, ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import LEDGER_PATH, Ledger, locked
from tests.integration.chroot.conftest import Chroot

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

pytestmark = pytest.mark.chroot

GRUB_PROBE = Path(__file__).resolve().parents[3] / "molecule/container/grub-probe"
OLDER, NEWER = "5.10.0-1-test", "99.0.0-1-test"
# As an administrator writes it: blanks, quotes and a dollar sign that must reach the kernel.
FOREIGN = r"""
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200n8"
GRUB_CMDLINE_LINUX_DEFAULT="quiet dyndbg=\"module vfio_pci +p\" odd='a\$b' mitigations=off"
"""
START = ["root=/dev/vda2", "ro"]
EVERYWHERE = ["console=tty0", "console=ttyS0,115200n8"]
NORMAL = [*START, *EVERYWHERE, "quiet", '"dyndbg=module vfio_pci +p"', "odd=a$b", "mitigations=off"]
# Debian 13 leaves out the microcode loader there.
RECOVERY = {"debian12": [*START, "single", *EVERYWHERE], "debian13": [*START, "single", "dis_ucode_ldr", *EVERYWHERE]}


@dataclasses.dataclass(frozen=True)
class Grub:
    """A tree that GRUB boots, with two kernels."""

    chroot: Chroot

    def run(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        """Start a program in the tree, where paths begin at the tree's root."""
        return self.chroot.run([word.removeprefix(str(self.chroot.base)) for word in argv])

    def put(self, owner: str, *args: str, check_mode: bool = False) -> ArgumentsChange:
        with locked(self.chroot.root, check_mode) as ledger:
            return set_arguments(self.chroot.root, self.run, ledger, owner, args, check_mode)

    def put_all(self, **owners: Sequence[str]) -> ArgumentsChange:
        with locked(self.chroot.root, False) as ledger:
            return set_owners(self.chroot.root, self.run, ledger, owners, False)

    def install_kernel(self, release: str) -> None:
        """What a kernel's package brings into ``/boot``."""
        for name in ("vmlinuz", "initrd.img"):
            (self.chroot.base / f"boot/{name}-{release}").write_bytes(b"")

    def run_kernel_hook(self, stage: str, release: str) -> None:
        """What dpkg runs after a kernel has come or gone: the distribution's own script."""
        hook = f"/etc/kernel/{stage}.d/zz-update-grub"
        self.chroot.output("env", f"DEB_MAINT_PARAMS={'configure' if stage == 'postinst' else 'remove'}", hook, release)

    def lines(self) -> dict[tuple[str, bool], set[tuple[str, ...]]]:
        """Kernel and whether it is for recovery → the different command lines of its entries."""
        found: dict[tuple[str, bool], set[tuple[str, ...]]] = {}
        for entry in read_boot_state(self.chroot.root, Ledger.read(self.chroot.root))["entries"]:
            found.setdefault((entry["kernel"], entry["rescue"]), set()).add(tuple(entry["args"]))
        return found

    def expected(self, *args: str, kernels: Sequence[str] = ()) -> dict[tuple[str, bool], set[tuple[str, ...]]]:
        normal = {(kernel, False): {(*NORMAL, *args)} for kernel in kernels or self.kernels}
        recovery = tuple(RECOVERY[self.chroot.base.name])
        return normal | {(kernel, True): {recovery} for kernel in kernels or self.kernels}

    @property
    def kernels(self) -> list[str]:
        return [path.name.split("-", 1)[1] for path in (self.chroot.base / "boot").glob("vmlinuz-*")]

    def snapshot(self) -> dict[str, tuple[int, bytes]]:
        """Everything that a change could touch: path → mode and content."""
        base = self.chroot.base
        tops = (base / "boot/grub", base / "etc/default", base / "etc/grub.d", (base / LEDGER_PATH.lstrip("/")).parent)
        paths = [path for top in tops for path in (top, *top.rglob("*")) if path.exists()]
        return {
            str(path.relative_to(base)): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
            for path in paths
        }


@pytest.fixture(params=["debian12", "debian13"])
def grub(request: pytest.FixtureRequest) -> Iterator[Grub]:
    chroot: Chroot = request.getfixturevalue(request.param)
    base = chroot.base
    shutil.copy(GRUB_PROBE, base / "usr/sbin/grub-probe")
    (base / "boot/grub").mkdir(exist_ok=True)
    (base / "etc/default/grub").write_text(f"GRUB_DEFAULT=0\nGRUB_TIMEOUT=1\n{FOREIGN}")
    (base / "proc/cmdline").write_text(" ".join(NORMAL))
    host = Grub(chroot)
    host.install_kernel(OLDER)
    chroot.output("update-grub")
    chroot.commands.clear()
    yield host
    for release in (OLDER, NEWER):
        for path in (base / "boot").glob(f"*-{release}"):
            path.unlink()
    for path in [*(base / "etc/default/grub.d").glob("*virtfleet*"), base / LEDGER_PATH.lstrip("/")]:
        path.unlink(missing_ok=True)


def test_every_entry_but_recovery_and_back_without_a_trace(grub: Grub) -> None:
    before = grub.snapshot()
    assert grub.lines() == grub.expected()
    pairs = ["hugepagesz=1G", "hugepages=4", "hugepagesz=2M", "hugepages=64"]
    # Two blanks, which one more reading by a shell would make one of.
    arguments = ["intel_iommu=on", *pairs, '"dyndbg=module vfio  +p"']

    foretold = grub.put("iommu", *arguments, check_mode=True)
    assert (grub.snapshot(), grub.chroot.commands) == (before, [])

    done = grub.put("iommu", *arguments)
    assert (foretold.changed, foretold.state, foretold.diff) == (True, done.state, done.diff)
    assert grub.lines() == grub.expected(*arguments)
    assert done.state["next_boot"] == [*NORMAL, *arguments]
    assert done.state["reboot_required"]
    # GRUB's own parser: what we wrote is a script that it understands.
    grub.chroot.output("grub-script-check", "/boot/grub/grub.cfg")

    grub.chroot.commands.clear()
    assert not grub.put("iommu", *arguments).changed
    assert grub.chroot.commands == []

    undone = grub.put("iommu")
    assert undone.changed
    assert not undone.state["reboot_required"]
    assert grub.snapshot() == before


def test_owners_keep_to_themselves(grub: Grub) -> None:
    before = grub.snapshot()
    grub.put_all(vfio=["virtfleet_passthrough.generation=1"], iommu=["intel_iommu=on", "iommu=pt"])
    assert sum("grub-mkconfig" in command[0] for command in grub.chroot.commands) == 1
    assert grub.lines() == grub.expected("intel_iommu=on", "iommu=pt", "virtfleet_passthrough.generation=1")
    grub.put("iommu", "intel_iommu=on")
    assert grub.lines() == grub.expected("intel_iommu=on", "virtfleet_passthrough.generation=1")
    grub.put("iommu")
    assert grub.lines() == grub.expected("virtfleet_passthrough.generation=1")
    with pytest.raises(RefusedError, match=r"'mitigations=auto' .* contradicts 'mitigations=off'"):
        grub.put("user", "mitigations=auto")
    grub.put("vfio")
    assert grub.snapshot() == before


def test_a_kernel_that_is_installed_in_between(grub: Grub) -> None:
    present = grub.kernels
    before = grub.snapshot()
    grub.put("iommu", "intel_iommu=on")

    grub.install_kernel(NEWER)
    grub.run_kernel_hook("postinst", NEWER)
    assert grub.lines() == grub.expected("intel_iommu=on", kernels=[*present, NEWER])
    again = grub.put("iommu", "intel_iommu=on")
    assert not again.changed
    assert next(entry["kernel"] for entry in again.state["entries"] if entry["default"]) == NEWER

    # Without its hook: a change of ours brings it into the menu, with all that the others have.
    grub.install_kernel("98.0.0-1-test")
    try:
        assert grub.put("iommu", "intel_iommu=on", "iommu=pt").changed
        every = [*present, NEWER, "98.0.0-1-test"]
        assert grub.lines() == grub.expected("intel_iommu=on", "iommu=pt", kernels=every)
    finally:
        for path in (grub.chroot.base / "boot").glob("*-98.0.0-1-test"):
            path.unlink()

    for path in (grub.chroot.base / "boot").glob(f"*-{NEWER}"):
        path.unlink()
    grub.run_kernel_hook("postrm", NEWER)
    grub.put("iommu")
    assert grub.snapshot() == before


def _break_a_script(grub: Grub) -> None:
    script = grub.chroot.base / "etc/grub.d/11_broken"
    script.write_text("#!/bin/sh\necho 'menuentry half {'\necho 'this script is broken' >&2\nexit 3\n")
    script.chmod(0o755)


def _edit_defaults(grub: Grub) -> None:
    with (grub.chroot.base / "etc/default/grub").open("a") as stream:
        stream.write('GRUB_CMDLINE_LINUX_DEFAULT="splash"\n')


def _break_defaults(grub: Grub) -> None:
    (grub.chroot.base / "etc/default/grub.d/50-broken.cfg").write_text('GRUB_CMDLINE_LINUX="never closed\n')


@pytest.mark.parametrize(
    ("disturb", "reason"),
    [
        (_break_a_script, "this script is broken"),
        (_edit_defaults, "update-grub not run since"),
        (_break_defaults, "ended with exit status"),
    ],
)
def test_what_fails_leaves_every_byte(grub: Grub, disturb: Callable[[Grub], None], reason: str) -> None:
    grub.put("vfio", "virtfleet_passthrough.generation=1")
    disturb(grub)
    before = grub.snapshot()
    try:
        for change in (["intel_iommu=on"], []):
            with pytest.raises(ToolError, match=reason):
                grub.put("iommu" if change else "vfio", *change)
            assert grub.snapshot() == before
    finally:
        for path in ("etc/grub.d/11_broken", "etc/default/grub.d/50-broken.cfg"):
            (grub.chroot.base / path).unlink(missing_ok=True)


def test_the_stand_in_is_the_only_one(grub: Grub) -> None:
    """What is tested is the distribution's: its checksums say so."""
    changed = grub.run(["dpkg", "--verify", "grub-common", "grub2-common"]).stdout.splitlines()
    assert [line.split()[-1] for line in changed if "/usr/share/doc" not in line and "/usr/share/man" not in line] == [
        "/usr/sbin/grub-probe"
    ]
    assert (grub.chroot.base / "usr/sbin/grub-mkconfig").is_file()

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A trial through the real grub-mkconfig, grub-editenv and grub-script-check, and with systemd's reading of the units.

One program is a stand-in: ``grub-probe``, because a tree has no disk of its own. The boots in between are written down
as they are on a machine: GRUB clears ``next_entry`` and the kernel shows the line of its entry.
"""

from __future__ import annotations

import dataclasses
import shutil
import typing as t
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import deadline
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.arm import Armed, Request, arm
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.end import commit, roll_back
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.interface import ENTRY_NAME
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.parameters import without_trial
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.status import read_status
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import find_loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from tests.integration.chroot.conftest import Chroot

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.chroot

GRUB_PROBE = Path(__file__).resolve().parents[3] / "molecule/container/grub-probe"
# Words with blanks, quotes and a dollar sign must reach the kernel of the trial as well.
FOREIGN = r"""
GRUB_DEFAULT=0
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200n8"
GRUB_CMDLINE_LINUX_DEFAULT="quiet dyndbg=\"module vfio_pci +p\" odd='a\$b' mitigations=off"
"""
NORMAL = ["root=/dev/vda2", "ro", "console=tty0", "console=ttyS0,115200n8", "quiet", '"dyndbg=module vfio_pci +p"']
NORMAL += ["odd=a$b", "mitigations=off"]
NEW = "var/tmp/new.img"
MOUNT = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"


@dataclasses.dataclass(frozen=True)
class Machine:
    """A tree that GRUB boots."""

    chroot: Chroot

    def run(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        return self.chroot.run([word.removeprefix(str(self.chroot.base)) for word in argv])

    def environment(self) -> set[str]:
        return set(self.chroot.output("grub-editenv", "/boot/grub/grubenv", "list").split())

    def boot(self, line: Sequence[str], number: int) -> None:
        if f"next_entry={ENTRY_NAME}" in self.environment():
            self.chroot.output("grub-editenv", "/boot/grub/grubenv", "set", "next_entry=")
        self.chroot.boot(f"BOOT_IMAGE=/boot/vmlinuz-{self.chroot.kernel} {' '.join(line)}")
        self.chroot.write("/proc/sys/kernel/random/boot_id", f"boot-{number}\n")

    def arm(self, **images: str) -> Armed:
        request = Request({"iommu": ["intel_iommu=on"]}, images, watchdog="off")
        with locked(self.chroot.root) as ledger:
            return arm(self.chroot.root, self.run, ledger, request, False)

    def commit(self) -> None:
        with locked(self.chroot.root) as ledger:
            commit(self.chroot.root, self.run, ledger, False)

    def roll_back(self) -> None:
        with locked(self.chroot.root) as ledger:
            roll_back(self.chroot.root, self.run, ledger, False)

    @property
    def state(self) -> str:
        return read_status(self.chroot.root, Ledger.read(self.chroot.root)).state

    def lines(self) -> list[list[str]]:
        return [list(entry.args) for entry in find_loader(self.chroot.root).entries() if not entry.rescue]

    def snapshot(self) -> dict[str, tuple[int, bytes]]:
        """Everything that a trial could touch: path → mode and content."""
        base = self.chroot.base
        tops = (base / "boot", base / "etc/default", base / "etc/systemd", base / "var/lib/virtfleet-passthrough")
        paths = [path for top in tops for path in (top, *top.rglob("*")) if path.is_file()]
        return {str(path.relative_to(base)): (path.stat().st_mode, path.read_bytes()) for path in paths}


def prepared(chroot: Chroot) -> Machine:
    base = chroot.base
    shutil.copy(GRUB_PROBE, base / "usr/sbin/grub-probe")
    (base / "boot/grub").mkdir(exist_ok=True)
    (base / "etc/default/grub").write_text(FOREIGN)
    chroot.write("/proc/self/mountinfo", MOUNT)
    found = Machine(chroot)
    chroot.output("grub-editenv", "/boot/grub/grubenv", "create")
    chroot.output("grub-editenv", "/boot/grub/grubenv", "set", "saved_entry=0")
    found.boot(NORMAL, 1)
    chroot.output("update-grub")
    return found


@pytest.fixture(params=["debian12", "debian13"])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    found = prepared(request.getfixturevalue(request.param))
    yield found
    found.roll_back()
    shutil.rmtree(found.chroot.base / "var/lib/virtfleet-passthrough", ignore_errors=True)


def test_grub_is_told_to_boot_an_entry_that_it_understands_and_only_once(machine: Machine) -> None:
    before = machine.snapshot()
    armed = machine.arm()
    assert machine.state == "armed"
    assert f"next_entry={ENTRY_NAME}" in machine.environment()
    assert "saved_entry=0" in machine.environment()
    machine.chroot.output("grub-script-check", "/boot/grub/custom.cfg")
    assert without_trial(armed.record.line) == [*NORMAL, "panic=15", "intel_iommu=on"]
    text = (machine.chroot.base / "boot/grub/custom.cfg").read_text()
    assert "set fallback=0" in text
    assert "search --no-floppy" in text
    machine.boot(armed.record.line, 2)
    assert machine.state == "trying"
    machine.boot([*NORMAL, "panic=15"], 3)
    assert machine.state == "rolled_back"
    machine.roll_back()
    assert machine.snapshot() == before


def test_a_commit_is_what_a_later_update_grub_makes_as_well(machine: Machine) -> None:
    base, kernel = machine.chroot.base, machine.chroot.kernel
    image = machine.chroot.image.read_bytes()
    (base / NEW).write_bytes(image + bytes(512))
    armed = machine.arm(**{kernel: f"/{NEW}"})
    assert machine.chroot.image.read_bytes() == image
    # No tool of the distribution may take the second image for a kernel's.
    machine.chroot.output("update-grub")
    assert "virtfleet-passthrough-trial.img" not in (base / "boot/grub/grub.cfg").read_text()
    machine.boot(armed.record.line, 2)
    machine.commit()
    assert machine.state == "committed"
    assert machine.chroot.image.read_bytes() == image + bytes(512)
    assert machine.lines()[0] == [*NORMAL, "panic=15", "intel_iommu=on"]
    lines = machine.lines()
    machine.chroot.output("update-grub")
    assert machine.lines() == lines
    assert "next_entry" not in " ".join(machine.environment())
    assert not (base / deadline.TIMER_PATH.lstrip("/")).exists()
    machine.chroot.image.write_bytes(image)
    (base / "etc/default/grub.d/zz-virtfleet-passthrough.cfg").unlink()


def test_what_grub_probe_says_of_layers_is_heeded(machine: Machine) -> None:
    probe = machine.chroot.base / "usr/sbin/grub-probe"
    probe.write_text('#!/bin/sh\ncase "$*" in *abstraction*) echo "diskfilter mdraid1x" ;; *) exit 1 ;; esac\n')
    with pytest.raises(RefusedError, match="mdraid1x"):
        machine.arm()


def test_systemd_understands_the_units(machine: Machine) -> None:
    if machine.chroot.run(["systemd-analyze", "--version"]).rc != 0:
        # Debian 12's tree has no systemd; the texts are the same.
        assert machine.chroot.base.name == "debian12"
        return
    machine.arm()
    units = [deadline.TIMER_PATH, deadline.SERVICE_PATH]
    done = machine.chroot.run(["systemd-analyze", "verify", "--man=no", *units])
    assert "virtfleet" not in done.stderr, done.stderr

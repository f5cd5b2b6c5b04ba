# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tree that GRUB boots and in which a trial is armed, booted, committed or lost.

Stand-ins for ``grub-mkconfig`` and ``grub-editenv`` read and write the files of the real ones, which run in the chroot
tests. ``boot`` does what GRUB does with the environment block and the menu.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _held_back
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.arm import Armed, Request, arm
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.bmc_script import SCRIPT_PATH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.end import Committed, commit, roll_back
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.status import Status, read_status
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_menu import (
    MenuEntry,
    default_entry,
    parse_environment,
    parse_menu,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile
from tests.unit.plugins.module_utils._cmdline.grub_host import ENTRY, GrubHost

HEADER = """\
if [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi
"""
CUSTOM = """\
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
fi
"""
ARGS = ["intel_iommu=on"]
OLD_IMAGE = b"old initramfs"
NEW_IMAGE = b"new initramfs"
KERNELS = ("6.12", "6.1")
MOUNT = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"


def environment(variables: Mapping[str, str]) -> bytes:
    """A block of 1024 bytes (grub-core/lib/envblk.c)."""
    text = "# GRUB Environment Block\n" + "".join(f"{name}={value}\n" for name, value in variables.items())
    return text.encode().ljust(1024, b"#")


class TrialHost(GrubHost):
    """``fail`` names a program that ends badly."""

    def __init__(self, base: Path) -> None:
        super().__init__(base)
        self.fail: str | None = None
        self.boots = 0
        # What the controller of the machine was asked to do.
        self.bmc: list[str] = []
        for kernel in KERNELS:
            (base / f"boot/vmlinuz-{kernel}").write_bytes(b"kernel " + kernel.encode())
            (base / f"boot/initrd.img-{kernel}").write_bytes(OLD_IMAGE)
        self.environment.write_bytes(environment({"saved_entry": "0"}))
        for path in ("usr/bin/grub-editenv", "usr/sbin/mkinitramfs", "proc/self/mountinfo"):
            (base / path).parent.mkdir(parents=True, exist_ok=True)
            (base / path).write_text("")
        (base / "proc/self/mountinfo").write_text(MOUNT)
        (base / "var/tmp").mkdir(parents=True)
        self.configuration.chmod(0o644)
        self.configuration.write_text(self.generate())
        self.boot()

    @property
    def environment(self) -> Path:
        return self.base / "boot/grub/grubenv"

    @property
    def custom(self) -> Path:
        return self.base / "boot/grub/custom.cfg"

    def generate(self) -> str:
        everywhere = self._variable("GRUB_CMDLINE_LINUX")
        normal = f"{everywhere} {self._variable('GRUB_CMDLINE_LINUX_DEFAULT')}"
        entries = [
            ENTRY.format(
                title=f"Debian, {kernel}", kernel=kernel, args=f"{normal}\n\tinitrd\t/boot/initrd.img-{kernel}"
            )
            for kernel in KERNELS
        ]
        return HEADER + "".join(entries) + CUSTOM

    def run(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        if self.fail is not None and self.fail in argv[0]:
            return CommandResult(tuple(argv), 1, "", "sad")
        if str(self.base / SCRIPT_PATH.lstrip("/")) in argv:
            assert (self.base / SCRIPT_PATH.lstrip("/")).exists()
            self.bmc.append(argv[-1])
            return CommandResult(tuple(argv), 0, "", "")
        if argv[0] == "/usr/bin/grub-editenv":
            self._edit(Path(argv[1]), argv[2], argv[3])
            return CommandResult(tuple(argv), 0, "", "")
        return super().run(argv, cwd)

    def _edit(self, path: Path, command: str, what: str) -> None:
        variables = parse_environment(path.read_text())
        name, _equals, value = what.partition("=")
        variables.pop(name, None)
        path.write_bytes(environment({**variables, name: value} if command == "set" else variables))

    def boot(self, *, lost: bool = False) -> MenuEntry:
        """Start the machine; ``lost`` starts it again because the first boot ended in a panic."""
        variables = parse_environment(self.environment.read_text())
        text = self.configuration.read_text()
        if self.custom.exists():
            text = text.replace("source ${config_directory}/custom.cfg\n", self.custom.read_text())
        entry = default_entry(parse_menu(text, variables))
        assert entry is not None
        if variables.get("next_entry"):
            self.environment.write_bytes(environment({**variables, "next_entry": ""}))
        if lost:
            return self.boot()
        self.boots += 1
        self._start(entry)
        return entry

    def _start(self, entry: MenuEntry) -> None:
        # What cannot be loaded would leave the machine at GRUB's prompt.
        assert (self.base / (entry.kernel_path or "").lstrip("/")).read_bytes()
        assert (self.base / (entry.initrd or "").lstrip("/")).read_bytes()
        line = " ".join(entry.args)
        (self.base / "proc/cmdline").write_text(f"BOOT_IMAGE={entry.kernel_path} {line}\n")
        boot_id = self.base / "proc/sys/kernel/random/boot_id"
        boot_id.parent.mkdir(parents=True, exist_ok=True)
        boot_id.write_text(f"boot-{self.boots}\n")

    def image(self, kernel: str = KERNELS[0]) -> bytes:
        return (self.base / f"boot/initrd.img-{kernel}").read_bytes()

    def stage(self, where: str = "boot/staged.img", content: bytes = NEW_IMAGE) -> str:
        (self.base / where).write_bytes(content)
        return f"/{where}"

    def request(self, **other: Any) -> Request:
        return dataclasses.replace(Request({"iommu": ARGS}, {}, watchdog="off"), **other)

    def arm(self, request: Request | None = None, *, check_mode: bool = False) -> Armed:
        with locked(self.root, check_mode) as ledger:
            return arm(self.root, self.run, ledger, request or self.request(), check_mode)

    def hold_back(self, *files: OwnedFile, trial_first: bool = True) -> None:
        """What the module ``vfio_options`` does with its files."""
        with locked(self.root) as ledger:
            _held_back.write(self.root, ledger, "vfio_options", files, trial_first)

    def commit(self, *, check_mode: bool = False) -> Committed:
        with locked(self.root, check_mode) as ledger:
            return commit(self.root, self.run, ledger, check_mode)

    def roll_back(self, *, check_mode: bool = False) -> bool:
        """Whether there was anything to take away."""
        with locked(self.root, check_mode) as ledger:
            status, _diff = roll_back(self.root, self.run, ledger, check_mode)
            return status.record is not None

    def status(self) -> Status:
        return read_status(self.root, Ledger.read(self.root))

    @property
    def state(self) -> str:
        return self.status().state

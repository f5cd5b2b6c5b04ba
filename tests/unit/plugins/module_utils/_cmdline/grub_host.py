# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tree that GRUB boots, with a stand-in for grub-mkconfig that reads the same files as the real one.

The real tool runs in the chroot and lab tests; this one can fail in every way that a tool fails.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import read_boot_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.writer import (
    ArgumentsChange,
    set_arguments,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked

DEFAULTS = """GRUB_CMDLINE_LINUX_DEFAULT="quiet mitigations=off"
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200n8"
"""
NORMAL = "root=/dev/vda2 ro console=tty0 console=ttyS0,115200n8 quiet mitigations=off"
RECOVERY = "root=/dev/vda2 ro single console=tty0 console=ttyS0,115200n8"
ENTRY = (
    "menuentry '{title}' $menuentry_id_option '{title}' {{\n"
    "\tlinux\t/boot/vmlinuz-{kernel} root=/dev/vda2 ro {args}\n}}\n"
)


class GrubHost:
    """A root with two kernels whose ``grub-mkconfig`` sources the defaults in a real shell."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = Root(str(base))
        self.failure: str | None = None
        self.runs = 0
        for directory in ("boot/grub", "etc/default/grub.d", "usr/sbin", "proc", "run"):
            (base / directory).mkdir(parents=True)
        (base / "usr/sbin/grub-mkconfig").write_text("")
        (base / "etc/default/grub").write_text(DEFAULTS)
        self.configuration.write_text(self.generate())
        self.configuration.chmod(0o444)
        (base / "proc/cmdline").write_text(
            "BOOT_IMAGE=/boot/vmlinuz-6.12 root=/dev/vda2 ro console=tty0 console=ttyS0,115200n8 quiet "
            "mitigations=off\n"
        )

    @property
    def configuration(self) -> Path:
        return self.base / "boot/grub/grub.cfg"

    def _variable(self, name: str) -> str:
        files = [self.base / "etc/default/grub", *sorted((self.base / "etc/default/grub.d").glob("*.cfg"))]
        script = "".join(f". {file}\n" for file in files) + f'printf %s "${name}"'
        return subprocess.run(["sh", "-uc", script], capture_output=True, text=True, check=True).stdout

    def generate(self) -> str:
        everywhere = self._variable("GRUB_CMDLINE_LINUX")
        normal = f"{everywhere} {self._variable('GRUB_CMDLINE_LINUX_DEFAULT')}"
        return (
            'set default="0"\n'
            + ENTRY.format(title="Debian", kernel="6.12", args=normal)
            + ENTRY.format(title="Debian, 6.1", kernel="6.1", args=normal)
            + ENTRY.format(title="Debian, 6.1 (recovery mode)", kernel="6.1", args=f"single {everywhere}")
        )

    def run(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        self.runs += 1
        assert list(argv[:2]) == ["/usr/sbin/grub-mkconfig", "-o"]
        output = Path(argv[2])
        assert output != self.configuration
        text = self.generate()
        if self.failure == "empty":
            text = ""
        elif self.failure == "truncated":
            text = text[: len(text) // 2]
        elif self.failure == "other arguments":
            text = text.replace("quiet", "quiet splash")
        elif self.failure == "full disk":
            text = text[:-20]
        if self.failure != "nothing written":
            output.write_text(text)
        if self.failure == "full disk":
            return CommandResult(tuple(argv), 1, "", "cat: write error: No space left on device")
        return CommandResult(tuple(argv), 1 if self.failure == "exit status" else 0, "", "sad")

    def set(self, owner: str, *args: str, check_mode: bool = False) -> ArgumentsChange:
        with locked(self.root, check_mode) as ledger:
            return set_arguments(self.root, self.run, ledger, owner, args, check_mode)

    def lines(self) -> list[str]:
        entries = read_boot_state(self.root, Ledger.read(self.root))["entries"]
        return [" ".join(entry["args"]) for entry in entries]

    def snapshot(self) -> dict[str, bytes]:
        files = (path for path in self.base.rglob("*") if path.is_file() and path.name != "virtfleet-passthrough.lock")
        return {str(path.relative_to(self.base)): path.read_bytes() for path in files}

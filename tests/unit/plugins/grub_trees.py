# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recorded boot configurations to write into, and stand-ins for the tools that read and generate them.

A stand-in checks its arguments, reads the files that the real tool reads, changes what the real one changes, and
can fail in every way that a tool fails.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import find_loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from tests.unit.plugins.boot_trees import RecordedTree


class GrubTree(RecordedTree):
    """A recorded tree with GRUB, and with ``tool`` installed."""

    tool = ""

    def __init__(self, base: Path, recorded: str) -> None:
        super().__init__(base, recorded)
        self.failure: str | None = None
        self.runs = 0
        self.write(self.tool, "")

    def write(self, path: str, text: str) -> Path:
        target = self.base / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def read(self, path: str) -> str:
        return (self.base / path.lstrip("/")).read_text()

    def change(self, path: str, old: str, new: str) -> None:
        text = self.read(path)
        assert old in text
        self.write(path, text.replace(old, new))

    def entries(self) -> tuple[Entry, ...]:
        return find_loader(self.root).entries()

    def lines(self) -> dict[str, str]:
        return {entry.title: " ".join(entry.args) for entry in self.entries()}

    def next_boot(self) -> Entry:
        (chosen,) = [entry for entry in self.entries() if entry.default]
        return chosen

    def shell_variable(self, name: str) -> str:
        """As the distribution's scripts get it from ``/etc/default/grub``."""
        script = f'. {self.base}/etc/default/grub; printf %s "${name}"'
        return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout


class GrubbyTree(GrubTree):
    """A host with ``grubby`` (the script ``grubby-bls``) and ``20-grub.install``."""

    tool = "usr/sbin/grubby"
    directory = "boot/loader/entries"

    def run(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        self.runs += 1
        tool, directory, *rest = argv
        assert (tool, rest) == ("/usr/sbin/grubby", ["--info=ALL"])
        name, _equals, path = directory.partition("=")
        assert name == "--bls-directory"
        assert Path(path) != self.base / self.directory
        shown = self._info(Path(path))
        if self.failure == "empty":
            shown = ""
        elif self.failure == "truncated":
            shown = shown[: len(shown) // 2]
        elif self.failure == "other arguments":
            shown = shown.replace(" ro ", " rw ").replace('"ro ', '"rw ')
        return CommandResult(tuple(argv), 1 if self.failure == "exit status" else 0, shown, "sad")

    def _info(self, directory: Path) -> str:
        text = ""
        for index, path in enumerate(sorted(directory.glob("*.conf"), reverse=True)):
            words = self._options(path)
            root = next((word for word in words if word.startswith("root=")), None)
            text += f'index={index}\nkernel="/boot{_field(path, "linux")}"\n'
            text += f'args="{" ".join(word for word in words if word != root)}"\n'
            text += f'root="{root[5:]}"\n' if root else ""
            text += f'initrd="/boot{_field(path, "initrd")}"\ntitle="{_field(path, "title")}"\nid="{path.stem}"\n'
        return text

    def _options(self, path: Path) -> list[str]:
        words = _field(path, "options").split()
        environments = [*self.base.glob("boot/grub2/grubenv"), *self.base.glob("boot/efi/EFI/*/grubenv")]
        kernelopts = re.search(r"(?m)^kernelopts=(.*)$", environments[0].read_text())
        if kernelopts is None:
            return words
        return " ".join(kernelopts.group(1) if word == "$kernelopts" else word for word in words).split()

    def update_all(self, argument: str) -> None:
        """``grubby --update-kernel=ALL --args=ARGUMENT`` of somebody else: same names go, blanks are squeezed."""
        name = argument.partition("=")[0]
        for path in (self.base / self.directory).glob("*.conf"):
            kept = [word for word in _field(path, "options").split() if word.partition("=")[0] != name]
            line = f"options {' '.join([*kept, argument])}"
            path.write_text(re.sub(r"(?m)^options.*$", line, path.read_text()))

    def install_kernel(self, version: str) -> str:
        """What ``kernel-install add`` leaves through ``20-grub.install``; gives back the options of the new entry."""
        machine = self.read("etc/machine-id").strip()
        if (self.base / "etc/kernel/cmdline").exists():
            options = " ".join(self.read("etc/kernel/cmdline").split())
        else:
            running = self.read("proc/cmdline").split()
            options = " ".join(word for word in running if not word.startswith(("BOOT_IMAGE=", "initrd=")))
        text = f"title New ({version})\nversion {version}\nlinux /vmlinuz-{version}\ninitrd /initramfs-{version}.img\n"
        self.write(f"{self.directory}/{machine}-{version}.conf", f"{text}options {options}\ngrub_class kernel\n")
        return options

    def mkconfig_before_9_3(self) -> None:
        """``grub2-mkconfig`` as it wrote every entry anew from ``/etc/default/grub``."""
        root = self.next_boot().args[0]
        options = f"{root} ro {self.shell_variable('GRUB_CMDLINE_LINUX')} "
        for path in (self.base / self.directory).glob("*.conf"):
            path.write_text(re.sub(r"(?m)^options.*$", f"options {options}", path.read_text()))
        self.write("etc/kernel/cmdline", f"{options}\n")


class GeneratedTree(GrubTree):
    """A host whose menu is generated from ``/etc/default/grub`` alone, by upstream's script under either name."""

    def __init__(self, base: Path, recorded: str) -> None:
        arch = "arch" in recorded
        self.tool = "usr/bin/grub-mkconfig" if arch else "usr/sbin/grub2-mkconfig"
        self.configuration = f"boot/{'grub' if arch else 'grub2'}/grub.cfg"
        super().__init__(base, recorded)
        self.write(self.tool, "#!/bin/sh\nif test -f ${sysconfdir}/default/grub ; then\n")
        self._recorded = self.read(self.configuration)
        self._before = self._arguments()

    def _arguments(self) -> str:
        both = (self.shell_variable("GRUB_CMDLINE_LINUX"), self.shell_variable("GRUB_CMDLINE_LINUX_DEFAULT"))
        return " ".join(value for value in both if value)

    def run(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        self.runs += 1
        assert list(argv[:2]) == [f"/{self.tool}", "-o"]
        output = Path(argv[2])
        assert output != self.base / self.configuration
        text = self._recorded.replace(self._before, self._arguments())
        if self.failure == "empty":
            text = ""
        elif self.failure == "truncated":
            text = text[: text.index("submenu")]
        elif self.failure == "other arguments":
            text = text.replace("quiet", "verbose")
        output.write_text(text)
        return CommandResult(tuple(argv), 1 if self.failure == "exit status" else 0, "", "sad")


def _field(path: Path, key: str) -> str:
    found = re.search(rf"(?m)^{key}[ \t]+(.*)$", path.read_text())
    return found.group(1) if found else ""

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Per flavour: arguments set, foretold, not set twice, on a kernel that joins, effective after a reboot, taken away."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab import golden, machine
from lab.errors import LabError
from lab.loaders import expected, grub_cfg
from lab.loaders.host import (
    Modules,
    boot_files,
    empty_esp,
    fill_esp,
    grub_cfg_text,
    install_second_kernel,
    kernel_release,
    reboot,
    running_line,
)
from lab.machine import Host
from lab.steps import StepFailedError, differences, step

OWNER = "lab"
# A flag, a parameter that repeats, pairs whose order counts.
ARGUMENTS = (
    "nosoftlockup",
    *("console=tty1", "console=ttyS0,115200n8"),
    *("hugepagesz=2M", "hugepages=8", "hugepagesz=1G", "hugepages=0"),
)
WITH_BLANK = 'lab.words="two words"'
OTHER_ARGUMENTS = (*ARGUMENTS, "audit=0")


@dataclass(frozen=True)
class Loader:
    """What differs between the flavours, as far as this run has to know."""

    name: str
    carries_blanks: bool = False
    menu_on_esp: bool = False

    @property
    def arguments(self) -> tuple[str, ...]:
        return (*ARGUMENTS, WITH_BLANK) if self.carries_blanks else ARGUMENTS


LOADERS: Mapping[str, Loader] = {
    "debian12": Loader("grub", carries_blanks=True),
    "debian13": Loader("grub", carries_blanks=True),
    "debian13-systemd-boot": Loader("systemd-boot", menu_on_esp=True),
    "debian13-unified": Loader("unified-kernel", menu_on_esp=True),
}


def main() -> int:
    options = _parser().parse_args()
    # So that a terminated run ends its host as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    for flavour in options.flavours or LOADERS:
        begun = time.monotonic()
        try:
            golden.ensure(flavour)
            with machine.running("loaders", "plain", flavour) as host:
                Proof(host, LOADERS[flavour]).run()
        except (StepFailedError, LabError) as error:
            print(f"\nLOADERS FAILED on {flavour} at {error}", file=sys.stderr)
            return 1
        print(f"\nLOADERS PASSED on {flavour} in {time.monotonic() - begun:.0f} s", flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab.loaders", description="Kernel arguments on real boot loaders.")
    parser.add_argument(
        "--flavour",
        dest="flavours",
        action="append",
        choices=list(LOADERS),
        help="the host's image; may be given several times (default: all)",
    )
    return parser


@dataclass
class Proof:
    """One host's way from untouched to untouched; every step raises :class:`StepFailedError`."""

    host: Host
    loader: Loader
    modules: Modules = field(init=False)

    def __post_init__(self) -> None:
        self.modules = Modules(self.host)

    def run(self) -> None:
        with step("1", "remember what boots the host", "25 s"):
            files, menu, kernel = self._remember()
        with step("2", "set: check mode foretells the diff and writes nothing", "40 s to 2 min"):
            changed = self._set(files)
        with step("3", "set again: nothing changes", "15 s"):
            self._set_again(changed)
        with step("4", "a second kernel joins before the reboot", "2 to 3 min"):
            joined = self._second_kernel()
        with step("5", "reboot: the arguments are effective", "90 s"):
            self._reboot_into(joined)
        if self.loader.menu_on_esp:
            with step("6", "a full EFI system partition: the change fails, everything stays", "45 s"):
                self._full_esp()
        with step("7", "take them away, reboot", "80 s to 2 min"):
            self._take_away()
        with step("8", "compare with what was there", "10 s"):
            self._compare(files, menu, kernel, joined)

    def _remember(self) -> tuple[dict[str, str], str, str]:
        state = self.modules.info()
        if state["bootloader"] != self.loader.name:
            raise StepFailedError(f"the boot loader is said to be {state['bootloader']}, it is {self.loader.name}")
        expected.check_gone(state, running_line(self.host), self.loader.arguments)
        print(f"    {state['bootloader']}, {len(state['entries'])} entries; next boot: {' '.join(state['next_boot'])}")
        return boot_files(self.host), grub_cfg_text(self.host), kernel_release(self.host)

    def _put(self, arguments: Sequence[str], *switches: str) -> dict[str, Any]:
        return self.modules.succeed("kernel_cmdline", *switches, owner=OWNER, args=list(arguments))

    def _set(self, files: Mapping[str, str]) -> dict[str, str]:
        foretold = self._put(self.loader.arguments, "--check", "--diff")
        expected.check_same("check mode wrote", files, boot_files(self.host))
        done = self._put(self.loader.arguments, "--diff")
        expected.check_foretold(foretold, done)
        for line in _shown(done["diff"]):
            print(f"    {line}")
        expected.check_pending(self.modules.info(), self.loader.arguments)
        after = boot_files(self.host)
        print(f"    on the host: {'; '.join(differences(files, after))}")
        return after

    def _set_again(self, files: Mapping[str, str]) -> None:
        again = self._put(self.loader.arguments, "--diff")
        if again["changed"] or again.get("diff"):
            raise StepFailedError(f"a second run changed something: {again.get('diff')}")
        expected.check_same("a second run", files, boot_files(self.host))

    def _second_kernel(self) -> str:
        joined = install_second_kernel(self.host)
        state = self.modules.info()
        expected.check_pending(state, self.loader.arguments)
        (entry,) = [entry for entry in state["entries"] if entry["default"]]
        if entry["kernel"] != joined:
            raise StepFailedError(f"kernel {joined} was installed, but {entry['kernel']} boots next")
        print(f"    {entry['title']}: {' '.join(entry['args'])}")
        return joined

    def _reboot_into(self, joined: str) -> None:
        took = reboot(self.host)
        line, kernel = running_line(self.host), kernel_release(self.host)
        if kernel != joined:
            raise StepFailedError(f"kernel {kernel} runs, {joined} was to boot")
        expected.check_running(self.modules.info(), line, self.loader.arguments)
        print(f"    {kernel} after {took:.0f} s, /proc/cmdline: {' '.join(line)}")

    def _full_esp(self) -> None:
        before = boot_files(self.host)
        fill_esp(self.host)
        failed = self.modules.run("kernel_cmdline", owner=OWNER, args=list(OTHER_ARGUMENTS))
        empty_esp(self.host)
        if not failed["failed"]:
            raise StepFailedError(f"the change went well: {failed}")
        print(f"    {failed['msg']}")
        expected.check_same("after the failure", before, boot_files(self.host))

    def _take_away(self) -> None:
        done = self.modules.succeed("kernel_cmdline", "--diff", owner=OWNER, state="absent")
        if not done["changed"] or not done["reboot_required"]:
            raise StepFailedError(
                f"changed {done['changed']}, reboot_required {done['reboot_required']}: expected both"
            )
        reboot(self.host)
        state = self.modules.info()
        expected.check_gone(state, running_line(self.host), self.loader.arguments)
        expected.check_alike(state)

    def _compare(self, files: Mapping[str, str], menu: str, kernel: str, joined: str) -> None:
        same = expected.check_restored(files, boot_files(self.host), joined)
        left = grub_cfg.leftovers(menu, grub_cfg_text(self.host), kernel, joined) if menu else []
        if left:
            raise StepFailedError(f"GRUB's menu differs: {'; '.join(left[:20])}")
        print(f"    {same} files are as they were{', and every byte of the menu' if menu else ''}; {joined} stays")


def _shown(diff: Any) -> Iterator[str]:
    """The lines that differ, of every part of a module's diff."""
    for part in diff if isinstance(diff, list) else [diff]:
        name = part.get("after_header") or part.get("before_header")
        before, after = str(part["before"]).splitlines(), str(part["after"]).splitlines()
        yield f"{name}:"
        yield from (f"  - {line}" for line in before if line not in after)
        yield from (f"  + {line}" for line in after if line not in before)


if __name__ == "__main__":
    sys.exit(main())

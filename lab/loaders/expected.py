# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must hold of a module's result and of the files on the host. Pure; each function raises when it does not."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from lab.steps import StepFailedError, differences

Result = Mapping[str, Any]

# Written by the running system or by the package manager when a kernel is installed, none of it a boot entry.
# A seed for the kernel's random numbers, which systemd renews some time after every login is possible.
_BYSTANDERS = frozenset({"/boot/efi/loader/random-seed"})


def has_run(line: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether the tokens ``wanted`` stand one after the other, in their order."""
    return any(list(line[place : place + len(wanted)]) == list(wanted) for place in range(len(line)))


def as_kernel_reads(line: str) -> list[str]:
    """The tokens of a line, without the double quotes around values with blanks; nothing else is special."""
    reader = shlex.shlex(line, posix=True)
    reader.whitespace_split, reader.quotes, reader.escape, reader.commenters = True, '"', "", ""
    return list(reader)


def has_arguments(args: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether a boot entry has ``wanted`` in this order; a loader may move the quotes around a value with blanks."""
    return has_run(as_kernel_reads(" ".join(args)), as_kernel_reads(" ".join(wanted)))


def check_configured(result: Result, arguments: Sequence[str]) -> None:
    """Every entry for the distribution's kernels has the arguments, and the next boot is one of them."""
    without = [
        entry["title"]
        for entry in result["entries"]
        if entry["managed"] and not entry["rescue"] and not has_arguments(entry["args"], arguments)
    ]
    if without:
        raise StepFailedError(f"entries without the arguments: {', '.join(without)}")
    if not has_arguments(result["next_boot"], arguments):
        raise StepFailedError(f"the next boot would not have them: {' '.join(result['next_boot'])}")


def check_pending(result: Result, arguments: Sequence[str]) -> None:
    """Configured, not running, and the module says that a reboot is owed."""
    check_configured(result, arguments)
    if has_arguments(result["running"], arguments):
        raise StepFailedError(f"the running kernel is said to have them before a reboot: {' '.join(result['running'])}")
    if not result["reboot_required"]:
        raise StepFailedError("reboot_required is false before the reboot")


def check_running(result: Result, line: Sequence[str], arguments: Sequence[str]) -> None:
    """``line`` is /proc/cmdline as the kernel reads it."""
    check_configured(result, arguments)
    if not has_run(line, as_kernel_reads(" ".join(arguments))):
        raise StepFailedError(f"/proc/cmdline does not have them in order: {' '.join(line)}")
    check_settled(result)


def check_gone(result: Result, line: Sequence[str], arguments: Sequence[str]) -> None:
    """Neither configured nor running, told by the first argument, which nobody else sets."""
    sign = arguments[0]
    for entry in result["entries"]:
        if sign in entry["args"]:
            raise StepFailedError(f"'{entry['title']}' still has {sign}: {' '.join(entry['args'])}")
    if sign in line:
        raise StepFailedError(f"/proc/cmdline still has {sign}: {' '.join(line)}")
    if result["owners"]:
        raise StepFailedError(f"there are still owners: {result['owners']}")
    check_settled(result)


def check_alike(result: Result) -> None:
    """A kernel that joined while the arguments were there ends with the line of the one that was there before."""
    lines = {" ".join(entry["args"]) for entry in result["entries"] if entry["managed"] and not entry["rescue"]}
    if len(lines) != 1:
        raise StepFailedError(f"kernels have different lines: {'; '.join(sorted(lines))}")


def check_settled(result: Result) -> None:
    if result["reboot_required"] or result["differs"]:
        raise StepFailedError(f"a reboot is said to be required; what differs: {result['differs']}")


def check_same(what: str, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """The same files with the same contents, but for what the host renews by itself."""
    ours, theirs = ({path: files[path] for path in files if path not in _BYSTANDERS} for files in (before, after))
    left = differences(ours, theirs)
    if left:
        raise StepFailedError(f"{what}: {len(left)} files differ: {'; '.join(left[:20])}")


def check_restored(before: Mapping[str, str], after: Mapping[str, str], new_kernel: str) -> int:
    """All files are as before apart from those of the kernel that was installed in between; give their number.

    GRUB's menu is one file for all kernels and is compared by itself (``grub_cfg.py``).
    """
    ours = {path: text for path, text in before.items() if not _passed_over(path, new_kernel)}
    theirs = {path: text for path, text in after.items() if not _passed_over(path, new_kernel)}
    check_same("after everything was taken away", ours, theirs)
    return len(ours)


def _passed_over(path: str, new_kernel: str) -> bool:
    return new_kernel in path or path in _BYSTANDERS or path == "/boot/grub/grub.cfg"


def check_foretold(foretold: Result, done: Result) -> None:
    """Check mode said what the run did."""
    for key in ("changed", "diff", "entries", "next_boot", "reboot_required"):
        if foretold[key] != done[key]:
            raise StepFailedError(f"check mode foretold another {key}: {foretold[key]}, it became {done[key]}")
    if not done["changed"]:
        raise StepFailedError("the arguments were not there, and nothing is said to have changed")

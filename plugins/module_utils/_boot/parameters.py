# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What a boot on trial has on its command line beyond the line that is tried. Pure.

Sources: Documentation/admin-guide/kernel-parameters.txt; ``softlockup_panic`` and ``hung_task_panic`` are aliases of
sysctls (``sysctl_aliases`` in fs/proc/proc_sysctl.c). dracut.cmdline(7): ``rd.emergency`` counts with ``rd.shell=0``
only. initramfs-tools(7): with ``panic=`` its scripts reboot where they would open a shell.
"""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import kernel_part_length

TRIAL_PARAMETER: t.Final = "virtfleet_passthrough.trial"
WATCHDOG_PARAMETER: t.Final = "virtfleet_passthrough.watchdog"

PANIC: t.Final = "panic"
# The owner that gives the default entry ``panic=`` while a trial is armed, and every entry once it is committed:
# without it a panic there would be for ever.
PANIC_OWNER: t.Final = "boot"

# How long dracut looks for the root file system; without a limit it is for ever.
_ROOT_TIMEOUT: t.Final = 180


def trial_arguments(
    identifier: str,
    panic: int,
    deadline: int,
    generators: t.Collection[str],
    watchdog: str | None,
    held_back: t.Sequence[str] = (),
) -> list[str]:
    """The run of tokens between two markers; seconds each. ``watchdog`` is ``MODULE,PARAMETER=SECONDS`` or ``None``,
    ``held_back`` stands for files that a commit puts into place.

    The marker stands at both ends, so that the run can be told from the same parameters of somebody else.
    """
    marker = f"{TRIAL_PARAMETER}={identifier}"
    run = [f"{PANIC}={panic}", "softlockup_panic=1", "hung_task_panic=1"]
    if "dracut" in generators:
        run += ["rd.shell=0", "rd.emergency=reboot", f"rd.timeout={min(deadline, _ROOT_TIMEOUT)}"]
    if watchdog is not None:
        run.append(f"{WATCHDOG_PARAMETER}={watchdog}")
    return [marker, *run, *held_back, marker]


def with_trial(line: t.Sequence[str], run: t.Sequence[str]) -> list[str]:
    """``line`` with ``run`` at the end of the kernel's part: of a parameter given twice the last one counts."""
    end = kernel_part_length(line)
    while end and line[end - 1].startswith("$"):
        end -= 1
    return [*line[:end], *run, *line[end:]]


def without_trial(line: t.Sequence[str]) -> list[str]:
    """``line`` without what belongs to a trial alone: everything from the first marker to the last."""
    marks = [index for index, token in enumerate(line) if _is_marker(token)]
    return [*line[: marks[0]], *line[marks[-1] + 1 :]] if marks else list(line)


def running_trial(line: t.Iterable[str]) -> str | None:
    """The identifier of the trial that a command line belongs to."""
    return next((token.partition("=")[2] for token in line if _is_marker(token)), None)


def _is_marker(token: str) -> bool:
    return token.startswith(f"{TRIAL_PARAMETER}=")

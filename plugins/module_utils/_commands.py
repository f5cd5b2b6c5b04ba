# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Running the distribution's programs, without knowing who starts them.

Library code takes a :class:`Runner`; modules hand in ``AnsibleModule.run_command`` (see
``_module/_runtime.py``), tests hand in recorded or real processes.
"""

from __future__ import annotations

import dataclasses
import shlex
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError


@dataclasses.dataclass(frozen=True)
class CommandResult:
    """What a finished program left: exit status and both outputs as text."""

    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str


class Runner(t.Protocol):
    """Starts one program with ``LC_ALL=C`` and waits for its end; never through a shell."""

    def __call__(self, argv: t.Sequence[str], cwd: str | None = None) -> CommandResult: ...


def run_checked(run: Runner, argv: t.Sequence[str], purpose: str, cwd: str | None = None) -> CommandResult:
    """Run a program and raise :class:`ToolError` with its last words unless it exits with 0."""
    result = run(argv, cwd=cwd)
    if result.rc != 0:
        words = (result.stderr.strip() or result.stdout.strip() or "it printed nothing").splitlines()
        raise ToolError(
            f"{purpose}: '{shlex.join(argv)}' ended with exit status {result.rc}. Its last lines: "
            + " | ".join(words[-5:])
        )
    return result

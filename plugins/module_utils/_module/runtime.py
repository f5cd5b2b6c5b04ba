# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The one place where the library meets ``AnsibleModule``: its programs, its results, its errors."""

from __future__ import annotations

import dataclasses
import errno
import traceback
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult, Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import PassthroughError, RefusedError

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


_ADVICE: t.Mapping[int, str] = {
    errno.ENOSPC: "Make room on that file system and run again",
    errno.EDQUOT: "Make room in that quota and run again",
    errno.EROFS: "The file system is mounted read-only: an error on its disk may be the reason, see the kernel log",
    errno.EIO: "The disk may be failing, see the kernel log",
    errno.EACCES: "Connect as root or set become: true",
    errno.EPERM: "Connect as root or set become: true; a security module may deny it to root too",
}


@dataclasses.dataclass(frozen=True)
class Result:
    """What a module body hands back: ``data`` are the return keys, ``diff`` entries as Ansible prints them."""

    changed: bool = False
    data: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    diff: tuple[t.Mapping[str, t.Any], ...] = ()
    warnings: tuple[str, ...] = ()


def module_runner(module: AnsibleModule) -> Runner:
    """A :class:`Runner` on ``run_command``: argument lists only, ``LC_ALL=C``, no prompts."""

    def run(argv: t.Sequence[str], cwd: str | None = None) -> CommandResult:
        rc, stdout, stderr = module.run_command(
            list(argv), cwd=cwd, environ_update={"LC_ALL": "C", "LANGUAGE": "C", "DEBIAN_FRONTEND": "noninteractive"}
        )
        return CommandResult(tuple(argv), rc, stdout, stderr)

    return run


def system_refusal(exc: OSError) -> str:
    """A system call's failure as a sentence: what it was about, what the system said, what to do if that is known."""
    where = f" at {exc.filename}" if exc.filename else ""
    advice = _ADVICE.get(exc.errno or 0)
    return f"The system stopped this module{where}: {exc.strerror or exc}" + (f". {advice}" if advice else "")


def run_module(module: AnsibleModule, body: t.Callable[[AnsibleModule, Runner], Result]) -> t.NoReturn:
    """Run ``body`` and end the module: with its result, or with the message of its error."""
    try:
        result = body(module, module_runner(module))
    except RefusedError as exc:
        module.fail_json(msg=str(exc), refusals=[{"device": exc.device, "reason": exc.reason, "allow": exc.allow}])
    except PassthroughError as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg=system_refusal(exc), exception=traceback.format_exc())
    for warning in result.warnings:
        module.warn(warning)
    reported: dict[str, t.Any] = {"changed": result.changed, **result.data}
    if result.diff:
        reported["diff"] = [dict(entry) for entry in result.diff]
    module.exit_json(**reported)

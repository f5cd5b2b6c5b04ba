# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the module ``boot_trial`` does."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import record as records
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.arm import Request, arm
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.early_watchdog import release_early_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.end import commit, roll_back
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.record import Record
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.status import last_words_of, read_status
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._held_back import SECTION, drop
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

STATUS: t.Final = "status"
ABSENT: t.Final = "absent"
STATES: t.Final[tuple[str, ...]] = (STATUS, records.ARMED, records.COMMITTED, records.ROLLED_BACK, ABSENT)


def try_boot(module: AnsibleModule, run: Runner, root: Root | None = None) -> Result:
    """Body of ``boot_trial``."""
    root = root or Root()
    wanted: str = module.params["state"]
    if wanted == STATUS:
        return Result(data=_report(root, run, Ledger.read(root)))
    with locked(root, module.check_mode) as ledger:
        if wanted == records.ARMED:
            return _arm(root, run, ledger, module)
        if wanted == records.COMMITTED:
            return _commit(root, run, ledger, module.check_mode)
        rolled_back = _roll_back(root, run, ledger, module.check_mode)
        return _without_traces(root, ledger, module.check_mode, rolled_back) if wanted == ABSENT else rolled_back


def _arm(root: Root, run: Runner, ledger: Ledger, module: AnsibleModule) -> Result:
    params = module.params
    request = Request(
        {str(owner): _strings(owner, args) for owner, args in (params["owners"] or {}).items()},
        {str(kernel): str(path) for kernel, path in (params["images"] or {}).items()},
        params["deadline"],
        params["panic"],
        params["watchdog"],
    )
    armed = arm(root, run, ledger, request, module.check_mode)
    data = {"state": records.ARMED, **_told(armed.record), "stale": [], "last_words": [], "reboot_required": True}
    return Result(armed.changed, data, armed.diff)


def _strings(owner: str, args: t.Any) -> list[str]:
    if not isinstance(args, list):
        raise InputError(f"owners: '{owner}' has {args!r}; expected a list of kernel arguments")
    return [str(argument) for argument in args]


def _commit(root: Root, run: Runner, ledger: Ledger, check_mode: bool) -> Result:
    told = _report(root, run, ledger)
    done = commit(root, run, ledger, check_mode)
    if done.arguments is None:
        return Result(data=told)
    required = bool(done.arguments.state["reboot_required"])
    data = {**told, "state": records.COMMITTED, "reboot_required": required}
    files = (_owned.diff_entry(change) for change in done.files if change.changed)
    return Result(True, data, (*done.arguments.diff, *files), done.warnings)


def _roll_back(root: Root, run: Runner, ledger: Ledger, check_mode: bool) -> Result:
    told = _report(root, run, ledger)
    status, diff = roll_back(root, run, ledger, check_mode)
    if status.record is None:
        return Result(data=told)
    trying = status.state == records.TRYING
    return Result(True, {**told, "state": records.NONE, "reboot_required": trying}, tuple(diff))


def _without_traces(root: Root, ledger: Ledger, check_mode: bool, rolled_back: Result) -> Result:
    """Also without the files that a trial's image starts the watchdog with, which a later trial would want again, and
    without what is held back for its commit."""
    dropped = bool(ledger.section(SECTION)) if check_mode else drop(ledger)
    released = release_early_files(root, ledger, check_mode)
    diff = (*rolled_back.diff, *(_owned.diff_entry(change) for change in released))
    return Result(rolled_back.changed or dropped or bool(released), rolled_back.data, diff, rolled_back.warnings)


def _report(root: Root, run: Runner, ledger: Ledger) -> dict[str, t.Any]:
    status = read_status(root, ledger)
    return {
        "state": status.state,
        **_told(status.record),
        "stale": list(status.stale),
        "last_words": last_words_of(root, run, status),
        "reboot_required": status.reboot_required,
    }


def _told(record: Record | None) -> dict[str, t.Any]:
    """What is said of a trial; nothing but empty fields without one."""
    return {
        "trial": record.identifier if record else None,
        "entry": record.entry if record else None,
        "arguments": list(record.line) if record else [],
        "deadline": record.deadline if record else None,
        "watchdog": record.watchdog.partition(",")[0] if record and record.watchdog else None,
        "bmc_watchdog": bool(record and record.bmc),
        "not_covered": list(record.not_covered) if record else [],
    }

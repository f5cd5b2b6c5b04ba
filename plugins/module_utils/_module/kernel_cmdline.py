# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What ``kernel_cmdline`` and ``kernel_cmdline_info`` do."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot_log import read_kernel_log
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import find_loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import describe
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.unknown import (
    unknown_parameters,
    without_effect,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.writer import set_owners
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def change(module: AnsibleModule, run: Runner) -> Result:
    """Body of ``kernel_cmdline``."""
    root = Root()
    bootloader: str = module.params["bootloader"]
    with locked(root, module.check_mode) as ledger:
        outcome = set_owners(root, run, ledger, _wanted(module.params, ledger), module.check_mode, bootloader)
    state = _with_unknown(root, run, outcome.state)
    warnings = (*outcome.warnings, *_ignored(state))
    return Result(outcome.changed, state, tuple(outcome.diff), warnings)


def _with_unknown(root: Root, run: Runner, state: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {**state, "unknown": unknown_parameters(read_kernel_log(root, run).text, state["running"])}


def _ignored(state: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    for owner, arguments in state["owners"].items():
        for argument in without_effect(state["unknown"], arguments):
            yield f"'{argument}' (set by {owner}): the running kernel reported that it does not know this parameter"


def _wanted(params: t.Mapping[str, t.Any], ledger: Ledger) -> dict[str, list[str]]:
    """Owner to all arguments that it shall have."""
    if params["owners"] is not None:
        if params["args"] or params["state"] != "present":
            raise InputError(
                "owners goes with state=present and without args: an empty list takes an owner's arguments away"
            )
        return {owner: _argument_list(owner, args) for owner, args in params["owners"].items()}
    owner: str = params["owner"]
    args: list[str] = params["args"]
    if params["state"] == "present":
        if not args:
            raise InputError(
                "args is empty: expected at least one kernel argument, or state=absent to take all of the owner's away"
            )
        return {owner: args}
    owned = ledger.section("kernel_args").get(owner, [])
    return {owner: [argument for argument in owned if args and argument not in args]}


def _argument_list(owner: str, args: t.Any) -> list[str]:
    if not isinstance(args, list):
        raise InputError(f"owners: '{owner}' has {args!r}; expected a list of kernel arguments")
    return [str(argument) for argument in args]


def inform(module: AnsibleModule, run: Runner) -> Result:
    """Body of ``kernel_cmdline_info``."""
    root = Root(module.params["root"])
    loader = find_loader(root, module.params["bootloader"])
    state = describe(root, Ledger.read(root).section("kernel_args"), loader.entries(), loader.name)
    return Result(data=_with_unknown(root, run, state))

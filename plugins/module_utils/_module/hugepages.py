# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What ``hugepages`` does."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import running_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages.pages import (
    HugepagesState,
    format_size,
    parse_overcommit,
    parse_requests,
    parse_size,
    read_hugepages,
    resolve,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages.writer import Kernel, Wanted, apply
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def change(module: AnsibleModule, _run: Runner) -> Result:
    """Body of ``hugepages``."""
    root = Root()
    wanted = _wanted(module.params, read_hugepages(root))
    with locked(root, module.check_mode) as ledger:
        outcome = apply(root, Kernel(root), ledger, wanted, running_arguments(root), module.check_mode)
    data = {
        "pools": [dict(pool) for pool in outcome.pools],
        "nodes": _nodes(outcome.state),
        "kernel_args": list(outcome.kernel_args),
        "reboot_required": outcome.reboot_required,
        "transparent_hugepages": outcome.state.transparent,
    }
    return Result(outcome.changed, data, outcome.diff, outcome.warnings)


def _wanted(params: t.Mapping[str, t.Any], state: HugepagesState) -> Wanted:
    absent = params["state"] == "absent"
    requests = parse_requests([] if absent else params["pools"])
    limits = parse_overcommit([] if absent else params["overcommit"])
    size = None if absent else params["default_size"]
    return Wanted(
        pools=None if requests is None else resolve(requests, state, {}),
        overcommit=limits,
        timing=params["timing"],
        reserve_kb=parse_size(params["reserve"], "reserve"),
        default_kb=None if size is None else parse_size(size, "default_size"),
    )


def _nodes(state: HugepagesState) -> list[dict[str, t.Any]]:
    return [
        {
            "node": node.node,
            "memory_mb": node.memory_kb // 1024,
            "remaining_mb": (node.memory_kb - sum(pool.total * pool.size_kb for pool in node.pools)) // 1024,
            "pages": [
                {"size": format_size(pool.size_kb), "total": pool.total, "free": pool.free} for pool in node.pools
            ],
        }
        for node in state.nodes
    ]

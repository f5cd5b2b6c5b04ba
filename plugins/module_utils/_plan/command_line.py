# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the writer would refuse of all components' arguments together, told before the first write. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.block import (
    in_order,
    recorded_blocks,
    with_block,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.carriage import Carriage, cannot_carry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.limits import too_long
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.parameters import (
    conflicts,
    owners_contradict,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.foreign import own_entries
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    DRIFT,
    REFUSED,
    HostState,
    Refusal,
    Verdict,
)


def line_refusals(host: HostState, verdicts: t.Mapping[str, Verdict]) -> dict[str, list[Refusal]]:
    """Refusals by component, of those components whose arguments would be written; a component without any is left
    out.

    One that is refused already counts as well, so that all reasons are on the table at once.
    """
    if host.boot["bootloader"] is None:
        return {}
    written: dict[str, list[str]] = host.ledger.section("kernel_args")
    asked = {
        name: list(verdict.apply["kernel_args"])
        for name, verdict in verdicts.items()
        if verdict.status in (DRIFT, REFUSED) and "kernel_args" in verdict.apply
    }
    owners = {**written, **asked}
    crowding = list(_long_lines(host, owners))
    found = {
        name: [Refusal(None, reason) for reason in (*_not_carried(host, name, args), *_contradicted(name, owners))]
        for name, args in asked.items()
    }
    for name, args in asked.items():
        if len(" ".join(args)) > len(" ".join(written.get(name, []))):
            found[name] += [Refusal(None, reason) for reason in crowding]
    return {name: refusals for name, refusals in found.items() if refusals}


def _not_carried(host: HostState, owner: str, args: t.Iterable[str]) -> t.Iterator[str]:
    carriage = Carriage.from_json(host.boot["carriage"])
    for argument in args:
        reason = carriage.refuses(argument)
        if reason is not None:
            yield cannot_carry(argument, owner, reason)


def _contradicted(owner: str, owners: t.Mapping[str, t.Sequence[str]]) -> t.Iterator[str]:
    for other, args in sorted(owners.items()):
        if other != owner:
            for theirs, token in conflicts(args, owners[owner]):
                yield owners_contradict(token, owner, theirs, other)


def _long_lines(host: HostState, owners: t.Mapping[str, t.Sequence[str]]) -> t.Iterator[str]:
    blocks, new = recorded_blocks(host.ledger), in_order(owners)
    for entry in own_entries(host):
        reason = too_long(entry["title"], entry["kernel"], entry["args"], with_block(entry["args"], blocks, new))
        if reason is not None:
            yield reason

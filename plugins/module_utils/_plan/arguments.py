# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Judging one owner's kernel arguments against what is configured, what boots next and what runs. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.parameters import conflicts
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import find_block, key
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.foreign import foreign_arguments, own_entries
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Change, HostState, Refusal


@dataclasses.dataclass(frozen=True)
class ArgumentsVerdict:
    """``changes`` to make in boot entries; ``pending_reboot`` when entries are right and the running line is not."""

    changes: tuple[Change, ...]
    pending_reboot: bool
    refusals: tuple[Refusal, ...] = ()


def judge_arguments(
    host: HostState, owner: str, wanted: t.Sequence[str], keys: t.Collection[str] = ()
) -> ArgumentsVerdict:
    """Compare what ``owner`` shall have on the command line with every entry, the next boot and the running line.

    Rescue entries are left out. ``keys`` are parameter names that this component manages besides those in
    ``wanted``: one that still runs and is gone from the next boot waits for the reboot.
    """
    if host.boot["bootloader"] is None:
        return _without_loader(host, owner, wanted)
    written: list[str] = list(host.ledger.section("kernel_args").get(owner, []))
    entries = own_entries(host)
    lacking = [entry for entry in entries if find_block(entry["args"], wanted) is None]
    stale = [argument for argument in written if argument not in wanted]
    changes: list[Change] = []
    if lacking or stale:
        before, after = " ".join(written) or None, " ".join(wanted) or None
        why = f"{len(lacking)} of {len(entries)} boot entries lack them" if lacking and wanted else None
        changes.append(Change(f"kernel arguments of {owner}", before, after, after_reboot=True, why=why))
    elif written and not host.boot["intact"]:
        changes.append(Change(f"configuration of {host.boot['bootloader']}", "without our arguments", "with them"))
    refusals = [
        Refusal(
            None, f"'{ours}' (wanted by {owner}) contradicts '{theirs}', which somebody else put on the command line"
        )
        for theirs, ours in _foreign_conflicts(host, wanted)
    ]
    if changes and host.boot["obstacle"] is not None:
        refusals.append(Refusal(None, str(host.boot["obstacle"])))
    managed = {key(argument) for argument in (*written, *wanted)} | set(keys)
    running, next_boot = host.boot["running"], host.boot["next_boot"]
    leftover = [argument for argument in running if key(argument) in managed and argument not in next_boot]
    pending = find_block(running, wanted) is None or bool(leftover)
    return ArgumentsVerdict(tuple(changes), pending and not changes, tuple(refusals))


def _foreign_conflicts(host: HostState, wanted: t.Sequence[str]) -> list[tuple[str, str]]:
    found = (pair for _title, line in foreign_arguments(host, wanted) for pair in conflicts(line, wanted))
    return list(dict.fromkeys(found))


def _without_loader(host: HostState, owner: str, wanted: t.Sequence[str]) -> ArgumentsVerdict:
    if not wanted or find_block(host.boot["running"], wanted) is not None:
        return ArgumentsVerdict((), False)
    return ArgumentsVerdict((), False, (Refusal(None, f"{owner} needs '{' '.join(wanted)}'. {host.boot['reason']}"),))

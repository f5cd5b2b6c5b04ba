# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Changing one owner's kernel arguments: decide, refuse, write, read back."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import find_loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry, Loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import describe
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import (
    check_argument,
    conflicts,
    find_block,
    replace_block,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger


@dataclasses.dataclass(frozen=True)
class ArgumentsChange:
    """``state`` has the keys of ``kernel_cmdline_info`` after the change (in check mode: as it would be)."""

    changed: bool
    state: t.Mapping[str, t.Any]
    diff: tuple[t.Mapping[str, t.Any], ...]
    warnings: tuple[str, ...] = ()


def set_arguments(
    root: Root, run: Runner, ledger: Ledger, owner: str, args: t.Sequence[str], check_mode: bool
) -> ArgumentsChange:
    """:func:`set_owners` for one owner."""
    return set_owners(root, run, ledger, {owner: args}, check_mode)


def set_owners(
    root: Root, run: Runner, ledger: Ledger, wanted: t.Mapping[str, t.Sequence[str]], check_mode: bool
) -> ArgumentsChange:
    """Make the arguments in ``wanted``, in their order, all that each of its owners has on the command line.

    An empty list takes the owner's away; owners that are not named keep theirs. The boot configuration is
    generated once for all. ``ledger`` must be the locked one. Raises :class:`InputError` for a token that cannot
    be written, :class:`RefusedError` where somebody else's token contradicts, :class:`HostStateError` without a
    known loader, :class:`ToolError` when the loader's tool fails; nothing is changed then.
    """
    asked = {owner: [check_argument(argument) for argument in args] for owner, args in wanted.items()}
    loader = find_loader(root)
    entries = loader.entries()
    owned = ledger.section("kernel_args")
    old = _in_order(owned)
    for owner, args in asked.items():
        _refuse_conflicts(entries, old, owner, args)
    owners = {**owned, **{owner: _needed(entries, old, owner in owned, args) for owner, args in asked.items()}}
    new = _in_order(owners)
    after = tuple(_with_arguments(entry, old, new) for entry in entries)
    changed = new != old or after != entries
    warnings: tuple[str, ...] = ()
    if changed and not check_mode:
        changes = _write(run, ledger, loader, owners, new, after)
        warnings = tuple(change.note for change in changes if change.note)
        after = find_loader(root).entries()
    return ArgumentsChange(changed, describe(root, ledger, after, loader.name), _diff(entries, after), warnings)


def _needed(entries: t.Sequence[Entry], ours: t.Sequence[str], owns: bool, args: list[str]) -> list[str]:
    """Nothing where somebody else gave every entry what is asked: writing it twice would make it ours to remove."""
    bootable = [entry for entry in entries if not entry.rescue]
    stands = bool(bootable) and all(find_block(_foreign(entry, ours), args) is not None for entry in bootable)
    return [] if stands and not owns else args


def _write(
    run: Runner,
    ledger: Ledger,
    loader: Loader,
    owners: t.Mapping[str, t.Sequence[str]],
    arguments: t.Sequence[str],
    expected: t.Sequence[Entry],
) -> tuple[_owned.FileChange, ...]:
    """The ledger first, so that a power cut in between leaves a run that finishes the rest next time."""
    section = ledger.section("kernel_args")
    before = dict(section)
    section.clear()
    section.update({owner: list(args) for owner, args in owners.items() if args})
    try:
        changes = loader.write(run, ledger, arguments, expected)
    except BaseException:
        section.clear()
        section.update(before)
        ledger.save()
        raise
    ledger.save()
    return changes


def _in_order(owned: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    return [argument for owner in sorted(owned) for argument in owned[owner]]


def _foreign(entry: Entry, ours: t.Sequence[str]) -> list[str]:
    return replace_block(entry.args, ours, []) if find_block(entry.args, ours) is not None else list(entry.args)


def _refuse_conflicts(entries: t.Sequence[Entry], ours: t.Sequence[str], owner: str, wanted: t.Sequence[str]) -> None:
    for entry in entries:
        if entry.rescue:
            continue
        for theirs, token in conflicts(_foreign(entry, ours), wanted):
            raise RefusedError(
                f"'{token}' (wanted by {owner}) contradicts '{theirs}', which somebody else put on the command line of "
                f"'{entry.title}': take one of them away"
            )


def _with_arguments(entry: Entry, old: t.Sequence[str], new: t.Sequence[str]) -> Entry:
    if entry.rescue:
        return entry
    return dataclasses.replace(entry, args=tuple(replace_block(entry.args, old, new)))


def _diff(before: t.Sequence[Entry], after: t.Sequence[Entry]) -> tuple[t.Mapping[str, t.Any], ...]:
    was = {(entry.title, entry.kernel): entry.args for entry in before}
    return tuple(
        _owned.text_diff(
            f"boot entry: {entry.title}",
            " ".join(was.get((entry.title, entry.kernel), ())) + "\n",
            " ".join(entry.args) + "\n",
        )
        for entry in after
        if was.get((entry.title, entry.kernel)) != entry.args
    )

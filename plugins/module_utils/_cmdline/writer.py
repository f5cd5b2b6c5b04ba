# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Changing one owner's kernel arguments: decide, refuse, write, read back."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.block import (
    in_order,
    record_blocks,
    recorded_blocks,
    with_block,
    without_block,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.carriage import cannot_carry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.huge_pages import ignored_huge_pages
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.limits import too_long
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import AUTO, find_loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry, Loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.parameters import (
    conflicts,
    owners_contradict,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import describe
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import check_argument, find_block
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
    root: Root,
    run: Runner,
    ledger: Ledger,
    owner: str,
    args: t.Sequence[str],
    check_mode: bool,
    bootloader: str = AUTO,
) -> ArgumentsChange:
    """:func:`set_owners` for one owner."""
    return set_owners(root, run, ledger, {owner: args}, check_mode, bootloader)


def set_owners(
    root: Root,
    run: Runner,
    ledger: Ledger,
    wanted: t.Mapping[str, t.Sequence[str]],
    check_mode: bool,
    bootloader: str = AUTO,
) -> ArgumentsChange:
    """Make the arguments in ``wanted``, in their order, all that each of its owners has on the command line.

    An empty list takes the owner's away; owners that are not named keep theirs. The boot configuration is
    generated once for all. ``bootloader`` is as :func:`find_loader` takes it, ``ledger`` the locked one. Raises
    :class:`InputError` for a token that the kernel would not read as meant, :class:`RefusedError` where somebody
    else's token contradicts, the loader cannot carry one or a line gets too long, :class:`HostStateError` without a
    known loader, :class:`ToolError` when the loader's tool fails; nothing is changed then.
    """
    asked = {owner: [check_argument(argument) for argument in args] for owner, args in wanted.items()}
    loader = find_loader(root, bootloader)
    for owner, args in asked.items():
        _refuse_what_cannot_be_carried(loader, owner, args)
    entries = loader.entries()
    blocks = recorded_blocks(ledger)
    owned = ledger.section("kernel_args")
    owners = {**owned, **{owner: _needed(entries, blocks, owner in owned, args) for owner, args in asked.items()}}
    for owner in asked:
        _refuse_conflicts(entries, blocks, owners, owner)
    new = in_order(owners)
    after = tuple(_with_block(entry, blocks, new) for entry in entries)
    _refuse_long_lines(entries, after)
    carriers = [carrier for carrier in loader.preview(ledger, new) if carrier.changed]
    changed = after != entries or bool(carriers) or new != in_order(owned)
    warnings = _lost_huge_pages(after, new)
    if not check_mode and (changed or blocks != [block for block in [new] if block]):
        changes = _write(run, ledger, loader, _Target(owners, blocks, new, after))
        warnings += tuple(change.note for change in changes if change.note)
        after = find_loader(root, bootloader).entries()
    diff = (*_diff(entries, after), *(_owned.diff_entry(carrier) for carrier in carriers))
    return ArgumentsChange(changed, describe(root, owners, after, loader.name), diff, warnings)


@dataclasses.dataclass(frozen=True)
class _Target:
    """Where a change leads: ``blocks`` may stand in entries now, ``block`` is to, which makes them ``entries``."""

    owners: t.Mapping[str, t.Sequence[str]]
    blocks: t.Sequence[t.Sequence[str]]
    block: t.Sequence[str]
    entries: t.Sequence[Entry]


def _needed(entries: t.Sequence[Entry], blocks: t.Sequence[t.Sequence[str]], owns: bool, args: list[str]) -> list[str]:
    """Nothing where somebody else gave every entry what is asked: writing it twice would make it ours to remove."""
    bootable = [entry for entry in entries if entry.takes_arguments]
    stands = bool(bootable) and all(
        find_block(without_block(entry.args, blocks), args) is not None for entry in bootable
    )
    return [] if stands and not owns else args


def _write(run: Runner, ledger: Ledger, loader: Loader, target: _Target) -> tuple[_owned.FileChange, ...]:
    """The ledger names both the old and the new run until the entries are known to hold the new one, so that a
    run that is cut off in between is recognised and finished by the next."""
    section = ledger.section("kernel_args")
    before = dict(section)
    record_blocks(ledger, *(target.blocks or [[]]), target.block)
    section.clear()
    section.update({owner: list(args) for owner, args in target.owners.items() if args})
    ledger.save()
    try:
        changes = loader.write(run, ledger, target.block, target.entries)
    except BaseException:
        section.clear()
        section.update(before)
        record_blocks(ledger, *(target.blocks or [[]]))
        ledger.save()
        raise
    record_blocks(ledger, target.block)
    ledger.save()
    return changes


def _refuse_what_cannot_be_carried(loader: Loader, owner: str, args: t.Sequence[str]) -> None:
    for argument in args:
        reason = loader.carriage.refuses(argument)
        if reason is not None:
            raise RefusedError(cannot_carry(argument, owner, reason))


def _refuse_long_lines(before: t.Sequence[Entry], after: t.Sequence[Entry]) -> None:
    for old, new in zip(before, after):
        reason = too_long(new.title, new.kernel, old.args, new.args)
        if reason is not None:
            raise RefusedError(reason)


def _lost_huge_pages(entries: t.Iterable[Entry], new: t.Sequence[str]) -> tuple[str, ...]:
    """A warning for each different line on which the kernel would pass over something that belongs to huge pages."""
    titles = {entry.args: entry.title for entry in entries if entry.takes_arguments} if new else {}
    return tuple(
        f"the kernel ignores '{' '.join(ignored_huge_pages(line))}' on the command line of '{title}': it takes each "
        f"size once, one count behind each; the line has '{' '.join(token for token in line if 'hugepages' in token)}'"
        for line, title in titles.items()
        if ignored_huge_pages(line)
    )


def _refuse_conflicts(
    entries: t.Sequence[Entry],
    blocks: t.Sequence[t.Sequence[str]],
    owners: t.Mapping[str, t.Sequence[str]],
    owner: str,
) -> None:
    wanted = owners[owner]
    for other, args in owners.items():
        for theirs, token in conflicts(args if other != owner else (), wanted):
            raise RefusedError(owners_contradict(token, owner, theirs, other))
    for entry in entries:
        if not entry.takes_arguments:
            continue
        for theirs, token in conflicts(without_block(entry.args, blocks), wanted):
            raise RefusedError(
                f"'{token}' (wanted by {owner}) contradicts '{theirs}', which somebody else put on the command line of "
                f"'{entry.title}': take one of them away"
            )


def _with_block(entry: Entry, blocks: t.Sequence[t.Sequence[str]], new: t.Sequence[str]) -> Entry:
    if not entry.takes_arguments and entry.shared_tail is None:
        return entry
    own = entry.own_args
    return dataclasses.replace(entry, args=(*with_block(own, blocks, new), *entry.args[len(own) :]))


def _diff(before: t.Sequence[Entry], after: t.Sequence[Entry]) -> tuple[t.Mapping[str, t.Any], ...]:
    was = dict(_numbered(before))
    return tuple(
        _owned.text_diff(
            f"boot entry: {title}",
            " ".join(was.get((title, *rest), ())) + "\n",
            " ".join(args) + "\n",
        )
        for (title, *rest), args in _numbered(after)
        if was.get((title, *rest)) != args
    )


def _numbered(entries: t.Iterable[Entry]) -> t.Iterator[tuple[tuple[t.Any, ...], tuple[str, ...]]]:
    """Title and kernel, with how often they came before where entries share them, to the line."""
    seen: dict[tuple[str, str], int] = {}
    for entry in (entry.readable() for entry in entries):
        key = (entry.title, entry.kernel)
        seen[key] = seen.get(key, -1) + 1
        yield (*key, seen[key]), entry.args

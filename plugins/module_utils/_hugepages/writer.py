# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Bringing the huge pages of a running host to what is wanted, and giving them back."""

from __future__ import annotations

import dataclasses
import errno
import pathlib
import time
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages.pages import (
    DROP_IN,
    GIB,
    HugepagesState,
    Pool,
    drop_in_content,
    format_size,
    kernel_args,
    misfits,
    overcommit_refusals,
    pool_file,
    read_hugepages,
    read_total,
    unsupported,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages.targets import (
    OvercommitTarget,
    Target,
    affordable,
    no_room,
    no_room_now,
    others_kb,
    overcommit_targets,
    targets,
    was_tried,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

OWNER = "hugepages"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What shall be. ``pools`` and ``overcommit`` are ``None`` where they are not managed; ``timing`` is
    ``boot``, ``now`` or ``both``; sizes are in KiB, ``settle`` in seconds."""

    pools: tuple[Pool, ...] | None
    overcommit: t.Mapping[int, int] | None
    timing: str
    reserve_kb: int
    default_kb: int | None = None
    settle: float = 2.0

    @property
    def now(self) -> bool:
        return self.timing != "boot"

    @property
    def kernel_args(self) -> list[str]:
        """For the next boot; none where the pages are for this boot only."""
        return [] if self.timing == "now" else kernel_args(self.pools or (), self.default_kb)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """``pools`` has the return value of the module, ``state`` what the kernel has afterwards."""

    changed: bool
    pools: tuple[t.Mapping[str, t.Any], ...]
    state: HugepagesState
    kernel_args: tuple[str, ...]
    reboot_required: bool
    diff: tuple[t.Mapping[str, t.Any], ...]
    warnings: tuple[str, ...]


class _NotGrantedError(HostStateError):
    """The kernel granted fewer pages than asked for, and the former numbers are back."""


class Kernel:
    """Where numbers are handed to the kernel; a test puts a kernel of its own here."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def write(self, path: str, value: int) -> None:
        """One number into one attribute. A temporary file would mean nothing in sysfs."""
        pathlib.Path(self._root.path(path)).write_text(f"{value}\n", encoding="ascii")

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclasses.dataclass(frozen=True)
class _Steps:
    """Everything that will be written, decided before the first write."""

    lower: tuple[Target, ...]
    grow: tuple[Target, ...]
    overcommit: tuple[OvercommitTarget, ...]
    drop_in: _owned.FileChange | None

    @property
    def any(self) -> bool:
        return bool(self.lower or self.grow or self.overcommit or (self.drop_in and self.drop_in.changed))


def apply(
    root: Root, kernel: Kernel, ledger: Ledger, wanted: Wanted, running: t.Sequence[str], check_mode: bool
) -> Outcome:
    """Write what differs. ``ledger`` must be the locked one, ``running`` is the running command line.

    Raises :class:`RefusedError` before the first write for pages that cannot fit, and
    :class:`HostStateError` when the kernel grants fewer pages than asked for with ``timing=now`` (the former
    number is written back); with ``both`` that is a warning, because the next boot asks again.
    """
    state = read_hugepages(root)
    noted = ledger.to_json()
    record = ledger.section("hugepages")
    _refuse_unfit(state, record, wanted)
    wishes = targets(state, record, running, wanted.pools) if wanted.pools is not None else ()
    steps, warnings = _decide(root, ledger, state, wanted, wishes)
    predicted = {wish.name: wish.goal for wish in (*steps.lower, *steps.grow)}
    got = {wish.name: predicted.get(wish.name, wish.current) for wish in wishes}
    if not check_mode:
        _note(record, state, wanted, wishes, got)
        if ledger.to_json() != noted:
            ledger.save()
        try:
            got.update(_write(root, kernel, ledger, wanted, steps))
        except _NotGrantedError:
            _forget(record, noted, steps.grow)
            ledger.save()
            raise
        warnings += [_ungranted(wish, got[wish.name]) for wish in steps.grow if got[wish.name] < wish.wanted]
        _note_result(record, wanted, wishes, steps, got)
        if ledger.to_json() != noted:
            ledger.save()
        state = read_hugepages(root)
    return Outcome(
        changed=steps.any,
        pools=tuple(_pool_report(state, wish, got[wish.name]) for wish in wishes),
        state=state,
        kernel_args=tuple(wanted.kernel_args),
        reboot_required=_needs_reboot(state, wanted, wishes, got),
        diff=_diff(steps),
        warnings=tuple(warnings),
    )


def _refuse_unfit(state: HugepagesState, record: t.Mapping[str, t.Any], wanted: Wanted) -> None:
    pools = wanted.pools or ()
    reasons = [*unsupported(pools, state), *misfits(pools, state, wanted.reserve_kb, others_kb(state, record, pools))]
    reasons += overcommit_refusals(wanted.overcommit or {}, state)
    if reasons:
        raise RefusedError("; ".join(reasons))


def _decide(
    root: Root, ledger: Ledger, state: HugepagesState, wanted: Wanted, wishes: t.Sequence[Target]
) -> tuple[_Steps, list[str]]:
    """What will be written, and warnings; raises :class:`RefusedError` where memory has no room now."""
    warnings = [
        f"{wish.name}: {wish.left_over} of them are in use and stay until their user ends or the host reboots"
        for wish in wishes
        if wish.left_over and wanted.now
    ]
    lower = tuple(wish for wish in wishes if wish.goal < wish.current and wanted.now)
    hopeful = [
        wish
        for wish in wishes
        if wish.goal > wish.current
        and wanted.now
        and (wanted.timing == "now" or not was_tried(ledger.section("hugepages"), wish, state.boot_id))
    ]
    grow, starving = affordable(hopeful, state, wanted.reserve_kb, lower)
    for wish in starving:
        if wanted.timing == "now":
            raise RefusedError(no_room_now(wish, state, wanted.reserve_kb))
        warnings.append(f"{no_room(wish, state, wanted.reserve_kb)}: they come with the next boot")
    overcommit: tuple[OvercommitTarget, ...] = ()
    if wanted.overcommit is not None and wanted.now:
        found = overcommit_targets(state, ledger.section("hugepages"), wanted.overcommit)
        overcommit = tuple(limit for limit in found if limit.goal != limit.current)
    return _Steps(lower, grow, overcommit, _drop_in(root, ledger, wanted)), warnings


def _owned_drop_in(wanted: Wanted) -> _owned.OwnedFile | None:
    if not wanted.overcommit or wanted.timing == "now":
        return None
    return _owned.OwnedFile(DROP_IN, drop_in_content(wanted.overcommit).encode())


def _drop_in(root: Root, ledger: Ledger, wanted: Wanted) -> _owned.FileChange | None:
    if wanted.overcommit is None:
        return None
    file = _owned_drop_in(wanted)
    return _owned.preview(root, ledger, file) if file else _owned.preview_release(root, ledger, DROP_IN)


def _note(
    record: dict[str, t.Any],
    state: HugepagesState,
    wanted: Wanted,
    wishes: t.Sequence[Target],
    got: t.Mapping[str, int],
) -> None:
    """Put into the ledger what is about to be written: a crash may leave a promise, never an unknown page."""
    if wanted.pools is not None:
        pools = record.setdefault("pools", {})
        for wish in wishes:
            old = pools.get(wish.name)
            if old is None or old["boot_id"] != state.boot_id:
                before = wish.current - wish.ours
                old = {"boot_id": state.boot_id, "before": before, "got": wish.current, "tried": False}
            if got[wish.name] != wish.current:
                old = {**old, "got": got[wish.name]}
            tried = old["tried"] and old.get("wanted") == wish.wanted
            pools[wish.name] = {
                **old,
                "size_kb": wish.size_kb,
                "node": wish.node,
                "wanted": wish.wanted,
                "tried": tried,
            }
        record["kernel_args"] = wanted.kernel_args
    if wanted.overcommit is not None:
        limits = record.setdefault("overcommit", {})
        for size, number in wanted.overcommit.items():
            old = limits.get(str(size))
            before = state.overcommit.get(size, 0)
            if old:
                # After a reboot the present limit comes from our own file, and the kernel started with 0.
                before = old["before"] if old["boot_id"] == state.boot_id else 0
            limits[str(size)] = {"boot_id": state.boot_id, "before": before, "written": number}


def _note_result(
    record: dict[str, t.Any], wanted: Wanted, wishes: t.Sequence[Target], steps: _Steps, got: t.Mapping[str, int]
) -> None:
    """Correct the ledger by what came of it, and drop what is no longer ours."""
    written = {wish.name for wish in (*steps.lower, *steps.grow)}
    pools = record.get("pools", {})
    for wish in wishes:
        entry = pools[wish.name]
        if wish.name in written:
            entry.update(got=got[wish.name], tried=got[wish.name] < wish.wanted)
        if not wish.wanted and (entry["got"] <= entry["before"] or not wanted.now):
            del pools[wish.name]
    if wanted.overcommit is not None:
        for text in [text for text in record["overcommit"] if int(text) not in wanted.overcommit]:
            del record["overcommit"][text]
    _prune(record)


def _prune(record: dict[str, t.Any]) -> None:
    """Drop empty parts: a ledger that holds nothing disappears."""
    for name in [name for name, content in record.items() if not content]:
        del record[name]


def _forget(record: dict[str, t.Any], noted: t.Mapping[str, t.Any], grow: t.Sequence[Target]) -> None:
    """Bring the ledger's pools that were to grow back to what they were before."""
    former = noted.get("hugepages", {}).get("pools", {})
    for wish in grow:
        del record["pools"][wish.name]
        if wish.name in former:
            record["pools"][wish.name] = former[wish.name]
    _prune(record)


def _write(root: Root, kernel: Kernel, ledger: Ledger, wanted: Wanted, steps: _Steps) -> dict[str, int]:
    """Carry out the steps, smallest need of memory first; the numbers that pools have afterwards."""
    if steps.drop_in and steps.drop_in.changed:
        file = _owned_drop_in(wanted)
        if file:
            _owned.install(root, ledger, OWNER, file)
        else:
            _owned.release(root, ledger, DROP_IN)
    for limit in steps.overcommit:
        _hand_over(kernel, pool_file(limit.size_kb, None, "nr_overcommit_hugepages"), limit.goal)
    lowered = {wish.name: _set_pages(root, kernel, wish, wish.goal) for wish in steps.lower}
    return {**lowered, **_grow(root, kernel, wanted, steps)}


def _grow(root: Root, kernel: Kernel, wanted: Wanted, steps: _Steps) -> dict[str, int]:
    """Ask for pages, and where the kernel grants too few make room and ask once more."""
    got = {wish.name: _set_pages(root, kernel, wish, wish.goal) for wish in steps.grow}
    if any(got[wish.name] < wish.goal for wish in steps.grow):
        _make_room(kernel, wanted.settle)
        for wish in steps.grow:
            if got[wish.name] < wish.goal:
                got[wish.name] = _set_pages(root, kernel, wish, wish.goal)
    failed = [wish for wish in steps.grow if got[wish.name] < wish.goal]
    if failed and wanted.timing == "now":
        words = "; ".join(f"{wish.name}: {wish.goal} wanted, {got[wish.name]} granted" for wish in failed)
        for wish in steps.grow:
            _set_pages(root, kernel, wish, wish.current)
        raise _NotGrantedError(
            f"memory is too fragmented for the huge pages: {words}. The former numbers are back. "
            "Use timing=both and reboot: pages are certain only while memory is empty."
        )
    return got


def _set_pages(root: Root, kernel: Kernel, wish: Target, number: int) -> int:
    _hand_over(kernel, pool_file(wish.size_kb, wish.node, "nr_hugepages"), number)
    return read_total(root, wish.size_kb, wish.node)


def _make_room(kernel: Kernel, settle: float) -> None:
    """Empty caches first, then compact: what is gone need not be moved (Documentation/admin-guide/sysctl/vm.rst)."""
    kernel.write("/proc/sys/vm/drop_caches", 3)
    kernel.write("/proc/sys/vm/compact_memory", 1)
    kernel.sleep(settle)


def _hand_over(kernel: Kernel, path: str, number: int) -> None:
    try:
        kernel.write(path, number)
    except OSError as exc:
        # ENOMEM is how some kernels say "not all of them"; the number that is read back tells.
        if exc.errno != errno.ENOMEM:
            raise HostStateError(f"the kernel does not take {number} in {path}: {exc.strerror}") from exc


def _ungranted(wish: Target, got: int) -> str:
    text = f"{wish.name}: {wish.wanted} wanted, {got} granted, because memory is fragmented: reboot to get them"
    return f"{text} (pages of this size usually come only at boot)" if wish.size_kb >= GIB else text


def _pool_report(state: HugepagesState, wish: Target, got: int) -> dict[str, t.Any]:
    only = state.nodes[0].node if len(state.nodes) == 1 else None
    return {
        "size": format_size(wish.size_kb),
        "node": only if wish.node is None else wish.node,
        "wanted": wish.wanted,
        "got": got,
    }


def _needs_reboot(state: HugepagesState, wanted: Wanted, wishes: t.Sequence[Target], got: t.Mapping[str, int]) -> bool:
    """From what is wanted and what runs, not from what was written."""
    if any(wish.left_over for wish in wishes):
        return True
    if wanted.timing == "now" or wanted.pools is None:
        return False
    other_default = wanted.default_kb not in (None, state.default_kb)
    return other_default or any(got[wish.name] < wish.wanted for wish in wishes)


def _diff(steps: _Steps) -> tuple[t.Mapping[str, t.Any], ...]:
    entries: list[t.Mapping[str, t.Any]] = [
        _diff_entry(wish.name, wish.current, wish.goal) for wish in (*steps.lower, *steps.grow)
    ]
    entries += [
        _diff_entry(f"overcommit of {format_size(limit.size_kb)} pages", limit.current, limit.goal)
        for limit in steps.overcommit
    ]
    if steps.drop_in and steps.drop_in.changed:
        entries.append(_owned.diff_entry(steps.drop_in))
    return tuple(entries)


def _diff_entry(name: str, before: int, after: int) -> dict[str, str]:
    return {"before": f"{before}\n", "after": f"{after}\n", "before_header": name, "after_header": name}

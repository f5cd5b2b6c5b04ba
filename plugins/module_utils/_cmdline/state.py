# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The three states of the kernel command line: configured in every entry, booting next, running."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.parameters import without_trial
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.block import in_order
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import AUTO, find_loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry, Loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.ostree_line import DEPLOYMENT
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import Token, split
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

# GRUB puts the kernel's path in front, the EFI stub's loaders the initramfs.
_ADDED_BY_LOADERS = frozenset({"BOOT_IMAGE", "initrd"})
# Variables in GRUB's entries, and the parameter that they become (Ubuntu's 10_linux and 10_linux_zfs).
_EXPANDED: t.Final[t.Mapping[str, str]] = {"$vt_handoff": "vt.handoff", "${vt_handoff}": "vt.handoff"}


def running_arguments(root: Root) -> list[str]:
    """``/proc/cmdline`` as tokens."""
    return split(root.read_text("/proc/cmdline") or "")


def describe(
    root: Root, owners: t.Mapping[str, t.Sequence[str]], entries: t.Sequence[Entry], bootloader: str | None
) -> dict[str, t.Any]:
    """The return keys of ``kernel_cmdline_info`` that files tell: running, next_boot, entries, bootloader, owners,
    differs, reboot_required."""
    running = running_arguments(root)
    entries = [entry.readable() for entry in entries]
    next_boot = next((list(entry.args) for entry in entries if entry.default), [])
    return {
        "running": running,
        "next_boot": next_boot,
        "entries": [entry.to_json() for entry in entries],
        "bootloader": bootloader,
        "owners": {owner: list(arguments) for owner, arguments in sorted(owners.items()) if arguments},
        "differs": parameter_differences(next_boot, running),
        "reboot_required": differs_from_running(next_boot, running),
    }


def differs_from_running(next_boot: t.Sequence[str], running: t.Sequence[str]) -> bool:
    """Whether the next boot gets another command line; tokens that boot loaders add themselves do not count, nor do
    the quotes that they move."""
    planned, given = _comparable(next_boot, running)
    return bool(next_boot) and [token.meaning for token in given] != [token.meaning for token in planned]


def parameter_differences(next_boot: t.Sequence[str], running: t.Sequence[str]) -> list[dict[str, t.Any]]:
    """``[{"parameter", "running": [token], "next_boot": [token]}]`` for each that is given otherwise, in the order of
    the next boot's line; empty where only the order of different parameters differs."""
    if not next_boot:
        return []
    planned, given = _comparable(next_boot, running)
    names = dict.fromkeys(token.name for token in (*planned, *given))
    sides = {name: ([x for x in given if x.name == name], [x for x in planned if x.name == name]) for name in names}
    return [
        {"parameter": name, "running": [str(token) for token in now], "next_boot": [str(token) for token in then]}
        for name, (now, then) in sides.items()
        if [token.value for token in now] != [token.value for token in then]
    ]


def _comparable(next_boot: t.Sequence[str], running: t.Sequence[str]) -> tuple[list[Token], list[Token]]:
    """Both lines without what boot loaders add, and without what belongs to a boot on trial alone."""
    added = (
        _ADDED_BY_LOADERS | {DEPLOYMENT.rstrip("=")} | {_EXPANDED[token] for token in next_boot if token in _EXPANDED}
    )
    planned = [Token(token) for token in next_boot if not token.startswith(("$", DEPLOYMENT))]
    # An entry may name its initramfs by itself, as the EFI stub reads it.
    added -= {token.name for token in planned}
    given = [Token(token) for token in without_trial(running)]
    return planned, [token for token in given if token.name not in added]


def read_boot_state(root: Root, ledger: Ledger, bootloader: str = AUTO) -> dict[str, t.Any]:
    """What the plan needs besides: ``reason`` why no loader was recognised (``bootloader`` is ``None`` then), and
    ``intact``: whether the files that carry our part are as we wrote them. ``obstacle`` says why our part could not
    be written, ``None`` if it can. ``carriage`` is the loader's :class:`Carriage`, ``None`` without one.

    ``bootloader`` is as :func:`find_loader` takes it, which raises :class:`InputError` for another than boots this
    machine.
    """
    owners = ledger.section("kernel_args")
    try:
        loader: Loader = find_loader(root, bootloader)
    except HostStateError as exc:
        unknown = {"reason": str(exc), "intact": True, "obstacle": None, "carriage": None}
        return {**describe(root, owners, (), None), **unknown}
    state = {
        **describe(root, owners, loader.entries(), loader.name),
        "reason": None,
        "carriage": loader.carriage.to_json(),
    }
    arguments = in_order(owners)
    try:
        carriers = loader.preview(ledger, arguments)
    except RefusedError as exc:
        return {**state, "intact": False, "obstacle": exc.reason}
    intact = not any(change.changed for change in carriers)
    return {**state, "intact": intact, "obstacle": None if arguments else _obstacle_to_the_first(loader, ledger)}


def _obstacle_to_the_first(loader: Loader, ledger: Ledger) -> str | None:
    """Why nothing could be written where nothing of ours is yet; the plan says so before other parts are written."""
    try:
        loader.preview(ledger, ["virtfleet_passthrough.generation=0"])
    except RefusedError as exc:
        return exc.reason
    return None

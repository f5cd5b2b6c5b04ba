# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The three states of the kernel command line: configured in every entry, booting next, running."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import find_loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry, Loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import find_block, split
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger


def running_arguments(root: Root) -> list[str]:
    """``/proc/cmdline`` as tokens."""
    return split(root.read_text("/proc/cmdline") or "")


def describe(root: Root, ledger: Ledger, entries: t.Sequence[Entry], bootloader: str | None) -> dict[str, t.Any]:
    """The return keys of ``kernel_cmdline_info``: running, next_boot, entries, bootloader, owners, reboot_required."""
    running = running_arguments(root)
    next_boot = next((list(entry.args) for entry in entries if entry.default), [])
    owners: dict[str, list[str]] = {
        owner: list(arguments) for owner, arguments in sorted(ledger.section("kernel_args").items())
    }
    return {
        "running": running,
        "next_boot": next_boot,
        "entries": [entry.to_json() for entry in entries],
        "bootloader": bootloader,
        "owners": owners,
        "reboot_required": differs_from_running(next_boot, running),
    }


def differs_from_running(next_boot: t.Sequence[str], running: t.Sequence[str]) -> bool:
    """Whether the next boot gets another command line; what the loader adds itself does not count.

    GRUB puts ``BOOT_IMAGE=`` in front; an initramfs-less ``root=`` and the like are part of both.
    """
    ours = [token for token in running if not token.startswith(("BOOT_IMAGE=", "initrd="))]
    return bool(next_boot) and find_block(ours, next_boot) is None


def read_boot_state(root: Root, ledger: Ledger) -> dict[str, t.Any]:
    """What the plan needs; where no loader is recognised ``bootloader`` is ``None`` and ``reason`` says why."""
    try:
        loader: Loader = find_loader(root)
    except HostStateError as exc:
        return {**describe(root, ledger, (), None), "reason": str(exc)}
    return {**describe(root, ledger, loader.entries(), loader.name), "reason": None}

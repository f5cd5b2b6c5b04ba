# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What somebody else put on the command lines of a host's boot entries. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.block import recorded_blocks, without_block
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import replace_block
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState


def own_entries(host: HostState) -> list[t.Mapping[str, t.Any]]:
    """The boot entries that take our arguments: those of this system's kernels, without rescue entries."""
    return [entry for entry in host.boot["entries"] if entry["managed"] and not entry["rescue"]]


def foreign_arguments(host: HostState, wanted: t.Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Per boot entry that takes our arguments: its title and its tokens without those of this collection.

    ``wanted`` that stands there already, whoever wrote it, is no contradiction to itself and is left out too.
    """
    blocks = recorded_blocks(host.ledger)
    return tuple(
        (entry["title"], tuple(replace_block(without_block(entry["args"], blocks), wanted, [])))
        for entry in own_entries(host)
    )

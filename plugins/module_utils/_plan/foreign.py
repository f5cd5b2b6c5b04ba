# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What somebody else put on the command lines of a host's boot entries. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import find_block, replace_block
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState


def foreign_arguments(host: HostState, wanted: t.Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Per boot entry (rescue entries left out): its title and its tokens without those of this collection.

    ``wanted`` that stands there already, whoever wrote it, is no contradiction to itself and is left out too.
    """
    owned = host.ledger.section("kernel_args")
    together = [argument for owner in sorted(owned) for argument in owned[owner]]
    found: list[tuple[str, tuple[str, ...]]] = []
    for entry in host.boot["entries"]:
        if entry["rescue"]:
            continue
        line: list[str] = list(entry["args"])
        # Our arguments stand together; where somebody tore them apart, each owner's part is looked for.
        blocks = (
            [together] if find_block(line, together) is not None else [list(owned[owner]) for owner in sorted(owned)]
        )
        for block in (*blocks, list(wanted)):
            line = replace_block(line, block, [])
        found.append((entry["title"], tuple(line)))
    return tuple(found)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The reader of the plan's component ``cpu_isolation``."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.topology import read_topology
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger


def read_state(root: Root, _run: Runner, _ledger: Ledger, _wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """``topology``: :meth:`Topology.to_json`, which includes the isolated sets that the kernel runs with."""
    return {"topology": read_topology(root).to_json()}

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What a plan has to say of files that wait until a boot on trial is kept, and of those that cannot wait. Pure."""

from __future__ import annotations

import base64
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._held_back import (
    WITHOUT_GENERATION,
    not_wanted,
    outlasts,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile, digest, owned_paths
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Change, HostState

Present = t.Mapping[str, t.Optional[str]]


def outlasting(host: HostState, owner: str, present: Present, wanted: t.Iterable[OwnedFile]) -> tuple[str, ...]:
    """The files of ``owner`` whose change counts in the old boot entry too; ``present`` are digests by path."""
    contents = {file.path: file.content for file in wanted}
    differing = {
        path: contents.get(path)
        for path in sorted({*owned_paths(host.ledger, owner), *contents})
        if path.startswith(WITHOUT_GENERATION)
        and present.get(path) != (digest(contents[path]) if path in contents else None)
    }
    return tuple(path for path, after in differing.items() if outlasts(path, _content(host, path, present), after))


def _content(host: HostState, path: str, present: Present) -> bytes | None:
    """What lies at ``path``, as far as the ledger knows; the plan has only digests."""
    record = host.ledger.section("files").get(path)
    known = record is not None and present.get(path) is not None
    return base64.b64decode(record["content"]) if record is not None and known else None


def wait_for_nothing(host: HostState, owner: str, present: Present, wanted: t.Mapping[str, str]) -> t.Iterator[Change]:
    """What is held back of ``owner`` and not wanted any more; all else of these files shows as their own change."""
    for path in not_wanted(host.ledger, owner, wanted):
        if present.get(path) == wanted.get(path):
            left = None if path not in wanted else "as it is"
            yield Change(f"file {path}", "what waits for a boot on trial", left, why="nothing asks for it any more")

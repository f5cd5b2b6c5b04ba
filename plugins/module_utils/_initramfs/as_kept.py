# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Generators that see files in their places which wait for a commit, while nobody else does.

A mount namespace of its own shows the generator the directories as they will be. So every generator takes along what it
would take along afterwards, and an image that a package builds in the meantime, for the old boot entry, does not.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult, Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import FileMeta, Root, write_atomic
from ansible_collections.virtfleet.passthrough.plugins.module_utils._held_back import read_held
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import SCRATCH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

# Pairs of directories, "--", and what to start.
_SHOW: t.Final = 'while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit; shift 2; done; shift; exec "$@"'


@contextlib.contextmanager
def seeing_what_waits(root: Root, run: Runner, ledger: Ledger, prefix: str) -> t.Iterator[Runner]:
    """``run`` for generators; ``prefix`` is the beginning of the name of a directory for the work on images."""
    held = read_held(ledger)
    if not held:
        yield run
        return
    work = tempfile.mkdtemp(prefix=prefix, dir=root.path(SCRATCH))
    made: list[str] = []
    pairs: list[str] = []
    try:
        for place in sorted({os.path.dirname(path) for path in held}):
            if not root.exists(place):
                os.makedirs(root.path(place))
                made.append(place)
            shutil.copytree(root.path(place), f"{work}{place}", symlinks=True)
            pairs += [f"{SCRATCH}/{os.path.basename(work)}{place}", place]
        for path, found in held.items():
            write_atomic(f"{work}{path}", found.file.content, FileMeta(found.file.mode))

        def inside(argv: t.Sequence[str], cwd: str | None = None) -> CommandResult:
            return run(["unshare", "--mount", "sh", "-c", _SHOW, "sh", *pairs, "--", *argv], cwd=cwd)

        yield inside
    finally:
        shutil.rmtree(work)
        for place in made:
            with contextlib.suppress(OSError):
                os.rmdir(root.path(place))

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What was written after the running boot had begun, and what was taken back although that boot still has it.

The second lies in ``/run``, which ends with the boot as the matter itself does: nothing has to be cleaned up, and a
host that was given back keeps no trace on its disks.
"""

from __future__ import annotations

import json
import os
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import FileMeta, Root, remove, write_atomic
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.modalias import running_release

TAKEN_BACK_PATH = "/run/virtfleet-passthrough.taken-back.json"

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_BOOT_TIME = re.compile(r"^btime (\d+)$", re.MULTILINE)


def changed_since_boot(root: Root, paths: t.Iterable[str]) -> list[str]:
    """Those of ``paths`` that were written or replaced in the running boot, sorted; none where ``/proc/stat`` does
    not tell when it began (proc(5): ``btime``, seconds of the wall clock)."""
    found = _BOOT_TIME.search(root.read_text("/proc/stat") or "")
    if found is None:
        return []
    return sorted(path for path in paths if _written(root, path) >= int(found.group(1)))


def _written(root: Root, path: str) -> float:
    """Tools such as ``install -p`` keep the modification time, FAT has no time of change."""
    try:
        status = os.stat(root.path(path))
    except OSError:
        return 0
    return max(status.st_mtime, status.st_ctime)


def image_changed_since_boot(root: Root, ledger: Ledger) -> bool:
    """Whether the running kernel has an image that was built anew in this boot, and so is not what it began with."""
    release = running_release(root)
    paths = [path for path, record in ledger.section("images").items() if record["kernel"] == release]
    return bool(changed_since_boot(root, paths))


def taken_back(root: Root, owner: str) -> dict[str, t.Any]:
    """What ``owner`` noted in this very boot, empty where that is nothing."""
    noted = _read(root).get(owner)
    return dict(noted) if isinstance(noted, dict) else {}


def note_taken_back(root: Root, owner: str, what: t.Mapping[str, t.Any]) -> None:
    """Note it until this boot ends, in place of what ``owner`` noted before. Under the ledger's lock."""
    present = _read(root)
    wanted = {name: noted for name, noted in present.items() if name != owner}
    if what:
        wanted[owner] = dict(what)
    if wanted == present:
        return
    path = root.path(TAKEN_BACK_PATH)
    if not wanted:
        remove(path)
        return
    text = json.dumps({"boot_id": _boot_id(root), "owners": wanted}, indent=1, sort_keys=True) + "\n"
    write_atomic(path, text.encode(), FileMeta(mode=0o600))


def _read(root: Root) -> dict[str, t.Any]:
    """By owner. A ``/run`` that outlived its boot, as in a saved tree, tells nothing about this one."""
    try:
        data = json.loads(root.read_text(TAKEN_BACK_PATH) or "{}")
    except ValueError:
        return {}
    if not isinstance(data, dict) or data.get("boot_id") != _boot_id(root):
        return {}
    owners = data.get("owners")
    return owners if isinstance(owners, dict) else {}


def _boot_id(root: Root) -> str:
    return root.read_word(_BOOT_ID) or ""

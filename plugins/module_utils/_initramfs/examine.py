# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Finding out what an image holds as cheaply as it can be known for certain."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.booster_image import (
    INIT_CONFIG,
    with_modprobe_files,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import Listing, read_image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.proof import Found, Need, our_patterns
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.record import (
    image_stamp,
    is_known,
    recall,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger


def look_into(root: Root, run: Runner, path: str, need: Need, modules: t.Iterable[str] = ()) -> Found:
    """Unpack the image and see; raises :class:`ToolError` where it is no whole image."""
    return Found.in_listing(open_image(root, run, path, need), {*need.modules, *modules})


def open_image(root: Root, run: Runner, path: str, need: Need) -> Listing:
    """Every name in the image, and the content of what may be ours or is in ``need``; raises as above."""
    listing = read_image(root, run, path, our_patterns() | set(need.files) | {INIT_CONFIG})
    return with_modprobe_files(root, listing)


def known_content(
    root: Root, run: Runner, ledger: Ledger, path: str, need: Need, not_before: int | None, always: bool = False
) -> Found | None:
    """What the image at ``path`` holds, ``None`` where there is no (whole) image or it need not be looked into.

    From the ledger while the image is the one that was looked into. An image older than ``not_before`` (nanoseconds,
    the first file of ours on the host; ``None``: there is none) cannot hold any of ours, unless the ledger suspects
    it. ``always``: files or modules are asked for that are not ours.
    """
    stamp = image_stamp(root, path)
    if stamp is None:
        return None
    remembered = recall(ledger, path, stamp)
    if remembered is not None and _answers(remembered, need):
        return remembered
    made_since = not_before is not None and stamp["mtime_ns"] >= not_before
    if not (made_since or always or is_known(ledger, path)):
        return None
    try:
        return look_into(root, run, path, need)
    except ToolError:
        # An image that breaks off holds nothing that counts; building it anew is the remedy.
        return None


def _answers(found: Found, need: Need) -> bool:
    """Whether what is remembered covers everything that is asked: a file outside ours may not have been looked for."""
    asked = set(need.files) - our_patterns()
    return all(pattern in found.files for pattern in asked) and set(need.modules) <= set(found.modules)

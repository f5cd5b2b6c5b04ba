# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What an image unlocks an encrypted root file system with, compared with the image before it.

The generator decides that from packages and files that may have changed since the old image was built, and where it
leaves something out it often only warns. Every boot entry loads the new image, the one to fall back on as well.
"""

from __future__ import annotations

import os

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.encryption import read_encryption
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import Listing, read_image

_PROGRAMS = frozenset({"cryptsetup", "systemd-cryptsetup", "systemd-cryptsetup-generator", "clevis"})
_MODULE = "dm_crypt"
_TABLES = ("cryptroot/crypttab", "etc/crypttab")
_KEY_FILES = "cryptroot/keyfiles/"


def lost_means(root: Root, run: Runner, old: str, new: str) -> list[str]:
    """What the image at ``new`` lacks of what the one at ``old`` unlocks the root file system with; nothing where it is
    not encrypted, and where there is no whole image before."""
    if read_encryption(root)["encrypted"] is None or not root.exists(old):
        return []
    try:
        before = read_image(root, run, old, _TABLES)
    except ToolError:
        return []
    return sorted(_means(before) - _means(read_image(root, run, new, _TABLES)))


def _means(listing: Listing) -> set[str]:
    found = {os.path.basename(name) for name in listing.names} & _PROGRAMS
    found |= {name for name in listing.names if name.startswith(_KEY_FILES)}
    if _MODULE in listing.modules:
        found.add(f"module {_MODULE}")
    for table, content in listing.contents.items():
        entries = (line.split() for line in content.decode(errors="replace").splitlines())
        found |= {f"an entry for {words[0]} in {table}" for words in entries if words and not words[0].startswith("#")}
    return found

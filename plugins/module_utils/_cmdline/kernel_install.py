# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What ``kernel-install`` takes for kernels that are installed later: their command line, and what is made of them.

Sources: kernel-install(8); 90-loaderentry.install and 60-ukify.install of systemd.
"""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.block import recorded_blocks, without_block
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.line_file import LineFile
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import split
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

CMDLINE = "/etc/kernel/cmdline"
_VENDOR_CMDLINE = "/usr/lib/kernel/cmdline"
# What kernel-install leaves out where it has to take the running kernel's line.
_ADDED_BY_LOADERS = ("BOOT_IMAGE=", "initrd=")


def template(root: Root, ledger: Ledger, entries: t.Sequence[Entry]) -> LineFile:
    """``/etc/kernel/cmdline``; where it is missing it must begin with what would be taken without it.

    That is the distribution's line, else the running kernel's. For the latter the entry that boots next stands
    in: the running line may have been typed at the menu, or still hold what somebody has taken away since.
    """
    vendor = root.read_text(_VENDOR_CMDLINE)
    if vendor is not None:
        return LineFile(CMDLINE, when_missing=tuple(split(vendor)))
    present = next((entry.own_args for entry in entries if entry.default), ())
    others = without_block(present, recorded_blocks(ledger))
    return LineFile(CMDLINE, when_missing=tuple(token for token in others if not token.startswith(_ADDED_BY_LOADERS)))

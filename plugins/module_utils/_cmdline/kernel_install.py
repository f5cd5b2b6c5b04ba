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
_CONFIGURATIONS: t.Final[tuple[str, ...]] = (
    *("/usr/lib/kernel/install.conf", "/usr/local/lib/kernel/install.conf"),
    *("/run/kernel/install.conf", "/etc/kernel/install.conf"),
)
_DROP_INS = ("/usr/lib/kernel/install.conf.d", "/run/kernel/install.conf.d", "/etc/kernel/install.conf.d")
# What kernel-install leaves out where it has to take the running kernel's line.
_ADDED_BY_LOADERS = ("BOOT_IMAGE=", "initrd=")


def install_settings(root: Root) -> dict[str, str]:
    """``layout``, ``uki_generator``, … of ``install.conf``: one place holds, and drop-ins win over it."""
    settings: dict[str, str] = {}
    # In the order of their weight: only the weightiest is read.
    main = [path for path in _CONFIGURATIONS if root.exists(path)][-1:]
    drop_ins = {name: f"{directory}/{name}" for directory in _DROP_INS for name in root.listdir(directory)}
    for path in (*main, *(drop_ins[name] for name in sorted(drop_ins) if name.endswith(".conf"))):
        for line in (root.read_text(path) or "").splitlines():
            key, equals, value = line.strip().partition("=")
            if equals and not key.startswith("#"):
                settings[key.strip()] = value.strip().strip("\"'")
    return settings


def template(root: Root, ledger: Ledger, entries: t.Sequence[Entry]) -> LineFile:
    """``/etc/kernel/cmdline``; where it is missing it must begin with what would be taken without it.

    That is the distribution's line, else the running kernel's. For the latter the entry that boots next stands
    in: the running line may have been typed at the menu, or still hold what somebody has taken away since.
    """
    vendor = root.read_text(_VENDOR_CMDLINE)
    if vendor is not None:
        return LineFile(CMDLINE, when_missing=tuple(split(vendor)))
    present = next((entry.args for entry in entries if entry.default), ())
    others = without_block(present, recorded_blocks(ledger))
    return LineFile(CMDLINE, when_missing=tuple(token for token in others if not token.startswith(_ADDED_BY_LOADERS)))

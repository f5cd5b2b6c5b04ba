# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The settings of ``kernel-install``. Source: kernel-install(8)."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

_CONFIGURATIONS: t.Final[tuple[str, ...]] = (
    *("/usr/lib/kernel/install.conf", "/usr/local/lib/kernel/install.conf"),
    *("/run/kernel/install.conf", "/etc/kernel/install.conf"),
)
_DROP_INS = ("/usr/lib/kernel/install.conf.d", "/run/kernel/install.conf.d", "/etc/kernel/install.conf.d")


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

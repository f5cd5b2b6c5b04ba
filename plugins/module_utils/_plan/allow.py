# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The keys that ``allow`` knows. Pure: each is defined beside its rule, and collected here."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.console import (
    ALLOW_BMC,
    ALLOW_BOOT_VGA,
    ALLOW_FRAMEBUFFER,
    ALLOW_LAST_DISPLAY,
    ALLOW_SERIAL_CONSOLE,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.keyboard import ALLOW_ONLY_KEYBOARD
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.network import (
    ALLOW_CONFIGURED,
    ALLOW_MANAGEMENT,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.storage import ALLOW_STORAGE
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.use import ALLOW_IN_USE
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.verdict import (
    ALLOW_BUILTIN,
    ALLOW_DENYLISTED,
    ALLOW_NO_RESET,
    ALLOW_PREDICTED,
    ALLOW_UNSAFE_INTERRUPTS,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.values import as_list
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.guard import ALLOW_IDENTITY, ALLOW_RUNTIME_GPU

# What may be allowed for one device.
DEVICE_KEYS = frozenset(
    {
        ALLOW_BMC,
        ALLOW_BOOT_VGA,
        ALLOW_BUILTIN,
        ALLOW_CONFIGURED,
        ALLOW_DENYLISTED,
        ALLOW_FRAMEBUFFER,
        ALLOW_IDENTITY,
        ALLOW_IN_USE,
        ALLOW_LAST_DISPLAY,
        ALLOW_MANAGEMENT,
        ALLOW_NO_RESET,
        ALLOW_ONLY_KEYBOARD,
        ALLOW_PREDICTED,
        ALLOW_RUNTIME_GPU,
        ALLOW_SERIAL_CONSOLE,
        ALLOW_STORAGE,
        ALLOW_UNSAFE_INTERRUPTS,
    }
)


def device_keys(value: t.Any, option: str) -> tuple[str, ...]:
    """The keys of one device, none for ``None``. Raises :class:`InputError` for one that permits nothing anywhere."""
    keys = [] if value is None else [str(key) for key in as_list(value, option)]
    for key in keys:
        if key not in DEVICE_KEYS:
            raise InputError(f"{option} has no key '{key}': expected any of {', '.join(sorted(DEVICE_KEYS))}")
    return tuple(keys)

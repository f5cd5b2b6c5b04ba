# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The ways to hold devices from the start of a boot, by their names. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError

AUTO = "auto"
OVERRIDE = "override"
IDS = "ids"
DRIVERCTL = "driverctl"

METHODS = (AUTO, OVERRIDE, IDS, DRIVERCTL)


def resolve_method(value: t.Any, option: str) -> str:
    """The method that ``value`` stands for; ``None`` and ``auto`` are ``override``. Raises :class:`InputError`."""
    if value is None or value == AUTO:
        return OVERRIDE
    if value not in METHODS:
        raise InputError(f"{option} is '{value}'; expected {', '.join(METHODS)}")
    return str(value)

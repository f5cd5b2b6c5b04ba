# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Values of options as people and tools write them. Pure.

Extra variables of ``key=value`` form, surveys and inventories in INI form make a string of every number and
switch; what can be meant is taken, anything else is an :class:`InputError` that names the option.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError

_SWITCHES: t.Mapping[str, bool] = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_DECIMAL = re.compile(r"-?[0-9]+", re.ASCII)


def as_bool(value: t.Any, option: str) -> bool:
    """A boolean, or one of the words ``true``, ``yes``, ``on``, ``false``, ``no``, ``off`` in any case."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in _SWITCHES:
        raise InputError(f"{option} is '{value}': expected true or false")
    return _SWITCHES[word]


def as_int(value: t.Any, option: str, minimum: int | None = None) -> int:
    """A number, or its decimal digits as a string; at least ``minimum`` where one is given."""
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        number = int(value)
    if number is None or (minimum is not None and number < minimum):
        least = "" if minimum is None else f", {minimum} or more"
        raise InputError(f"{option} is '{value}': expected a whole number{least}")
    return number


def as_mapping(value: t.Any, option: str) -> t.Mapping[str, t.Any]:
    """A dictionary with strings for keys."""
    if not isinstance(value, t.Mapping) or not all(isinstance(key, str) for key in value):
        raise InputError(f"{option} is '{value}': expected a dictionary of options")
    return value


def as_list(value: t.Any, option: str) -> list[t.Any]:
    """A list; a lone string is none, because it would silently become its letters."""
    if not isinstance(value, (list, tuple)):
        raise InputError(f"{option} is '{value}': expected a list")
    return list(value)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The USB controller with the only keyboard of this host."""

from __future__ import annotations

import contextlib
import os

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import functions_on_path
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency

ALLOW_ONLY_KEYBOARD = "only_keyboard"

_INPUT = "/sys/class/input"

# Escape, the digits, and the letters down to S: what no mouse, power button or remote control has all of
# (include/uapi/linux/input-event-codes.h; key 0 is reserved).
_TYPING_KEYS = 0xFFFFFFFE

# Made by a program (uinput), not plugged in by anybody.
_VIRTUAL = f"{os.sep}devices{os.sep}virtual{os.sep}"


def keyboard_dependencies(root: Root) -> list[Dependency]:
    """The function that all keyboards hang on. One on another bus (PS/2) stays with the host, and a management
    controller's virtual one is a USB keyboard like any other."""
    functions: set[Address | None] = set()
    names = []
    for name in root.listdir(_INPUT):
        directory = os.path.realpath(root.path(f"{_INPUT}/{name}"))
        if _VIRTUAL in directory or not _has_typing_keys(root, name):
            continue
        functions.add(next(iter(functions_on_path(directory)[-1:]), None))
        names.append(root.read_word(f"{_INPUT}/{name}/name") or name)
    if len(functions) != 1:
        return []
    (function,) = functions
    if function is None:
        return []
    detail = f"has the only keyboard of this host ({', '.join(dict.fromkeys(names))})"
    return [Dependency(str(function), "only_keyboard", detail, ALLOW_ONLY_KEYBOARD)]


def _has_typing_keys(root: Root, name: str) -> bool:
    # Words of a bitmap, the highest first (drivers/input/input.c).
    words = (root.read_word(f"{_INPUT}/{name}/capabilities/key") or "0").split()
    with contextlib.suppress(ValueError):
        return int(words[-1], 16) & _TYPING_KEYS == _TYPING_KEYS
    return False

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is different in two menus of GRUB apart from a kernel that was installed in between. Pure."""

from __future__ import annotations

import difflib
import re

_ENTRY = re.compile(r"^([ \t]*)menuentry .*?^\1}\n", re.MULTILINE | re.DOTALL)


def leftovers(before: str, after: str, old: str, new: str) -> list[str]:
    """Lines that differ, as a diff.

    ``new`` is the release of the kernel that joined beside ``old``. Its own entries are passed over; the first entry,
    which is for the newest kernel, must be that of ``old`` with another release.
    """
    first = _ENTRY.search(after)
    if first is None:
        return ["the menu has no entry"]
    expected_first = first[0].replace(new, old)
    rest = _ENTRY.sub(lambda entry: "" if new in entry[0] else entry[0], after[first.end() :])
    comparable = after[: first.start()] + expected_first + rest
    return [
        line
        for line in difflib.unified_diff(before.splitlines(), comparable.splitlines(), "before", "after", lineterm="")
        if not line.startswith(("---", "+++", "@@"))
    ]

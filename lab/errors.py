# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one exception of the lab."""

from __future__ import annotations

from pathlib import Path


class LabError(Exception):
    """What was attempted, where to read on, and what it probably was."""

    def __init__(self, attempted: str, *, cause: str = "", log: Path | None = None) -> None:
        parts = [attempted]
        if cause:
            parts.append(f"likely cause: {cause}")
        if log is not None:
            parts.append(f"log: {log}")
        super().__init__("\n  ".join(parts))
        self.attempted = attempted
        self.cause = cause
        self.log = log

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab runs on the developer's machine only, not on the old Pythons of managed hosts."""

from __future__ import annotations

import sys

collect_ignore_glob = (
    [] if sys.version_info >= (3, 11) else ["test_*.py", "fuzz/*", "loaders/*", "binding/*", "power/*", "trials/*"]
)

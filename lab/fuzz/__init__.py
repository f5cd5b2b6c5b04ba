# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random PCI topologies, booted: are the predicted IOMMU groups those that the kernel makes?"""

from __future__ import annotations

import sys

from lab.paths import REPOSITORY

# The comparison is with the collection's own code, which is importable below this path alone.
_COLLECTIONS = str(REPOSITORY / ".build/collections")
if _COLLECTIONS not in sys.path:
    sys.path.insert(0, _COLLECTIONS)

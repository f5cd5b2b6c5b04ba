# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.plugins.module_utils._boot.trial_host import TrialHost


@pytest.fixture
def host(tmp_path: Path) -> TrialHost:
    return TrialHost(tmp_path)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def on_a_managed_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of action plugins make this process a controller, where a module's warnings go to the display and not into
    its result. Modules never run there."""
    monkeypatch.setattr("ansible.module_utils._internal.is_controller", False)

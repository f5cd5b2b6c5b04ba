# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.options import trial_deadline
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError


@pytest.mark.parametrize(
    ("options", "deadline"),
    [
        (None, None),
        ({"reboot": False, "deadline": 5}, None),
        ({"reboot": True, "trial_mode": "off", "deadline": 5}, None),
        ({"reboot": True}, 600),
        ({"reboot": True, "trial_mode": None, "deadline": 60}, 60),
    ],
)
def test_only_a_trial_has_a_deadline(options: dict[str, Any] | None, deadline: int | None) -> None:
    assert trial_deadline(options) == deadline


def test_a_deadline_that_no_boot_could_keep_is_refused_with_the_plan() -> None:
    """Arming would refuse it as well, after everything else was written."""
    with pytest.raises(InputError, match="is 59: expected at least 60 seconds"):
        trial_deadline({"reboot": True, "deadline": 59})

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the last lines of a rollout say of each host."""

from __future__ import annotations

import pytest

from lab.trials.rollout import recap_faults

RECAP = """\
TASK [of an earlier batch]
PLAY RECAP *********
trial-a                    : ok=50   changed=9    unreachable=0    failed=0    skipped=3    rescued=0    ignored=0
trial-b                    : ok=30   changed=8    unreachable=0    failed=1    skipped=3    rescued=0    ignored=0
"""
EXPECTED = {"trial-a": 0, "trial-b": 1}


def test_done_failed_and_untouched() -> None:
    assert recap_faults(RECAP, EXPECTED, "trial-c") == []


@pytest.mark.parametrize(
    "said",
    [
        "",
        RECAP.replace("failed=1", "failed=0"),
        RECAP.replace("failed=0", "failed=1"),
        RECAP + "trial-c : ok=1 changed=0 unreachable=0 failed=0\n",
        RECAP.replace("trial-b", "trial-x"),
        RECAP.replace("PLAY RECAP", "TASK"),
    ],
)
def test_anything_else_is_a_fault(said: str) -> None:
    assert recap_faults(said, EXPECTED, "trial-c")

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.parameters import (
    running_trial,
    trial_arguments,
    with_trial,
    without_trial,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import differs_from_running

RUN = trial_arguments("abc", 15, 900, ["dracut"], "i6300esb,heartbeat=960")
TOKENS = st.lists(st.sampled_from(["ro", "quiet", "panic=60", "rd.shell=0", "--", "$vt_handoff"]), max_size=6)


@given(TOKENS)
def test_what_a_trial_adds_can_be_taken_out_again_exactly(line: list[str]) -> None:
    tried = with_trial(line, RUN)
    assert running_trial(tried) == "abc"
    assert without_trial(tried) == line


@given(TOKENS)
def test_the_same_parameters_of_somebody_else_are_not_the_trials(line: list[str]) -> None:
    assert running_trial(line) is None
    assert without_trial(line) == line


def test_it_stands_where_the_kernel_reads_it_and_behind_what_it_overrides() -> None:
    assert with_trial(["ro", "panic=60", "--", "init"], ["x"]) == ["ro", "panic=60", "x", "--", "init"]
    assert with_trial(["ro", "panic=60", "$vt_handoff"], ["x"]) == ["ro", "panic=60", "x", "$vt_handoff"]


@pytest.mark.parametrize(("generators", "dracut"), [(["dracut"], True), (["initramfs-tools"], False)])
def test_dracut_is_told_not_to_wait_for_ever(generators: list[str], dracut: bool) -> None:
    run = trial_arguments("abc", 15, 100, generators, None)
    assert ({"rd.shell=0", "rd.emergency=reboot", "rd.timeout=100"} <= set(run)) is dracut


def test_a_committed_trial_needs_no_reboot_because_of_what_was_its_own() -> None:
    entry = ["root=/dev/vda2", "ro", "intel_iommu=on"]
    assert not differs_from_running(entry, with_trial(entry, RUN))
    assert differs_from_running(entry[:-1], with_trial(entry, RUN))

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Huge pages on a kernel that reacts: granting, refusing, giving back, over a reboot, and in check mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages.pages import DROP_IN, GIB, Pool
from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages.writer import Outcome, Wanted, apply
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import LEDGER_PATH, Ledger, locked
from tests.unit.plugins.huge_kernel import HugeKernel

SMALL = 2048


@pytest.fixture
def kernel(tmp_path: Path) -> HugeKernel:
    """Two nodes of 32 GiB."""
    return HugeKernel(tmp_path, 32 * GIB, 32 * GIB)


def _apply(kernel: HugeKernel, *pools: Pool, check_mode: bool = False, **more: Any) -> Outcome:
    wanted = Wanted(**{"pools": pools, "overcommit": None, "timing": "both", "reserve_kb": GIB, **more})
    running = (kernel.base / "proc/cmdline").read_text().split()
    with locked(kernel.root, check_mode) as ledger:
        return apply(kernel.root, kernel, ledger, wanted, running, check_mode)


def _tree(kernel: HugeKernel) -> dict[str, bytes]:
    files = (
        path for path in sorted(kernel.base.rglob("*")) if path.is_file() and path.name != "virtfleet-passthrough.lock"
    )
    return {str(path): path.read_bytes() for path in files}


def _ledger(kernel: HugeKernel) -> Any:
    return Ledger.read(kernel.root).to_json().get("hugepages")


def test_pages_come_on_the_wanted_node_and_stay(kernel: HugeKernel) -> None:
    outcome = _apply(kernel, Pool(GIB, 1, 16))
    assert (outcome.changed, outcome.reboot_required, outcome.kernel_args) == (
        True,
        False,
        ("hugepagesz=1G", "hugepages=1:16"),
    )
    assert outcome.pools == ({"size": "1G", "node": 1, "wanted": 16, "got": 16},)
    assert (kernel.pages(0, GIB), kernel.pages(1, GIB)) == (0, 16)
    before = _tree(kernel)
    again = _apply(kernel, Pool(GIB, 1, 16))
    assert (again.changed, again.diff, _tree(kernel)) == (False, (), before)


def test_pages_without_a_node_are_spread(kernel: HugeKernel) -> None:
    outcome = _apply(kernel, Pool(SMALL, None, 101))
    assert (kernel.pages(0, SMALL), kernel.pages(1, SMALL)) == (51, 50)
    assert outcome.pools == ({"size": "2M", "node": None, "wanted": 101, "got": 101},)


def test_the_only_node_is_named(tmp_path: Path) -> None:
    outcome = _apply(HugeKernel(tmp_path, 8 * GIB), Pool(SMALL, None, 4))
    assert outcome.pools == ({"size": "2M", "node": 0, "wanted": 4, "got": 4},)


@pytest.mark.parametrize("timing", ["boot", "now", "both"])
def test_check_mode_writes_nothing_and_predicts_change_and_diff(kernel: HugeKernel, timing: str) -> None:
    kernel.somebody_sets(0, SMALL, 3)
    for pools in ((Pool(GIB, 1, 16), Pool(SMALL, 0, 8)), (Pool(GIB, 1, 4),), ()):
        wanted: dict[str, Any] = {"timing": timing, "overcommit": {SMALL: len(pools)}}
        before = _tree(kernel)
        predicted = _apply(kernel, *pools, check_mode=True, **wanted)
        assert _tree(kernel) == before
        real = _apply(kernel, *pools, **wanted)
        assert (predicted.changed, predicted.diff, predicted.pools) == (real.changed, real.diff, real.pools)
        assert not _apply(kernel, *pools, check_mode=True, **wanted).changed


def test_too_few_pages_are_a_warning_when_the_next_boot_asks_again(kernel: HugeKernel) -> None:
    kernel.limits = {(1, GIB): 10}
    outcome = _apply(kernel, Pool(GIB, 1, 16))
    assert outcome.pools[0]["got"] == 10
    assert outcome.reboot_required
    assert "1G pages on node 1: 16 wanted, 10 granted" in outcome.warnings[0]
    assert "usually come only at boot" in outcome.warnings[0]
    kernel.events.clear()
    again = _apply(kernel, Pool(GIB, 1, 16))
    assert (again.changed, again.reboot_required, kernel.events) == (False, True, [])


def test_too_few_pages_fail_and_go_back_when_only_now_counts(kernel: HugeKernel) -> None:
    kernel.somebody_sets(1, GIB, 2)
    kernel.limits = {(1, GIB): 10}
    with pytest.raises(HostStateError, match=r"16 wanted, 10 granted\. The former numbers are back"):
        _apply(kernel, Pool(GIB, 1, 16), Pool(SMALL, 0, 4), timing="now")
    assert (kernel.pages(1, GIB), kernel.pages(0, SMALL)) == (2, 0)
    assert not _ledger(kernel)


def test_room_is_made_before_asking_again(kernel: HugeKernel) -> None:
    kernel.limits, kernel.after_compaction = {(1, GIB): 10}, {(1, GIB): 16}
    assert _apply(kernel, Pool(GIB, 1, 16), settle=3.0).pools[0]["got"] == 16
    assert kernel.events == ["nr_hugepages 16", "drop_caches 3", "compact_memory 1", "sleep 3.0", "nr_hugepages 16"]


@pytest.mark.parametrize("timing", ["boot", "now", "both"])
def test_what_does_not_fit_is_refused_before_the_first_write(kernel: HugeKernel, timing: str) -> None:
    before = _tree(kernel)
    with pytest.raises(RefusedError, match=r"node 1 has 32\.0 GiB of memory: 32 pages of 1G"):
        _apply(kernel, Pool(SMALL, 0, 4), Pool(GIB, 1, 32), timing=timing)
    with pytest.raises(RefusedError, match="does not overcommit huge pages of 1G"):
        _apply(kernel, Pool(SMALL, 0, 4), overcommit={GIB: 1}, timing=timing)
    assert _tree(kernel) == before


def test_a_busy_host_is_not_squeezed(kernel: HugeKernel) -> None:
    kernel.occupy(1, 20 * GIB)
    outcome = _apply(kernel, Pool(GIB, 0, 8), Pool(GIB, 1, 12))
    assert [pool["got"] for pool in outcome.pools] == [8, 0]
    assert outcome.reboot_required
    assert "1G pages on node 1: 12 more would need 12.0 GiB, 12.0 GiB could be had now" in outcome.warnings[0]
    with pytest.raises(RefusedError, match="use timing=boot or both and reboot"):
        _apply(kernel, Pool(GIB, 0, 8), Pool(GIB, 1, 12), timing="now")


def test_shrinking_gives_room_to_what_grows(kernel: HugeKernel) -> None:
    _apply(kernel, Pool(GIB, 0, 30))
    outcome = _apply(kernel, Pool(SMALL, 0, 28 * 512))
    assert (kernel.pages(0, GIB), kernel.pages(0, SMALL)) == (0, 28 * 512)
    assert not outcome.reboot_required


def test_giving_back_leaves_what_was_there_before(kernel: HugeKernel) -> None:
    kernel.somebody_sets(0, SMALL, 100)
    before = _tree(kernel)
    _apply(kernel, Pool(SMALL, 0, 512), Pool(GIB, 1, 4), overcommit={SMALL: 64})
    outcome = _apply(kernel, overcommit={})
    assert (outcome.changed, outcome.kernel_args, outcome.reboot_required) == (True, (), False)
    after = _tree(kernel)
    assert after == before
    assert not kernel.root.exists(LEDGER_PATH)


def test_pages_that_somebody_added_since_stay(kernel: HugeKernel) -> None:
    _apply(kernel, Pool(SMALL, 0, 100))
    kernel.somebody_sets(0, SMALL, 150)
    assert not _apply(kernel, Pool(SMALL, 0, 100)).changed
    assert not _apply(kernel, Pool(SMALL, 0, 120)).changed
    _apply(kernel)
    assert kernel.pages(0, SMALL) == 50


def test_fewer_pages_give_back_the_difference(kernel: HugeKernel) -> None:
    _apply(kernel, Pool(SMALL, 0, 100))
    _apply(kernel, Pool(SMALL, 0, 40))
    assert kernel.pages(0, SMALL) == 40
    _apply(kernel)
    assert kernel.pages(0, SMALL) == 0


def test_pages_in_use_stay_until_their_user_ends(kernel: HugeKernel) -> None:
    _apply(kernel, Pool(GIB, 1, 8))
    kernel.somebody_uses(1, GIB, 5)
    outcome = _apply(kernel)
    assert kernel.pages(1, GIB) == 5
    assert outcome.reboot_required
    assert "5 of them are in use" in outcome.warnings[0]
    kernel.somebody_uses(1, GIB, 0)
    assert not _apply(kernel).reboot_required
    assert kernel.pages(1, GIB) == 0
    assert not _ledger(kernel)


def test_after_a_reboot_our_arguments_pages_are_ours(kernel: HugeKernel) -> None:
    arguments = _apply(kernel, Pool(GIB, 1, 8), overcommit={SMALL: 64}).kernel_args
    kernel.reboot("boot-2", *arguments)
    (kernel.base / "sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages").write_text("64\n")
    outcome = _apply(kernel, Pool(GIB, 1, 8), overcommit={SMALL: 64})
    assert (outcome.changed, outcome.reboot_required, kernel.pages(1, GIB)) == (False, False, 8)
    _apply(kernel, Pool(GIB, 1, 3), overcommit={SMALL: 64})
    assert kernel.pages(1, GIB) == 3
    _apply(kernel, overcommit={})
    assert (kernel.pages(1, GIB), kernel.overcommit(SMALL)) == (0, 0)
    assert not kernel.root.exists(LEDGER_PATH)


def test_after_a_reboot_without_our_arguments_pages_are_somebody_elses(kernel: HugeKernel) -> None:
    _apply(kernel, Pool(GIB, 1, 8))
    kernel.reboot("boot-2", "hugepagesz=1G", "hugepages=1:5")
    _apply(kernel)
    assert kernel.pages(1, GIB) == 5
    assert not _ledger(kernel)


def test_a_boot_that_granted_too_few_is_asked_once_more(kernel: HugeKernel) -> None:
    arguments = _apply(kernel, Pool(GIB, 1, 8)).kernel_args
    kernel.reboot("boot-2", *arguments)
    kernel.somebody_sets(1, GIB, 6)
    outcome = _apply(kernel, Pool(GIB, 1, 8))
    assert (outcome.changed, outcome.pools[0]["got"]) == (True, 8)


def test_boot_only_leaves_the_running_host_alone(kernel: HugeKernel) -> None:
    outcome = _apply(kernel, Pool(GIB, 1, 8), overcommit={SMALL: 64}, timing="boot")
    assert (kernel.pages(1, GIB), kernel.overcommit(SMALL)) == (0, 0)
    assert (outcome.reboot_required, outcome.kernel_args) == (True, ("hugepagesz=1G", "hugepages=1:8"))
    assert "- - - - 64" in (kernel.root.read_text(DROP_IN) or "")
    kernel.reboot("boot-2", *outcome.kernel_args)
    assert not _apply(kernel, Pool(GIB, 1, 8), overcommit={SMALL: 64}, timing="boot").reboot_required


def test_now_only_leaves_the_next_boot_alone(kernel: HugeKernel) -> None:
    outcome = _apply(kernel, Pool(SMALL, 1, 8), overcommit={SMALL: 64}, timing="now")
    assert (kernel.pages(1, SMALL), kernel.overcommit(SMALL), outcome.kernel_args) == (8, 64, ())
    assert not kernel.root.exists(DROP_IN)
    assert not outcome.reboot_required


def test_another_default_size_needs_a_reboot(kernel: HugeKernel) -> None:
    outcome = _apply(kernel, Pool(GIB, 1, 1), default_kb=GIB)
    assert outcome.kernel_args[0] == "default_hugepagesz=1G"
    assert outcome.reboot_required
    assert not _apply(kernel, Pool(GIB, 1, 1), default_kb=SMALL).reboot_required


def test_limits_go_back_to_what_they_were(kernel: HugeKernel) -> None:
    limit = kernel.base / "sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages"
    limit.write_text("7\n")
    _apply(kernel, pools=None, overcommit={SMALL: 64})
    assert kernel.overcommit(SMALL) == 64
    _apply(kernel, pools=None, overcommit={SMALL: 32})
    _apply(kernel, pools=None, overcommit={})
    assert kernel.overcommit(SMALL) == 7
    assert not kernel.root.exists(DROP_IN)
    _apply(kernel, pools=None, overcommit={SMALL: 64})
    limit.write_text("99\n")
    _apply(kernel, pools=None, overcommit={})
    assert kernel.overcommit(SMALL) == 99


def test_what_is_not_managed_is_left_alone(kernel: HugeKernel) -> None:
    _apply(kernel, Pool(SMALL, 0, 8), overcommit={SMALL: 64})
    assert not _apply(kernel, pools=None, overcommit={SMALL: 64}).changed
    assert not _apply(kernel, Pool(SMALL, 0, 8)).changed
    assert (kernel.pages(0, SMALL), kernel.overcommit(SMALL)) == (8, 64)


def test_a_number_that_the_kernel_does_not_take_is_an_error(
    kernel: HugeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: str, value: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(kernel, "write", read_only)
    with pytest.raises(HostStateError, match=r"does not take 8 in /sys/.*/nr_hugepages: Permission denied"):
        _apply(kernel, Pool(SMALL, 0, 8))


_POOLS = st.dictionaries(st.tuples(st.sampled_from((SMALL, GIB)), st.integers(0, 1)), st.integers(1, 12), max_size=4)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(_POOLS, min_size=1, max_size=3),
    before=st.integers(0, 9),
    reboots=st.lists(st.booleans(), max_size=4),
)
def test_any_way_through_ends_where_it_began(
    tmp_path_factory: pytest.TempPathFactory, steps: list[dict[tuple[int, int], int]], before: int, reboots: list[bool]
) -> None:
    kernel = HugeKernel(tmp_path_factory.mktemp("host"), 32 * GIB, 32 * GIB)
    kernel.somebody_sets(0, SMALL, before)
    rebooted = False
    for number, step in enumerate(steps):
        pools = tuple(Pool(size, node, count) for (size, node), count in step.items())
        outcome = _apply(kernel, *pools)
        assert not _apply(kernel, *pools).changed
        assert all(pool["got"] >= pool["wanted"] for pool in outcome.pools)
        if reboots[number : number + 1] == [True]:
            kernel.reboot(f"boot-{number + 2}", *outcome.kernel_args)
            rebooted = True
    _apply(kernel)
    assert kernel.pages(0, SMALL) == (0 if rebooted else before)
    assert (kernel.pages(1, SMALL), kernel.pages(0, GIB), kernel.pages(1, GIB)) == (0, 0, 0)
    assert not kernel.root.exists(LEDGER_PATH)

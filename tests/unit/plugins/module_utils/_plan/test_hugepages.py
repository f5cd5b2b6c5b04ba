# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages.pages import (
    DROP_IN,
    GIB,
    drop_in_content,
    read_state,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.hugepages import decide
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState, Verdict
from tests.unit.plugins.huge_kernel import HugeKernel
from tests.unit.plugins.planned_host import device_on, host_with

LINE = "hugepagesz=1G hugepages=1:16"
OURS = {"kernel_args": {"hugepages": LINE.split()}}
WANTED = {"pools": [{"size": "1G", "count": 16, "near": "gpu"}]}
GPU = {"gpu": (device_on(None), device_on(1))}


@pytest.fixture
def kernel(tmp_path: Path) -> HugeKernel:
    return HugeKernel(tmp_path, 32 * GIB, 32 * GIB, boot_id="boot-2")


def _run(argv: Any, cwd: str | None = None) -> CommandResult:
    raise AssertionError("no program is needed to read sysfs")


def _host(kernel: HugeKernel, **more: Any) -> HostState:
    facts = json.loads(json.dumps(read_state(kernel.root, _run, Ledger(), {})))
    return host_with({"hugepages": facts}, **more)


def _settings(verdict: Verdict) -> list[tuple[str, str | None, str | None]]:
    return [(change.setting, change.before, change.after) for change in verdict.changes]


def _recorded(boot_id: str, got: int, wanted: int = 16, before: int = 0, *, tried: bool = False) -> dict[str, Any]:
    entry = {
        "size_kb": GIB,
        "node": 1,
        "boot_id": boot_id,
        "before": before,
        "got": got,
        "wanted": wanted,
        "tried": tried,
    }
    return {**OURS, "hugepages": {"pools": {"1G pages on node 1": entry}, "kernel_args": LINE.split()}}


def test_a_fresh_host(kernel: HugeKernel) -> None:
    verdict = decide(WANTED, _host(kernel), GPU)
    assert (verdict.status, verdict.reboot_required) == ("drift", True)
    assert _settings(verdict) == [("kernel arguments of hugepages", None, LINE)]
    assert verdict.apply == {
        "pools": [{"size": "1G", "node": 1, "count": 16}],
        "overcommit": None,
        "timing": "both",
        "reserve": "1G",
        "default_size": None,
        "kernel_args": LINE.split(),
    }
    assert json.dumps(verdict.to_json())


def test_written_and_not_booted_is_pending(kernel: HugeKernel) -> None:
    verdict = decide(WANTED, _host(kernel, entries=[f"ro {LINE}"], ledger=OURS), GPU)
    assert (verdict.status, verdict.reboot_required) == ("pending_reboot", True)


def test_pages_that_came_without_a_reboot_need_none(kernel: HugeKernel) -> None:
    kernel.somebody_sets(1, GIB, 16)
    verdict = decide(WANTED, _host(kernel, entries=[f"ro {LINE}"], ledger=_recorded("boot-2", 16)), GPU)
    assert (verdict.status, verdict.reboot_required) == ("in_sync", False)


def test_booted_with_them_is_in_sync(kernel: HugeKernel) -> None:
    kernel.somebody_sets(1, GIB, 16)
    host = _host(kernel, entries=[f"ro {LINE}"], running=f"ro {LINE}", ledger=_recorded("boot-1", 16))
    assert decide(WANTED, host, GPU).status == "in_sync"


def test_a_boot_that_granted_too_few_is_drift_and_no_reason_to_reboot(kernel: HugeKernel) -> None:
    kernel.somebody_sets(1, GIB, 15)
    host = _host(kernel, entries=[f"ro {LINE}"], running=f"ro {LINE}", ledger=_recorded("boot-1", 15))
    verdict = decide(WANTED, host, GPU)
    assert _settings(verdict) == [("1G pages on node 1", "15", "16")]
    assert not verdict.reboot_required


def test_another_kernel_without_the_arguments_is_drift_without_a_reboot(kernel: HugeKernel) -> None:
    kernel.somebody_sets(1, GIB, 16)
    host = _host(kernel, entries=[f"ro {LINE}", "ro"], running=f"ro {LINE}", ledger=_recorded("boot-1", 16))
    verdict = decide(WANTED, host, GPU)
    assert (verdict.status, verdict.reboot_required) == ("drift", False)


def test_giving_back(kernel: HugeKernel) -> None:
    kernel.somebody_sets(1, GIB, 16)
    host = _host(kernel, entries=[f"ro {LINE}"], running=f"ro {LINE}", ledger=_recorded("boot-1", 16))
    verdict = decide({"pools": []}, host, {})
    assert _settings(verdict) == [("kernel arguments of hugepages", LINE, None), ("1G pages on node 1", "16", "0")]
    assert (verdict.apply["pools"], verdict.apply["kernel_args"]) == ([], [])
    kernel.somebody_uses(1, GIB, 4)
    host = _host(
        kernel, entries=["ro"], running=f"ro {LINE}", ledger={"hugepages": _recorded("boot-2", 16)["hugepages"]}
    )
    verdict = decide({"pools": []}, host, {})
    assert _settings(verdict) == [("1G pages on node 1", "16", "4")]
    assert verdict.reboot_required


def test_pages_of_somebody_else_are_not_drift(kernel: HugeKernel) -> None:
    kernel.somebody_sets(0, GIB, 3)
    assert decide({"pools": []}, _host(kernel, running="ro hugepagesz=1G hugepages=0:3"), {}).status == "in_sync"


def test_for_this_boot_only(kernel: HugeKernel) -> None:
    wanted = {**WANTED, "timing": "now"}
    verdict = decide(wanted, _host(kernel, kernel_release="5.15.0"), GPU)
    assert _settings(verdict) == [("1G pages on node 1", "0", "16")]
    assert (verdict.reboot_required, verdict.apply["kernel_args"]) == (False, [])
    kernel.somebody_sets(1, GIB, 16)
    assert decide(wanted, _host(kernel), GPU).status == "in_sync"


def test_for_the_next_boot_only(kernel: HugeKernel) -> None:
    wanted = {**WANTED, "timing": "boot"}
    host = _host(kernel, entries=[f"ro {LINE}"], ledger=OURS)
    assert decide(wanted, host, GPU).status == "pending_reboot"


def test_a_default_size_is_asked_for_only_when_given(kernel: HugeKernel) -> None:
    verdict = decide({**WANTED, "default_size": "1G"}, _host(kernel), GPU)
    assert verdict.apply["kernel_args"] == ["default_hugepagesz=1G", *LINE.split()]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"pools": [{"size": "1G", "count": 32, "node": 1}]}, "node 1 has 32.0 GiB of memory"),
        ({"pools": [{"size": "1G", "count": 63}]}, None),
        ({"pools": [{"size": "1G", "count": 63}], "reserve": "2G"}, "keeps 2.0 GiB"),
        ({"pools": [{"size": "16M", "count": 1}]}, "no huge pages of 16M: it has 2M, 1G"),
        ({"pools": [{"size": "1G", "count": 1, "near": "nic"}]}, "near 'nic'"),
        ({"overcommit": [{"size": "1G", "count": 1}]}, "does not overcommit"),
    ],
)
def test_refusals_come_with_numbers_and_without_changes(
    kernel: HugeKernel, wanted: dict[str, Any], said: str | None
) -> None:
    verdict = decide(wanted, _host(kernel), GPU)
    assert (verdict.status == "refused") == (said is not None)
    if said is not None:
        assert said in verdict.refusals[0].reason
        assert verdict.changes == ()


@pytest.mark.parametrize(
    "wanted",
    [
        {"pools": "1G"},
        {"pools": [{"size": "1G"}]},
        {"pools": [{"size": "1G", "count": 1, "node": 7}]},
        {"pools": [], "timing": "later"},
        {"pools": [], "reserve": "much"},
        {"pools": [], "default_size": "big"},
        {"overcommit": [{"size": "2M", "count": -1}]},
    ],
)
def test_what_cannot_be_meant(kernel: HugeKernel, wanted: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        decide(wanted, _host(kernel), GPU)


def test_a_device_without_a_node_means_the_first_one_and_is_said(kernel: HugeKernel) -> None:
    verdict = decide(WANTED, _host(kernel), {"gpu": (device_on(None),)})
    assert verdict.apply["kernel_args"] == ["hugepagesz=1G", "hugepages=0:16"]
    assert "names no NUMA node for 'gpu' (0000:01:00.0)" in verdict.warnings[0]


def test_one_node_takes_the_plain_form(tmp_path: Path) -> None:
    host = _host(HugeKernel(tmp_path, 32 * GIB), kernel_release="5.15.0-101-generic")
    verdict = decide(WANTED, host, {"gpu": (device_on(None),)})
    assert verdict.apply["kernel_args"] == ["hugepagesz=1G", "hugepages=16"]
    assert (verdict.status, verdict.warnings) == ("drift", ())


@pytest.mark.parametrize(
    ("release", "status", "assumptions"),
    [
        ("5.15.0-101-generic", "refused", 0),
        ("5.14.0-570.el9.x86_64", "drift", 1),
        ("5.16.0", "drift", 0),
        ("6.1.0-40-amd64", "drift", 0),
    ],
)
def test_kernels_that_do_not_know_nodes(kernel: HugeKernel, release: str, status: str, assumptions: int) -> None:
    verdict = decide(WANTED, _host(kernel, kernel_release=release), GPU)
    assert (verdict.status, len(verdict.assumptions)) == (status, assumptions)
    assert decide({"pools": [{"size": "1G", "count": 4}]}, _host(kernel, kernel_release=release), {}).status == "drift"


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("ro hugepagesz=1G hugepages=4", "hugepagesz=1G"),
        ("ro hugepagesz=1024M hugepages=4", "hugepagesz=1024M"),
        ("ro hugepages=512", "hugepages=512"),
        ("ro hugepagesz=2M quiet hugepages=512", "hugepages=512"),
        ("ro hugepagesz=2M hugepages=512", None),
        ("ro default_hugepagesz=1G", None),
        (f"ro {LINE}", None),
        ("ro hugepagesz=odd", None),
    ],
)
def test_arguments_of_somebody_else_that_would_swallow_ours(kernel: HugeKernel, line: str, refused: str | None) -> None:
    verdict = decide(WANTED, _host(kernel, entries=["ro", line]), GPU)
    assert (verdict.status == "refused") == (refused is not None)
    assert refused is None or f"'{refused}' on the command line of 'Linux 1'" in verdict.refusals[0].reason


def test_two_default_sizes_contradict(kernel: HugeKernel) -> None:
    host = _host(kernel, entries=["ro default_hugepagesz=2M"])
    assert decide({**WANTED, "default_size": "1G"}, host, GPU).status == "refused"


def test_our_own_former_arguments_do_not_contradict(kernel: HugeKernel) -> None:
    former = "hugepagesz=1G hugepages=1:4"
    host = _host(kernel, entries=[f"ro {former}"], ledger={"kernel_args": {"hugepages": former.split()}})
    assert _settings(decide(WANTED, host, GPU)) == [("kernel arguments of hugepages", former, LINE)]


def test_overcommit(kernel: HugeKernel) -> None:
    wanted = {"overcommit": [{"size": "2M", "count": 64}]}
    verdict = decide(wanted, _host(kernel), {})
    assert [change.setting for change in verdict.changes] == ["overcommit of 2M pages", "overcommit after a reboot"]
    assert not verdict.reboot_required
    assert (verdict.apply["pools"], verdict.apply["overcommit"]) == (None, [{"size": "2M", "count": 64}])
    kernel.write("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages", 64)
    drop_in = kernel.base / "etc/tmpfiles.d/virtfleet-passthrough-hugepages.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(drop_in_content({2048: 64}))
    record = {
        "files": {"/" + str(drop_in.relative_to(kernel.base)): {"owner": "hugepages"}},
        "hugepages": {"overcommit": {"2048": {"boot_id": "boot-2", "before": 5, "written": 64}}},
    }
    assert decide(wanted, _host(kernel, ledger=record), {}).status == "in_sync"
    given_back = decide({"overcommit": []}, _host(kernel, ledger=record), {})
    assert _settings(given_back)[0] == ("overcommit of 2M pages", "64", "5")
    assert _settings(given_back)[1][2] is None


def test_unmanaged_pools_keep_their_arguments(kernel: HugeKernel) -> None:
    host = _host(kernel, entries=[f"ro {LINE}"], ledger=OURS)
    verdict = decide({"overcommit": []}, host, {})
    assert (verdict.status, verdict.apply["pools"], verdict.apply["kernel_args"]) == ("in_sync", None, LINE.split())


def test_no_room_in_this_boot_is_refused_before_it_is_tried(kernel: HugeKernel) -> None:
    kernel.occupy(1, 20 * GIB)
    verdict = decide({**WANTED, "timing": "now"}, _host(kernel), GPU)
    assert verdict.status == "refused"
    assert "1G pages on node 1: 16 more would need 16.0 GiB, 12.0 GiB could be had now" in verdict.refusals[0].reason
    assert "use timing=boot or both" in verdict.refusals[0].reason
    # With a boot to come there is room.
    assert decide(WANTED, _host(kernel), GPU).status == "drift"
    kernel.somebody_sets(1, GIB, 12)
    shrinking = {"pools": [{"size": "1G", "count": 4, "node": 1}], "timing": "now"}
    assert decide(shrinking, _host(kernel, ledger=_recorded("boot-2", 12, 12)), {}).status == "drift"


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({}, "exists and was not written by virtfleet.passthrough"),
        ({DROP_IN: {"owner": "hugepages", "written": "something else"}}, "changed by someone since"),
    ],
)
def test_a_drop_in_of_somebody_else_is_refused_before_it_is_met(
    kernel: HugeKernel, record: dict[str, Any], said: str
) -> None:
    wanted = {"overcommit": [{"size": "2M", "count": 64}]}
    drop_in = kernel.base / DROP_IN.lstrip("/")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("w /sys/kernel/mm/somebody - - - - 1\n")
    verdict = decide(wanted, _host(kernel, ledger={"files": record}), {})
    assert verdict.status == "refused"
    assert f"{DROP_IN} " in verdict.refusals[0].reason
    assert said in verdict.refusals[0].reason
    # For this boot alone no file is written.
    assert decide({**wanted, "timing": "now"}, _host(kernel, ledger={"files": record}), {}).status == "drift"


def test_counts_in_digits_are_numbers(kernel: HugeKernel) -> None:
    wanted = {"pools": [{"size": "1G", "count": "16", "node": "1"}]}
    assert decide(wanted, _host(kernel), {}).apply["kernel_args"] == LINE.split()

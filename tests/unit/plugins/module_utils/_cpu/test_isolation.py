# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.isolation import (
    Isolation,
    refusals,
    running_set,
    torn_cores,
    unmet,
)
from tests.unit.plugins.cpu_machines import CORE_8700K, MACHINES, RYZEN_1600, topology_of

LINE = "isolcpus=managed_irq,domain,6-11 nohz_full=6-11 rcu_nocbs=6-11 irqaffinity=0-5"
UPPER = tuple(range(6, 12))


def test_arguments_in_their_fixed_order() -> None:
    assert " ".join(Isolation(UPPER).kernel_args(MACHINES["ryzen 1600"])) == LINE


@pytest.mark.parametrize(
    ("isolation", "machine", "line"),
    [
        (Isolation(()), "ryzen 1600", ""),
        (
            Isolation((2, 3), nohz_full=False, rcu_nocbs=False, irqaffinity=False),
            "no smt",
            "isolcpus=managed_irq,domain,2-3",
        ),
        (
            Isolation((2, 3), rcu_nocbs=False, irqaffinity=False),
            "no smt",
            "isolcpus=managed_irq,domain,2-3 nohz_full=2-3",
        ),
        # A kernel without nohz_full would ignore the parameter.
        (Isolation((3,)), "without nohz", "isolcpus=managed_irq,domain,3 rcu_nocbs=3 irqaffinity=0-2"),
        # The rest of the host is what is online, not what exists.
        (
            Isolation((4, 5)),
            "smt switched off",
            "isolcpus=managed_irq,domain,4-5 nohz_full=4-5 rcu_nocbs=4-5 irqaffinity=0-3",
        ),
    ],
)
def test_arguments_by_options(isolation: Isolation, machine: str, line: str) -> None:
    assert " ".join(isolation.kernel_args(MACHINES[machine])) == line


@pytest.mark.parametrize(
    ("cpus", "machine", "said"),
    [
        ((0, 1), "ryzen 1600", "CPU 0 cannot be isolated"),
        (tuple(range(12)), "ryzen 1600", "leaves no CPU for the host: it has 0-11"),
        ((10, 99), "ryzen 1600", "CPU 99 does not exist and cannot be isolated: this host has 0-11"),
        ((3, 2), "half a core off", "CPU 3 is offline"),
        ((0, 1, 2, 3, 4, 5), "smt switched off", "leaves no CPU for the host"),
    ],
)
def test_sets_that_are_refused(cpus: tuple[int, ...], machine: str, said: str) -> None:
    assert [said in reason for reason in refusals(Isolation(cpus), MACHINES[machine])] == [True]


def test_sets_that_are_fine() -> None:
    assert refusals(Isolation(UPPER), MACHINES["ryzen 1600"]) == ()
    assert refusals(Isolation(()), MACHINES["ryzen 1600"]) == ()


def test_torn_cores() -> None:
    assert torn_cores(Isolation((4, 5, 6)), MACHINES["ryzen 1600"]) == (7,)
    assert torn_cores(Isolation((4, 10)), MACHINES["core 8700k"]) == ()


@pytest.mark.parametrize(
    ("line", "differs"),
    [
        (LINE, []),
        # The same CPUs in other words.
        ("isolcpus=6,7,8-11 nohz_full=6-11 rcu_nocbs=6-8,9-11 irqaffinity=0,1-5", []),
        ("isolcpus=6-11", ["the kernel runs without rcu_nocbs=6-11", "the kernel runs without irqaffinity=0-5"]),
        # The last one counts.
        (f"irqaffinity=0 {LINE}", []),
        (f"{LINE} irqaffinity=0", ["the kernel runs without irqaffinity=0-5"]),
    ],
)
def test_the_running_kernel_is_compared_by_meaning(line: str, differs: list[str]) -> None:
    assert list(unmet(Isolation(UPPER), MACHINES["isolating"], line.split())) == differs


def test_what_the_kernel_reports_counts_more_than_its_command_line() -> None:
    assert unmet(Isolation(UPPER), MACHINES["ryzen 1600"], LINE.split()) == (
        "isolated CPUs are none, not 6-11",
        "nohz_full CPUs are none, not 6-11",
    )
    assert unmet(Isolation(()), topology_of(CORE_8700K, isolated=(4, 5)), []) == ("isolated CPUs are 4-5, not none",)
    ticking = topology_of(RYZEN_1600, isolated=UPPER, nohz_full=UPPER)
    assert unmet(Isolation(UPPER, nohz_full=False), ticking, LINE.split()) == ("nohz_full CPUs are 6-11, not none",)


@pytest.mark.parametrize(
    ("name", "line", "cpus"),
    [
        ("isolcpus", "isolcpus=nohz,domain,2-3", {2, 3}),
        ("isolcpus", "isolcpus=2,3", {2, 3}),
        ("rcu_nocbs", "rcu-nocbs=1", {1}),
        ("rcu_nocbs", "quiet", None),
        ("rcu_nocbs", "rcu_nocbs", None),
        ("rcu_nocbs", "rcu_nocbs=all", set()),
        ("nohz_full", "nohz_full=1-31:2/4", None),
    ],
)
def test_sets_on_a_command_line(name: str, line: str, cpus: set[int] | None) -> None:
    assert running_set(name, line.split()) == cpus

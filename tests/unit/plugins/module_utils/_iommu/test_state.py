# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override import Override
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.state import read_iommu_state
from tests.unit.plugins.host_tree import HostTree
from tests.unit.plugins.iommu_cases import bridge, function

ENABLED = "PCIe ACS overrides enabled; This may allow non-IOMMU protected peer-to-peer DMA"
# Two functions behind a root port without ACS.
SLOT = [
    bridge("00:01.0", ids="8086:1901"),
    function("01:00.0", under="00:01.0", multifunction=True),
    function("01:00.1", under="00:01.0"),
]


class Host:
    """A captured tree with groups as given; ``log`` is its kernel's."""

    def __init__(
        self, base: Path, *, log: str = "Linux version 6.1\n", groups: t.Sequence[t.Sequence[int]] = ()
    ) -> None:
        self.tree = HostTree(base)
        self.tree.write("/var/log/dmesg", log)
        numbers = {member: number for number, members in enumerate(groups) for member in members}
        for number in range(len(groups)):
            self.tree.write(f"/sys/kernel/iommu_groups/{number}/reserved_regions", "")
        self.devices = [
            dataclasses.replace(device, iommu_group=numbers.get(position)) for position, device in enumerate(SLOT)
        ]

    def read(self, running: str = "ro", following: str = "ro", what_if: Override | None = None) -> dict[str, t.Any]:
        boot = {
            "running": running.split(),
            "next_boot": following.split(),
            "entries": [{"kernel": "6.1", "default": True}],
        }
        return read_iommu_state(self.tree.root, _no_program, self.devices, boot, what_if)


def _no_program(argv: t.Sequence[str], cwd: str | None = None) -> CommandResult:
    raise AssertionError(f"a captured tree needs no {argv[0]}")


def members(state: t.Mapping[str, t.Any]) -> list[list[str]]:
    return [group["devices"] for group in state["predicted_groups"]]


TOGETHER = [["0000:00:01.0", "0000:01:00.0", "0000:01:00.1"]]
APART = [["0000:00:01.0"], ["0000:01:00.0", "0000:01:00.1"]]


def test_with_the_iommu_off_the_next_boot_is_predicted_and_nothing_differs(tmp_path: Path) -> None:
    state = Host(tmp_path).read()
    assert (state["enabled"], members(state), state["prediction_differs"]) == (False, TOGETHER, [])


def test_the_kernels_groups_are_compared_with_the_prediction(tmp_path: Path) -> None:
    assert Host(tmp_path / "as predicted", groups=[[0, 1, 2]]).read()["prediction_differs"] == []
    (difference,) = Host(tmp_path / "finer", groups=[[0], [1, 2]]).read()["prediction_differs"][:1]
    assert difference["devices"] == ["0000:00:01.0"]
    assert difference["predicted"] == TOGETHER


def test_functions_outside_every_group_are_left_out_while_the_iommu_is_on(tmp_path: Path) -> None:
    assert members(Host(tmp_path, groups=[[0, 1]]).read()) == [TOGETHER[0][:2]]


def test_an_override_that_runs_and_works_is_part_of_the_prediction(tmp_path: Path) -> None:
    patched = Host(tmp_path / "patched", log=f"Linux version 6.1\n{ENABLED}\n", groups=[[0], [1, 2]])
    state = patched.read(running="ro pcie_acs_override=downstream", following="ro")
    assert (members(state), state["prediction_differs"]) == (APART, [])
    assert state["acs_override"]["running"]["effective"] is True
    # On a kernel that says nothing of it, nobody knows.
    plain = Host(tmp_path / "plain", groups=[[0, 1, 2]])
    state = plain.read(running="ro pcie_acs_override=downstream")
    assert (members(state), state["acs_override"]["running"]["effective"]) == (TOGETHER, None)


def test_a_what_if_changes_the_prediction_and_not_the_comparison(tmp_path: Path) -> None:
    state = Host(tmp_path, groups=[[0, 1, 2]]).read(what_if=Override.parse(["downstream"]))
    assert (members(state), state["prediction_differs"]) == (APART, [])


def test_what_a_person_loaded_vfio_with_is_read(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert set(host.read()["vfio_parameters"].values()) == {False}
    host.tree.write("/sys/module/iommufd/parameters/allow_unsafe_interrupts", "Y\n")
    host.tree.write("/sys/module/vfio_pci/parameters/disable_denylist", "N\n")
    assert host.read()["vfio_parameters"] == {"allow_unsafe_interrupts": True, "disable_denylist": False}


def test_the_log_is_read_only_where_an_old_chipset_leaves_nothing_else(tmp_path: Path) -> None:
    host = Host(tmp_path, log="Linux version 6.1\nIntel PCH root port ACS workaround enabled\n")
    assert host.read()["platform"]["pch_workaround"] is None
    host.devices[0] = dataclasses.replace(bridge("00:01.0", ids="8086:1c10"))
    assert host.read()["platform"]["pch_workaround"] is True

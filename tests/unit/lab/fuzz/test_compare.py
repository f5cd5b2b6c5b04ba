# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A capture as the collection's own reader sees it, and what is said when the prediction is another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from lab.fuzz import sysfs_tree
from lab.fuzz.capture import Capture
from lab.fuzz.compare import compare
from tests.unit.lab.fuzz.guest import UNCOVERED, bridged, function, partly_covered


def read(seen: Capture, base: Path) -> dict[str, Device]:
    sysfs_tree.write(seen, base)
    return {str(device.address): device for device in read_devices(Root(str(base)), Ledger())}


def test_reader_finds_what_was_captured(tmp_path: Path) -> None:
    devices = read(partly_covered(), tmp_path)
    assert sorted(devices) == sorted(partly_covered().functions)
    child = devices["0000:01:03.0"]
    assert (child.parent, child.iommu_group) == (Address.parse("0000:00:02.0"), 1)
    assert str(child.identity) == "8086:100e subsystem 1af4:1100"
    assert child.class_code == "0200"
    assert child.reset_methods == ("pm",)
    assert devices["0000:00:02.0"].is_bridge
    assert devices[UNCOVERED].iommu_group is None
    assert devices[UNCOVERED].parent is None


def test_reader_finds_the_pf_of_a_vf(tmp_path: Path) -> None:
    functions = {
        "0000:00:01.0": function("0000:00:01.0", "0"),
        # A VF's path does not go through its PF.
        "0000:00:01.1": function("0000:00:01.1", "1", b"\xff" * 64, physfn="0000:00:01.0"),
    }
    devices = read(Capture("6.1", "", functions), tmp_path)
    assert devices["0000:00:01.1"].physfn == Address.parse("0000:00:01.0")
    assert devices["0000:00:01.1"].identity.vendor_id == "8086"


def test_a_class_that_begins_with_zeros_keeps_them(tmp_path: Path) -> None:
    old = {"0000:00:01.0": function("0000:00:01.0", "0", class_code="0x000100")}
    assert read(Capture("6.1", "", old), tmp_path)["0000:00:01.0"].class_code == "0001"


def test_equal() -> None:
    found = compare(partly_covered())
    assert (found.functions, found.groups, found.differences) == (5, 2, ())


def test_difference_names_both_sides_and_the_reason() -> None:
    seen = bridged()
    alone = replace(seen.functions["0000:01:04.0"], group="7")
    found = compare(replace(seen, functions={**seen.functions, "0000:01:04.0": alone}))
    kernel, other, predicted = found.differences
    assert kernel == "kernel:    0000:00:02.0 0000:01:03.0"
    assert other == "kernel:    0000:01:04.0"
    assert predicted.startswith("predicted: 0000:00:02.0 0000:01:03.0 0000:01:04.0 because ")
    assert "0000:00:02.0 is a conventional PCI bridge" in predicted


def test_a_group_that_the_kernel_did_not_make_is_told() -> None:
    seen = bridged()
    joined = replace(seen.functions["0000:00:01.0"], group="1")
    found = compare(replace(seen, functions={**seen.functions, "0000:00:01.0": joined}))
    assert "predicted: 0000:00:01.0" in found.differences

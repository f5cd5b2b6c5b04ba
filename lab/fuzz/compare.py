# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's IOMMU groups beside those that the collection predicts from the same configuration spaces."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.prediction import (
    Platform,
    PredictedGroup,
    predict_groups,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from lab.fuzz import sysfs_tree
from lab.fuzz.capture import Capture

Groups = frozenset[frozenset[str]]


@dataclass(frozen=True)
class Comparison:
    """``differences`` are lines to print; there are none where every group is as predicted."""

    functions: int
    groups: int
    differences: tuple[str, ...]


def compare(capture: Capture) -> Comparison:
    kernel = capture.groups()
    predicted = predict(capture)
    lines = tuple(_differences(kernel, predicted))
    return Comparison(len(capture.functions), len(kernel), lines)


def predict(capture: Capture) -> tuple[PredictedGroup, ...]:
    """Predict from what the collection's reader makes of the capture, the kernel's own groups left out of it."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
        sysfs_tree.write(capture, Path(directory))
        devices = read_devices(Root(directory), Ledger())
    without_group = [Address.parse(address) for address in capture.without_group()]
    # An emulated Intel IOMMU: no IVRS table, no root ports of a PCH.
    return predict_groups(devices, Platform(), None, without_group)


def _differences(kernel: Groups, predicted: tuple[PredictedGroup, ...]) -> Iterator[str]:
    by_members = {frozenset(map(str, group.devices)): group for group in predicted}
    for members in _ordered(kernel - set(by_members)):
        yield f"kernel:    {' '.join(members)}"
    for members in _ordered(set(by_members) - kernel):
        reasons = by_members[frozenset(members)].reasons
        yield f"predicted: {' '.join(members)}{' because ' * bool(reasons)}{'; '.join(reasons)}"


def _ordered(groups: Iterable[frozenset[str]]) -> list[list[str]]:
    return sorted(sorted(members) for members in groups)

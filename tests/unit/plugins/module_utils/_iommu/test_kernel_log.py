# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.kernel_log import (
    LogEvidence,
    read_log_evidence,
)
from tests.unit.plugins.reference_hosts import DMAR_LOG


def test_two_units_and_five_identity_mapped_devices() -> None:
    found = read_log_evidence(DMAR_LOG)
    assert (found.enabled, found.units) == (True, 2)
    assert [str(address) for address in found.identity_mapped] == [
        "0000:00:02.0",
        "0000:00:14.0",
        "0000:00:1a.0",
        "0000:00:1d.0",
        "0000:00:1f.0",
    ]


@pytest.mark.parametrize(
    ("line", "units"),
    [
        ("[    0.05] DMAR: dmar0: reg_base_addr fed90000 ver 4:0 cap 1c0000c40660462 ecap 29a00f0505e", 1),
        ("[    0.70] pci 0000:00:00.2: AMD-Vi: Found IOMMU cap 0x40", 1),
        ("[    0.70] DMAR: Host address width 39", 0),
    ],
)
def test_units_in_the_words_of_today(line: str, units: int) -> None:
    assert read_log_evidence(line).units == units


def test_a_device_that_vfio_was_denied_for_its_reserved_memory() -> None:
    line = "vfio-pci 0000:01:00.1: DMAR: Device is ineligible for IOMMU domain attach due to platform RMRR requirement."
    assert [str(address) for address in read_log_evidence(line).ineligible] == ["0000:01:00.1"]


@given(st.text())
def test_other_lines_are_no_evidence(text: str) -> None:
    assert read_log_evidence(text) == LogEvidence()

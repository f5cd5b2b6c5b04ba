# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.options import ignored_words, off_switch

SWITCHES = [
    ("ro quiet", None),
    ("intel_iommu=on", None),
    ("intel_iommu=off", "intel_iommu=off"),
    ("intel-iommu=igfx_off,off", "intel-iommu=igfx_off,off"),
    ("intel_iommu=off intel_iommu=on", None),
    ("intel_iommu=on intel_iommu=off", "intel_iommu=off"),
    ("intel_iommu=sm_off,sp_off,igfx_off", None),
    # Nothing takes these back.
    ("amd_iommu=fullflush,off amd_iommu=force_enable", "amd_iommu=fullflush,off"),
    ("iommu=off iommu=pt", "iommu=off"),
    ("iommu=soft", "iommu=soft"),
    ("iommu=pt", None),
    ("ro -- intel_iommu=off", None),
]

IGNORED = [
    ("intel_iommu=on,igfx_off", []),
    ("intel_iommu=pt", ["pt"]),
    ("amd_iommu=on", ["on"]),
    ("amd_iommu=on,fullflush,pt", ["on", "pt"]),
    ("iommu=whatever", []),
    ("amd_iommu", []),
]


@pytest.mark.parametrize(("line", "token"), SWITCHES)
def test_what_turns_an_iommu_off_is_read_word_by_word_as_the_drivers_do(line: str, token: str | None) -> None:
    assert off_switch(line.split()) == token


@pytest.mark.parametrize(("argument", "words"), IGNORED)
def test_words_that_a_driver_does_not_know(argument: str, words: list[str]) -> None:
    assert ignored_words(argument) == words

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import split
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.unknown import (
    unknown_parameters,
    without_effect,
)

NOW = '[    0.034] Unknown kernel command line parameters "{}", will be passed to user space.\n[    0.035] more\n'
IN_5_14 = "Unknown command line parameters: {}\n"

# the running line, what the kernel reports, which tokens that are
REPORTS = [
    ("BOOT_IMAGE=/vmlinuz ro quiet splash", "splash BOOT_IMAGE=/vmlinuz", ["splash"]),
    ("ro pcie-acs-override=downstream", "pcie-acs-override=downstream", ["pcie-acs-override=downstream"]),
    # Without the quotes, so that only the line tells where a value ends.
    ('a="b c" c d', "d a=b c", ['a="b c"', "d"]),
    ('"a=b c"', "a=b c", ['"a=b c"']),
    # Not a part of another one, and not what belongs to init.
    ("hugepages=1 x", "hugepages=10 xx", []),
    ("ro -- splash", "splash", []),
    ("ro", "", []),
]


@pytest.mark.parametrize("form", [NOW, IN_5_14])
@pytest.mark.parametrize(("line", "report", "unknown"), REPORTS)
def test_the_tokens_that_the_kernel_reported(form: str, line: str, report: str, unknown: list[str]) -> None:
    assert unknown_parameters(form.format(report), split(line)) == unknown


def test_a_log_without_a_report_names_nothing() -> None:
    assert unknown_parameters("Linux version 6.12\nKernel command line: ro splash\n", ["ro", "splash"]) == []


def test_a_report_that_the_log_cut_off_still_counts() -> None:
    assert unknown_parameters('Unknown kernel command line parameters "splash foo=ba', ["splash", "foo=bar"]) == [
        "splash"
    ]


def test_only_our_own_are_worth_a_warning_and_not_those_that_are_heeded_all_the_same() -> None:
    unknown = ["splash", "intel_iommu=on", "foo_bar=1"]
    assert without_effect(unknown, ["intel_iommu=on", "foo-bar=1", "quiet"]) == ["foo-bar=1"]

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Defects that were found in other projects' handling of the command line, each by its number on the list that this
collection was started from. What a test is named after must never happen here."""

from __future__ import annotations

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    RefusedError,
    ToolError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages.pages import kernel_version
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.groups import AMD, INTEL, cpu_vendor
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.iommu import kernel_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import MODULES
from tests.unit.plugins.module_utils._cmdline.grub_host import NORMAL, RECOVERY, GrubHost


def test_lesson_1_the_whole_line_was_wiped_an_empty_list_takes_only_our_own_away(host: GrubHost) -> None:
    before = host.snapshot()
    host.set("iommu", "intel_iommu=on")
    host.set("iommu")
    assert host.snapshot() == before


def test_lesson_2_the_order_was_lost_with_sets(host: GrubHost) -> None:
    pairs = ["hugepagesz=2M", "hugepages=64", "hugepagesz=1G", "hugepages=2"]
    host.set("hugepages", *pairs)
    assert host.lines()[0] == f"{NORMAL} {' '.join(pairs)}"
    assert host.lines()[0].index("console=tty0") < host.lines()[0].index("console=ttyS0")
    assert not host.set("hugepages", *pairs).changed
    turned = [*pairs[2:], *pairs[:2]]
    assert host.set("hugepages", *turned).changed
    assert host.lines()[0] == f"{NORMAL} {' '.join(turned)}"


def test_lesson_3_all_kernels_were_judged_by_the_first_entry(host: GrubHost) -> None:
    host.set("iommu", "intel_iommu=on")
    first, second, rest = host.configuration.read_text().partition("menuentry 'Debian, 6.1'")
    host.configuration.chmod(0o644)
    host.configuration.write_text(first + second + rest.replace(" intel_iommu=on", "", 1))
    assert host.lines() == [f"{NORMAL} intel_iommu=on", NORMAL, RECOVERY]
    assert host.set("iommu", "intel_iommu=on").changed
    assert host.lines() == [f"{NORMAL} intel_iommu=on", f"{NORMAL} intel_iommu=on", RECOVERY]


@pytest.mark.parametrize(
    "failure", ["exit status", "nothing written", "empty", "truncated", "full disk", "other arguments"]
)
def test_lesson_3_a_failing_tool_was_reported_as_a_change(host: GrubHost, failure: str) -> None:
    before = host.snapshot()
    host.failure = failure
    with pytest.raises(ToolError):
        host.set("iommu", "intel_iommu=on")
    assert host.snapshot() == before
    host.failure = None
    host.set("iommu", "intel_iommu=on")
    before = host.snapshot()
    host.failure = failure
    with pytest.raises(ToolError):
        host.set("iommu", "intel_iommu=on", "iommu=pt")
    assert host.snapshot() == before


@pytest.mark.parametrize(
    ("there", "asked"),
    [("hugepages=10", "hugepages=1"), ("debugpat=1", "debug"), ("xa.b=1", "a.b=1")],
)
def test_lesson_4_a_part_of_a_token_counted_as_the_token(host: GrubHost, there: str, asked: str) -> None:
    host.set("other", there)
    assert host.set("user", asked).changed
    assert host.lines()[0] == f"{NORMAL} {there} {asked}"
    host.set("user")
    assert host.lines()[0] == f"{NORMAL} {there}"


@pytest.mark.parametrize(
    ("there", "asked"),
    [("hugepages=10", "hugepages=1"), ("debugpat=1", "debug"), ("xa.b=1", "a.b=1"), ("axb=1", "a.b=1")],
)
def test_lesson_4_a_part_of_somebody_elses_token_counted_as_the_token(host: GrubHost, there: str, asked: str) -> None:
    defaults = host.base / "etc/default/grub"
    defaults.write_text(defaults.read_text().replace("mitigations=off", f"mitigations=off {there}"))
    host.configuration.chmod(0o644)
    host.configuration.write_text(host.generate())
    assert host.lines()[0] == f"{NORMAL} {there}"
    assert host.set("user", asked).changed
    assert host.lines()[0] == f"{NORMAL} {there} {asked}"
    host.set("user")
    assert host.lines()[0] == f"{NORMAL} {there}"


def test_lesson_4_an_expression_that_was_not_escaped_matched_others(host: GrubHost) -> None:
    host.set("other", "axb=1")
    assert host.set("user", "a.b=1").changed
    host.set("user")
    assert host.lines()[0] == f"{NORMAL} axb=1"


def test_lesson_5_a_changed_value_was_added_beside_the_old_one(host: GrubHost) -> None:
    host.set("hugepages", "hugepages=412")
    host.set("hugepages", "hugepages=400")
    assert host.lines()[0] == f"{NORMAL} hugepages=400"
    host.set("hugepages", "debug")
    assert host.lines()[0] == f"{NORMAL} debug"


def test_lesson_6_a_missed_reboot_was_forgotten(host: GrubHost) -> None:
    host.set("iommu", "intel_iommu=on")
    again = host.set("iommu", "intel_iommu=on")
    assert not again.changed
    assert again.state["reboot_required"]
    assert again.state["differs"] == [{"parameter": "intel_iommu", "running": [], "next_boot": ["intel_iommu=on"]}]
    (host.base / "proc/cmdline").write_text(f"BOOT_IMAGE=/boot/vmlinuz-6.12 {NORMAL} intel_iommu=on\n")
    assert not host.set("iommu", "intel_iommu=on").state["reboot_required"]
    # And one that is owed for what was taken away.
    assert host.set("iommu").state["reboot_required"]
    assert host.set("iommu").state["reboot_required"]


def test_lesson_7_versions_were_compared_as_strings() -> None:
    assert kernel_version("10.0.1") > kernel_version("9.12.0")
    assert kernel_version("6.10.0-1-amd64") > kernel_version("6.9.0-1-amd64")


@pytest.mark.parametrize(
    "lines", [["processor\t: 0", "vendor_id\t: {}"], ["vendor_id\t: {}", "model name\t: AuthenticAMD"]]
)
@pytest.mark.parametrize("vendor", [AMD, INTEL])
def test_lesson_7_the_vendor_was_taken_from_a_fixed_place(host: GrubHost, vendor: str, lines: list[str]) -> None:
    (host.base / "proc/cpuinfo").write_text("\n".join(lines).format(vendor))
    assert cpu_vendor(Root(str(host.base))) == vendor


def test_lesson_11_options_that_no_kernel_knows_were_written() -> None:
    for vendor in (AMD, INTEL, ""):
        for passthrough_mode in (False, True):
            assert not [word for word in kernel_arguments(vendor, passthrough_mode) if word.startswith("amd_iommu")]
    assert "vfio_virqfd" not in MODULES


@pytest.mark.parametrize("argument", [">/etc/default/grub", "a=1>>/tmp/x", "a|tee", "a;b", "$(b)", "`b`", "a&"])
def test_lesson_12_a_shells_words_went_where_no_shell_reads_them(host: GrubHost, argument: str) -> None:
    before = host.snapshot()
    with pytest.raises(RefusedError, match="GRUB's own language"):
        host.set("user", argument)
    assert (host.snapshot(), host.runs) == (before, 0)


def test_lesson_12_writing_nothing_was_reported_as_success(host: GrubHost) -> None:
    before = host.snapshot()
    host.failure = "nothing written"
    with pytest.raises(ToolError, match="generated no boot entry"):
        host.set("iommu", "intel_iommu=on")
    assert host.snapshot() == before


def test_lesson_13_a_generated_menu_was_changed_while_others_entries_booted(host: GrubHost) -> None:
    host.configuration.chmod(0o644)
    host.configuration.write_text("insmod blscfg\nblscfg\n")
    with pytest.raises(HostStateError, match="blscfg"):
        host.set("iommu", "intel_iommu=on")

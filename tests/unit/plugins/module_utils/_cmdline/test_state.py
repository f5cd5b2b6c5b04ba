# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import (
    differs_from_running,
    parameter_differences,
)

ENTRY = ["root=/dev/vda2", "ro", "quiet"]

RUNNING = [
    (["BOOT_IMAGE=/boot/vmlinuz-6.1.0-40-amd64", *ENTRY], False),
    (["initrd=\\initrd.img", *ENTRY], False),
    (ENTRY, False),
    (["BOOT_IMAGE=/boot/vmlinuz-6.1.0-40-amd64", *ENTRY, "intel_iommu=on"], True),
    (["BOOT_IMAGE=/boot/vmlinuz-6.1.0-40-amd64", *ENTRY[:-1]], True),
    (["BOOT_IMAGE=/boot/vmlinuz-6.1.0-40-amd64", "root=/dev/vda2", "quiet", "ro"], True),
]


@pytest.mark.parametrize(("running", "differs"), RUNNING)
def test_the_next_boot_is_compared_as_a_whole_and_what_the_loader_adds_does_not_count(
    running: list[str], differs: bool
) -> None:
    assert differs_from_running(ENTRY, running) is differs


def test_without_a_known_entry_nothing_is_said_to_differ() -> None:
    assert not differs_from_running([], ["quiet"])


def test_what_grub_expands_by_itself_does_not_count() -> None:
    for variable in ("$vt_handoff", "${vt_handoff}"):
        assert not differs_from_running([*ENTRY, variable], ["BOOT_IMAGE=/vmlinuz", *ENTRY, "vt.handoff=7"])
    assert differs_from_running(ENTRY, [*ENTRY, "vt.handoff=7"])


def test_quotes_that_grub_moves_do_not_count() -> None:
    assert not differs_from_running([*ENTRY, 'a="b c"'], [*ENTRY, '"a=b c"'])


def test_an_initramfs_that_the_entry_itself_names_counts() -> None:
    assert not differs_from_running([*ENTRY, "initrd=/a"], [*ENTRY, "initrd=/a"])
    assert differs_from_running([*ENTRY, "initrd=/b"], [*ENTRY, "initrd=/a"])


DIFFERENCES = [
    (["ro", "a=1"], ["BOOT_IMAGE=/vmlinuz", "ro", "a=1"], []),
    (["ro", "a=1"], ["ro"], [("a", [], ["a=1"])]),
    (["ro"], ["ro", "a=1"], [("a", ["a=1"], [])]),
    (["a-b=2"], ["a_b=1"], [("a_b", ["a_b=1"], ["a-b=2"])]),
    (
        ["console=tty0", "console=ttyS0"],
        ["console=ttyS0", "console=tty0"],
        [("console", ["console=ttyS0", "console=tty0"], ["console=tty0", "console=ttyS0"])],
    ),
    (["debug"], ["debug=1"], [("debug", ["debug=1"], ["debug"])]),
    (['"a=b"'], ["a=b"], []),
    # Only the order of different parameters.
    (["a=1", "b=1"], ["b=1", "a=1"], []),
    # No loader was recognised.
    ([], ["ro"], []),
]


@pytest.mark.parametrize(("next_boot", "running", "differences"), DIFFERENCES)
def test_only_parameters_that_are_given_otherwise_are_named(
    next_boot: list[str], running: list[str], differences: list[tuple[str, list[str], list[str]]]
) -> None:
    assert parameter_differences(next_boot, running) == [
        {"parameter": name, "running": now, "next_boot": then} for name, now, then in differences
    ]

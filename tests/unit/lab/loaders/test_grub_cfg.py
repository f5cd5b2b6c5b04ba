# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from lab.loaders.grub_cfg import leftovers

BEFORE = (Path(__file__).resolve().parents[3] / "fixtures/grub/debian12/grub.cfg").read_text(encoding="utf-8")
OLD, NEW = "6.1.0-56-amd64", "6.1.0-57-cloud-amd64"


def with_second_kernel(text: str) -> str:
    """As update-grub lists a newer kernel: in the first entry, and first in the submenu."""
    head, submenu, rest = text.partition("submenu ")
    title, brace, entries = rest.partition("{\n")
    own = entries[: entries.index("\n}\n") + 1]
    return head.replace(OLD, NEW) + submenu + title + brace + own.replace(OLD, NEW) + entries


def test_a_kernel_that_joined_is_no_difference() -> None:
    after = with_second_kernel(BEFORE)
    assert leftovers(BEFORE, after, OLD, NEW) == []


@pytest.mark.parametrize(
    "place",
    [
        f"vmlinuz-{NEW} ",
        f"vmlinuz-{OLD} ",
        "set timeout_style=menu\n",
        "'uefi-firmware' {\n",
    ],
)
def test_what_is_left_anywhere_else_is_shown(place: str) -> None:
    after = with_second_kernel(BEFORE)
    assert place in after
    left = leftovers(BEFORE, after.replace(place, f"{place}nosoftlockup ", 1), OLD, NEW)
    assert any("nosoftlockup" in line for line in left)


def test_a_menu_without_entries_is_no_menu() -> None:
    assert leftovers(BEFORE, "", OLD, NEW) == ["the menu has no entry"]

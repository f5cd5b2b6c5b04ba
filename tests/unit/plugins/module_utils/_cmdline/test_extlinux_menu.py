# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.extlinux_menu import parse_entries

TWO = """\
# a comment
default {default}
menu title U-Boot menu
label l0
\tmenu label New
\tlinux /vmlinuz-6.12
\tinitrd /initrd.img-6.12
\tappend root=/dev/vda2 ro "dyndbg=module vfio +p"
label l0r
\tmenu label New (rescue target)
\tlinux /vmlinuz-6.12
\tappend root=/dev/vda2 ro single
LABEL old
  KERNEL /boot/vmlinuz-6.1
  APPEND root=/dev/vda2 initrd=/boot/initrd-6.1 ro
label disk
  localboot 1
"""


def test_what_an_entry_says() -> None:
    new, recovery, old = parse_entries(TWO.format(default="l0"))
    assert (new.kernel, new.title, new.initrd) == ("6.12", "New", "/initrd.img-6.12")
    assert new.args == ("root=/dev/vda2", "ro", '"dyndbg=module vfio +p"')
    assert (new.default, new.rescue, new.managed, new.shared_tail) == (True, False, True, None)
    assert (recovery.rescue, recovery.shared_tail) == (True, 1)
    assert (old.kernel, old.title, old.initrd, old.managed) == ("6.1", "old", "/boot/initrd-6.1", False)


@pytest.mark.parametrize(
    ("default", "boots"), [("l0", "New"), ("old", "old"), ("gone", "New"), ("", "New"), ("disk", "New")]
)
def test_what_boots_next(default: str, boots: str) -> None:
    assert [entry.title for entry in parse_entries(TWO.format(default=default)) if entry.default] == [boots]


def test_the_last_word_on_the_default_counts() -> None:
    text = TWO.format(default="l0") + "label mine\n\tmenu default\n\tlinux /vmlinuz-mine\n"
    assert parse_entries(text)[-1].default
    assert parse_entries(text + "ontimeout l0r\n")[1].default


def test_line_ends_of_another_system_and_blank_lines_do_not_matter() -> None:
    text = TWO.format(default="old")
    assert parse_entries(text.replace("\n", "\r\n\r\n")) == parse_entries(text)


@given(st.text(alphabet="labe kinux/\t\nd#ft0pr", max_size=200))
def test_whatever_stands_there_one_entry_boots_if_there_is_any(text: str) -> None:
    entries = parse_entries(text)
    assert sum(entry.default for entry in entries) == bool(entries)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.bls import BlsEntry, is_entry_file

ALMALINUX = b"""title AlmaLinux (5.14.0-427.13.1.el9_4.x86_64) 9.4 (Seafoam Ocelot)
version 5.14.0-427.13.1.el9_4.x86_64
linux /vmlinuz-5.14.0-427.13.1.el9_4.x86_64
initrd /initramfs-5.14.0-427.13.1.el9_4.x86_64.img $tuned_initrd
options root=/dev/mapper/almalinux-root ro crashkernel=1G-4G:192M rd.lvm.lv=almalinux/root $tuned_params
grub_users $grub_users
grub_arg --unrestricted
grub_class almalinux
"""
FIELDS = [
    (b"title\tA\nlinux /k\n", "A", []),
    (b"  title   A  \r\nlinux /k\r\noptions  a  b \r\n", "A", ["a", "b"]),
    (b"# title no\n\ntitle A # B\noptions a\noptions\toptions=b c\n", "A # B", ["a", "options=b", "c"]),
    (b'title A\noptions dyndbg="file a.c +p" quiet\n', "A", ['dyndbg="file a.c +p"', "quiet"]),
    (b"title A\noptions\ntitles B\noptions-x c\n", "A", []),
    (b"title A\xff\noptions a\xff", "A\udcff", ["a\udcff"]),
]
CHANGES = [
    (b"options a b \n", ["a", "b", "x", "y"], b"options a b x y \n"),
    (b"options\ta  b\r\nlinux /k", ["a", "x", "b"], b"options\ta x  b\r\nlinux /k"),
    (b"options a b\n", ["x", "a", "b"], b"options x a b\n"),
    (b"options a\noptions b\n", ["a", "b", "x"], b"options a\noptions b x\n"),
    (b"options a x\noptions y b\n", ["a", "b"], b"options a\noptions b\n"),
    (b"options a x b\n", ["a", "y", "z", "b"], b"options a y z b\n"),
    (b"options \n", ["x"], b"options x\n"),
    (b"options\n", ["x"], b"options x\n"),
    (b"linux /k\r\n", ["x"], b"linux /k\r\noptions x\r\n"),
    (b"linux /k", ["x"], b"linux /k\noptions x"),
]

tokens = st.lists(st.sampled_from(["a", "b", "console=tty0", 'd="e f"', "$tuned_params"]), max_size=6)
blanks = st.sampled_from([" ", "  ", "\t"])


@pytest.mark.parametrize(("data", "title", "options"), FIELDS)
def test_fields_of_files_as_people_and_tools_write_them(data: bytes, title: str, options: list[str]) -> None:
    entry = BlsEntry("a.conf", data)
    assert (entry.title, entry.options) == (title, options)


def test_an_entry_of_enterprise_linux() -> None:
    entry = BlsEntry("0123-5.14.0-427.13.1.el9_4.x86_64.conf", ALMALINUX)
    assert entry.identifier == "0123-5.14.0-427.13.1.el9_4.x86_64"
    assert entry.linux == "/vmlinuz-5.14.0-427.13.1.el9_4.x86_64"
    assert entry.initrds == ("/initramfs-5.14.0-427.13.1.el9_4.x86_64.img", "$tuned_initrd")
    assert entry.options[-1] == "$tuned_params"
    assert entry.all("grub_arg") == ("--unrestricted",)
    assert entry.tries_left is None


@pytest.mark.parametrize(
    ("name", "identifier", "left", "done"),
    [("a-6.1.conf", "a-6.1", None, None), ("a+3.conf", "a", 3, 0), ("a-6.1+0-2.conf", "a-6.1", 0, 2)],
)
def test_counters_of_boot_counting(name: str, identifier: str, left: int | None, done: int | None) -> None:
    entry = BlsEntry(name, b"")
    assert (entry.identifier, entry.tries_left, entry.tries_done) == (identifier, left, done)


@pytest.mark.parametrize(("before", "options", "after"), CHANGES)
def test_only_the_tokens_that_differ_change(before: bytes, options: list[str], after: bytes) -> None:
    changed = BlsEntry("a.conf", before).with_options(options)
    assert (changed.data, changed.options) == (after, options)


@given(st.lists(st.tuples(tokens, blanks), min_size=1, max_size=3), tokens, st.booleans(), st.integers(0, 20))
def test_what_was_put_in_comes_out_without_a_trace(
    lines: list[tuple[list[str], str]], ours: list[str], trailing: bool, position: int
) -> None:
    end = " \n" if trailing else "\n"
    text = "# c\n" + "".join(f"options {blank.join(line)}{end}linux /k\n" for line, blank in lines)
    entry = BlsEntry("a.conf", text.encode())
    old = entry.options
    if not old:
        return
    place = min(position, len(old))
    wanted = [*old[:place], *[f"ours{number}={token}" for number, token in enumerate(ours)], *old[place:]]
    changed = entry.with_options(wanted)
    assert changed.options == wanted
    assert changed.with_options(old).data == entry.data


@given(tokens, tokens)
def test_any_options_can_be_asked_for(old: list[str], new: list[str]) -> None:
    entry = BlsEntry("a.conf", f"title T\noptions {' '.join(old)}\nversion 1\n".encode())
    changed = entry.with_options(new)
    assert changed.options == new
    assert (changed.title, changed.version) == ("T", "1")


@pytest.mark.parametrize(
    ("name", "read"), [("a.conf", True), (".a.conf.x", False), (".conf", False), (".a.conf", False), ("a.bak", False)]
)
def test_which_files_are_entries(name: str, read: bool) -> None:
    assert is_entry_file(name) is read

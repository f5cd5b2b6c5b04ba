# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.grub_script import (
    Interpreter,
    commands,
    plain,
)

COMMANDS = [
    ("a b\n\n c\r\n", [["a", "b"], ["c"]]),
    ("a; b;c", [["a"], ["b"], ["c"]]),
    ("# a\na b#c # d", [["a", "b#c"]]),
    ("menuentry 'A; {b}' { linux /k a=${b} ; }", [["menuentry", "'A; {b}'", "{"], ["linux", "/k", "a=${b}"], ["}"]]),
    ("linux /k \\\n  a", [["linux", "/k", "a"]]),
    ("a 'unfinished\nb", [["a", "'unfinished"], ["b"]]),
]
WORDS = [
    ("'a $b'", "a $b"),
    ('"a $b"c', "a 1c"),
    ("x${b}y$none", "x1y"),
    (r'\$b"\$b"', "$b$b"),
    ("'It'\\''s'", "It's"),
]
DECISIONS = [
    ("if [ $yes ]; then set x=1; else set x=2; fi", "1"),
    ("if [ $no ]; then set x=1; else set x=2; fi", "2"),
    ("if [ -z ${no} ] ; then\nset x=1\nfi", "1"),
    ("if [ x$yes = xy ] ; then\nx=1\nfi", "1"),
    ("if [ ! $yes ]; then set x=1; elif [ $yes != n -a -n $yes ]; then set x=2; else set x=3; fi", "2"),
    ("if test $no -o $yes; then set x=1; fi", "1"),
    ("if [ $no ]; then if [ $yes ]; then set x=1; fi; fi", "0"),
    ("if [ $yes ]; then if [ $no ]; then set x=1; else set x=2; fi; set y=; fi", "2"),
    ("if [ -s $prefix/grubenv ]; then set x=1; fi", "1"),
]


@pytest.mark.parametrize(("text", "expected"), COMMANDS)
def test_commands_and_words(text: str, expected: list[list[str]]) -> None:
    assert list(commands(text)) == expected


@pytest.mark.parametrize(("word", "expected"), WORDS)
def test_quotes_and_variables(word: str, expected: str) -> None:
    assert plain(word, {"b": "1"}) == expected


@pytest.mark.parametrize(("text", "expected"), DECISIONS)
def test_what_a_menu_decides_before_it_is_shown(text: str, expected: str) -> None:
    script = Interpreter({"yes": "y", "x": "0"})
    for words in commands(text):
        script.take(words)
    assert script.variables["x"] == expected
    assert script.runs


@given(st.text("ab '\"\\${}[];#=\n", max_size=40))
def test_any_text_is_read_to_its_end(text: str) -> None:
    script = Interpreter({})
    for words in commands(text):
        script.take(words)

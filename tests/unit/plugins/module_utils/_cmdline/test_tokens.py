# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import (
    CommandLine,
    Token,
    check_argument,
    find_block,
    is_plain,
    key,
    replace_block,
    split,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from tests.unit.plugins.module_utils._cmdline.kernel_model import kernel_arguments

# Few characters, so that those with a meaning meet often.
ANY_LINE = st.text('ab=-_." \t\n', max_size=24) | st.text(
    st.characters(exclude_characters="\0\xa0", exclude_categories=["Cs"]), max_size=24
)
WORDS = st.text("abc=.,_19", min_size=1, max_size=8)
LINES = st.lists(WORDS, max_size=8)

SPLIT = [
    ("", []),
    ("quiet  ro\n", ["quiet", "ro"]),
    ("\tquiet\v\fro\r", ["quiet", "ro"]),
    ('dyndbg="file a.c +p" ro', ['dyndbg="file a.c +p"', "ro"]),
    ('"dyndbg=file a.c +p" ro', ['"dyndbg=file a.c +p"', "ro"]),
    ('init="never closed ro', ['init="never closed ro']),
]

MEANINGS = [
    ("quiet", ("quiet", None)),
    ("a=", ("a", "")),
    ("root=UUID=1-2", ("root", "UUID=1-2")),
    ("vfio-pci.disable-idle-d3=a-b", ("vfio_pci.disable_idle_d3", "a-b")),
    ('dyndbg="file a.c +p"', ("dyndbg", "file a.c +p")),
    ('"dyndbg=file a.c +p"', ("dyndbg", "file a.c +p")),
    ('a=b"c d"', ("a", 'b"c d"')),
    ("=a=b", ("=a", "b")),
]


@given(ANY_LINE)
def test_every_line_comes_back_as_it_was(line: str) -> None:
    assert str(CommandLine.parse(line)) == line


@given(ANY_LINE)
@example('"')
@example('""')
@example('a="')
@example('"a="b c"')
@example('"--" a')
@example("-- --")
def test_the_parser_reads_what_the_kernel_reads(line: str) -> None:
    parsed = CommandLine.parse(line)
    own, for_init = kernel_arguments(line)
    assert [token.meaning for token in parsed.kernel_part] == own
    assert len(parsed.tokens) == len(own) + len(for_init) + (len(parsed.kernel_part) < len(parsed.tokens))


@given(ANY_LINE)
def test_every_token_stands_for_itself(line: str) -> None:
    for token in CommandLine.parse(line).tokens:
        assert Token.parse(str(token)) == token


@pytest.mark.parametrize(("line", "tokens"), SPLIT)
def test_quotes_keep_blanks_together(line: str, tokens: list[str]) -> None:
    assert split(line) == tokens


@pytest.mark.parametrize(("text", "meaning"), MEANINGS)
def test_a_token_means_what_the_kernel_is_told(text: str, meaning: tuple[str, str | None]) -> None:
    assert Token.parse(text).meaning == meaning
    assert key(text) == meaning[0]


@pytest.mark.parametrize("text", ["", " ", "a b", " a", "a ", 'a="b c" d'])
def test_a_token_is_one_argument(text: str) -> None:
    with pytest.raises(InputError, match="expected exactly one"):
        Token.parse(text)


@given(LINES)
def test_splitting_what_was_joined_gives_it_back(tokens: list[str]) -> None:
    assert split(" ".join(tokens)) == tokens


def test_the_kernels_log_shows_a_token_without_its_quotes() -> None:
    assert [Token(text).unquoted for text in ('a="b c"', '"a=b c"', "vfio-pci.x=1", "quiet")] == [
        "a=b c",
        "a=b c",
        "vfio-pci.x=1",
        "quiet",
    ]


def test_a_block_is_found_whatever_a_boot_loader_made_of_its_quotes() -> None:
    assert find_block(["ro", '"dyndbg=a b"', "x"], ['dyndbg="a b"', "x"]) == 1


def test_what_belongs_to_init_is_no_place_for_a_block() -> None:
    assert find_block(["ro", "--", "a=1"], ["a=1"]) is None
    assert replace_block(["ro", "--", "a=1"], ["a=1"], ["a=2"]) == ["ro", "a=2", "--", "a=1"]
    assert replace_block(["ro", "--", "single"], [], ["a=1"]) == ["ro", "a=1", "--", "single"]


@given(LINES, LINES)
def test_taking_a_block_away_again_gives_the_line_back(line: list[str], block: list[str]) -> None:
    assert replace_block(replace_block(line, [], block), block, []) == line


@given(LINES, st.lists(WORDS, min_size=1, max_size=3), LINES, LINES)
def test_replacing_keeps_every_other_token_in_place_and_order(
    before: list[str], old: list[str], new: list[str], after: list[str]
) -> None:
    marked = ["<", *old, ">"]
    replaced = replace_block([*before, *marked, *after], marked, new)
    assert replaced == [*before, *new, *after]


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("a b", "expected exactly one"),
        ("", "expected exactly one"),
        ("a\nb", "expected exactly one"),
        ('a="b\nc"', "printable"),
        ("ünïcode", "printable"),
        ("a\x00b", "printable"),
        ('a="b', "not closed"),
        ("--", "ends the kernel's arguments"),
        ('"--"', "ends the kernel's arguments"),
        ('""', "names no parameter"),
    ],
)
def test_what_the_kernel_would_not_read_as_meant_is_refused(argument: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        check_argument(argument)


@pytest.mark.parametrize("argument", ["quiet", "isolcpus=managed_irq,domain,2-3", "root=UUID=a-b", "hugepages=0:4,1:2"])
def test_usual_arguments_are_plain(argument: str) -> None:
    assert check_argument(argument) == argument
    assert is_plain(argument)


@pytest.mark.parametrize("argument", ['a="b c"', "$(reboot)", "a;b", "`a`", "a'b", "a\\b", "a*"])
def test_what_a_shell_could_read_differently_is_not_plain(argument: str) -> None:
    assert check_argument(argument) == argument
    assert not is_plain(argument)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One variable of a file that a shell sources: judged by a real shell."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.line_edit import Edit, edit_line
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.shell_variable import (
    add_assignment,
    drop_added,
    find_assignment,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError

OURS = ["intel_iommu=on", 'dyndbg="file vfio* +p"', "odd=a$b`c\\d"]


def shell_value(source: str) -> str:
    script = f'{source}\nprintf %s "$ARGS"'
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout


def edited(source: str, blocks: list[list[str]], new: list[str]) -> str:
    assignment = find_assignment(source, "ARGS", "/etc/default/x")
    assert assignment is not None
    edit = edit_line(assignment.value, blocks, new)
    return source if edit is None else assignment.edit(edit)


@pytest.mark.parametrize(
    "source",
    [
        'ARGS="ro quiet"\n',
        'ARGS="ro quiet" # what people like\n',
        "ARGS='ro quiet'\n",
        "ARGS=quiet\n",
        "ARGS=quiet",
        "ARGS=\n",
        'ARGS=""\n',
        "ARGS=''\n",
        'ARGS=" "\n',
        "  export ARGS=ro\\ quiet;OTHER=1\n",
        "ARGS=\"ro\"' quiet'\n",
        'ARGS=ro" quiet"\n',
        'ARGS="ro \\"a b\\" \\$x"\r\n',
        'ARGS="ro \\\nquiet"\n',
        '#ARGS="old"\nARGS="older"\nARGS="ro quiet"\nNOT_ARGS="x"\n',
    ],
)
def test_in_and_out_leaves_every_character(source: str) -> None:
    before = shell_value(source.replace("\r", ""))
    with_ours = edited(source, [], OURS)
    assert shell_value(with_ours.replace("\r", "")).split() == [*before.split(), *" ".join(OURS).split()]
    assert edited(with_ours, [OURS], OURS) == with_ours
    other = edited(with_ours, [OURS], ["iommu=pt"])
    assert shell_value(other.replace("\r", "")).split() == [*before.split(), "iommu=pt"]
    assert edited(other, [["iommu=pt"]], []) == source


PIECES = ["a", "\\ ", '"a  b"', "'a \"b'", '"\\""', '"\\a\\\\"', "''", "\\\n", '"\\\n"', "'\\'", '"a\nb"', '"\t\'"']


@settings(max_examples=30)
@given(st.lists(st.sampled_from(PIECES), max_size=5), st.sampled_from(["", " ", "\n:", "; :", " # a"]))
def test_reads_what_a_shell_reads(pieces: list[str], behind: str) -> None:
    source = f"ARGS={''.join(pieces)}{behind}"
    assignment = find_assignment(source, "ARGS", "/etc/default/x")
    assert assignment is not None
    assert assignment.value == shell_value(source)


@pytest.mark.parametrize(
    "source", ["ARGS=$(cat x)", "ARGS=`cat x`", 'ARGS="never closed\n', 'ARGS="$(x)"', "ARGS=(a b)"]
)
def test_a_computed_value_is_refused(source: str) -> None:
    with pytest.raises(RefusedError, match=r"/etc/default/x: the value of ARGS is computed"):
        find_assignment(source, "ARGS", "/etc/default/x")


def test_a_variable_that_is_only_added_to_would_be_lost_behind_a_line_of_ours() -> None:
    with pytest.raises(RefusedError, match=r"/etc/default/x: ARGS is only added to"):
        find_assignment('ARGS+=" quiet"\n', "ARGS", "/etc/default/x")
    assignment = find_assignment('ARGS="a"\nARGS+=" quiet"\n', "ARGS", "/etc/default/x")
    assert assignment is not None
    assert assignment.value == "a"


def test_quotes_that_change_inside_of_ours_are_refused() -> None:
    assignment = find_assignment("ARGS=\"intel_iommu=on\"' iommu=pt'", "ARGS", "/etc/default/x")
    assert assignment is not None
    with pytest.raises(RefusedError, match="mixes quotes"):
        assignment.edit(Edit(0, len(assignment.value), ""))


@pytest.mark.parametrize("source", ["", "A=1\n", "A=1", "A=1\n\n"])
def test_a_variable_that_was_missing_goes_without_a_trace(source: str) -> None:
    added = add_assignment(source, "ARGS", " ".join(OURS))
    assert shell_value(added) == " ".join(OURS)
    emptied = edited(added, [OURS], [])
    assert drop_added(emptied, "ARGS") == source


def test_an_empty_value_of_somebody_else_stays() -> None:
    assert drop_added('ARGS=""\n', "ARGS") == 'ARGS=""\n'
    assert find_assignment("A=1\n", "ARGS", "/etc/default/x") is None

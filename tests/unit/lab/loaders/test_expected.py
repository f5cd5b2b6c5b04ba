# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each check of the run on real boot loaders must fail when what it stands for is broken."""

from __future__ import annotations

from typing import Any

import pytest

from lab.loaders import expected
from lab.steps import StepFailedError

WANTED = ["console=tty1", "console=ttyS0", 'lab.words="two words"']
LINE = ["root=/dev/vda2", "console=tty0", "console=tty1", "console=ttyS0", "lab.words=two words", "quiet"]


def entry(**other: Any) -> dict[str, Any]:
    return {"title": "Debian", "managed": True, "rescue": False, "args": ["root=/dev/vda2", *WANTED], **other}


def result(**other: Any) -> dict[str, Any]:
    return {
        "changed": True,
        "diff": [],
        "entries": [entry()],
        "next_boot": ["root=/dev/vda2", *WANTED],
        "running": ["root=/dev/vda2"],
        "reboot_required": True,
        "differs": [],
        "owners": {},
        **other,
    }


@pytest.mark.parametrize(
    ("line", "there"),
    [
        (["a", "b", "c"], True),
        (["x", "a", "b", "c", "y"], True),
        (["a", "c", "b"], False),
        (["a", "b", "x", "c"], False),
        ([], False),
    ],
)
def test_a_run_of_tokens_keeps_its_order(line: list[str], there: bool) -> None:
    assert expected.has_run(line, ["a", "b", "c"]) is there


def test_a_line_is_read_as_the_kernel_reads_it() -> None:
    line = 'initrd=\\token\\initrd.img "lab.words=two words" key=\'a b #x "c"d\n'
    assert expected.as_kernel_reads(line) == [
        "initrd=\\token\\initrd.img",
        "lab.words=two words",
        "key='a",
        "b",
        "#x",
        "cd",
    ]


def test_pending_passes_when_everything_is_as_promised() -> None:
    recovery = entry(title="recovery", rescue=True, args=["single"])
    expected.check_pending(result(entries=[entry(), recovery]), WANTED)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (result(entries=[entry(), entry(title="second", args=WANTED[::-1])]), "without the arguments: second"),
        (result(next_boot=WANTED[:1]), "the next boot would not have them"),
        (result(running=WANTED), "before a reboot"),
        (result(reboot_required=False), "reboot_required is false"),
    ],
)
def test_pending_fails_where_a_promise_is_broken(state: dict[str, Any], words: str) -> None:
    with pytest.raises(StepFailedError, match=words):
        expected.check_pending(state, WANTED)


def test_running_reads_quotes_as_the_kernel_does() -> None:
    expected.check_running(result(reboot_required=False), LINE, WANTED)


@pytest.mark.parametrize(
    ("state", "line", "words"),
    [
        (result(reboot_required=False), LINE[:3] + LINE[4:], "does not have them in order"),
        (result(), LINE, "a reboot is said to be required"),
        (result(reboot_required=False, differs=[{"parameter": "quiet"}]), LINE, "quiet"),
    ],
)
def test_running_fails_where_a_promise_is_broken(state: dict[str, Any], line: list[str], words: str) -> None:
    with pytest.raises(StepFailedError, match=words):
        expected.check_running(state, line, WANTED)


BARE = {"entries": [entry(args=["root=/dev/vda2"])], "reboot_required": False}


def test_gone_passes_when_nothing_is_left() -> None:
    expected.check_gone(result(**BARE), ["root=/dev/vda2"], WANTED)


@pytest.mark.parametrize(
    ("state", "line", "words"),
    [
        (result(reboot_required=False), [], "'Debian' still has console=tty1"),
        (result(**BARE), LINE, "/proc/cmdline still has console=tty1"),
        (result(**BARE, owners={"lab": WANTED}), [], "still owners"),
        (result(**{**BARE, "reboot_required": True}), [], "a reboot is said to be required"),
    ],
)
def test_gone_fails_where_something_is_left(state: dict[str, Any], line: list[str], words: str) -> None:
    with pytest.raises(StepFailedError, match=words):
        expected.check_gone(state, line, WANTED)


def test_kernels_with_different_lines_are_not_alike() -> None:
    recovery = entry(rescue=True, args=["single"])
    expected.check_alike(result(entries=[entry(), recovery, entry(title="second")]))
    with pytest.raises(StepFailedError, match="different lines"):
        expected.check_alike(result(entries=[entry(), entry(title="second", args=["quiet"])]))


def test_the_new_kernels_files_and_the_seed_are_passed_over() -> None:
    before = {"/etc/fstab": "1", "/boot/efi/loader/random-seed": "1", "/boot/grub/grub.cfg": "1"}
    after = {"/etc/fstab": "1", "/boot/vmlinuz-9.9-cloud": "1", "/boot/grub/grub.cfg": "2"}
    assert expected.check_restored(before, after, "9.9-cloud") == 1
    with pytest.raises(StepFailedError, match=r"new: /boot/vmlinuz-9\.9-cloud"):
        expected.check_restored(before, after, "9.8")


def test_a_seed_that_the_host_renews_is_no_difference() -> None:
    before, after = ({"/boot/efi/loader/random-seed": seed, "/etc/fstab": "1"} for seed in ("1", "2"))
    expected.check_same("a failed change", before, after)
    with pytest.raises(StepFailedError, match="a failed change: 1 files differ: changed: /etc/fstab"):
        expected.check_same("a failed change", before, {**after, "/etc/fstab": "2"})


def test_a_prediction_that_differs_fails() -> None:
    expected.check_foretold(result(), result())
    with pytest.raises(StepFailedError, match="another next_boot"):
        expected.check_foretold(result(next_boot=[]), result())
    with pytest.raises(StepFailedError, match="nothing is said to have changed"):
        expected.check_foretold(result(changed=False), result(changed=False))


def test_a_loader_may_move_the_quotes_around_a_value() -> None:
    args = ["ro", '"lab.words=two words"', "quiet"]
    assert expected.has_arguments(args, ['lab.words="two words"', "quiet"])
    assert not expected.has_arguments(args, ["lab.words=two", "words"])

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the serial port to the groups: whole, or refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import LabError
from lab.fuzz import capture
from tests.unit.lab.fuzz.guest import UNCOVERED, bridged, frames, function, partly_covered, payload, serial

PAYLOAD = payload(bridged())
OTHER_LINES = ["[    3.141592] pcieport 0000:00:04.0: pciehp: Slot(3): Link Up", "", "@", "x"]


def test_what_the_guest_writes_is_read() -> None:
    assert capture.parse(serial(PAYLOAD)) == bridged()


def test_groups_are_memberships() -> None:
    seen = partly_covered()
    assert seen.groups() == {frozenset({"0000:00:01.0"}), frozenset({"0000:00:02.0", "0000:01:03.0", "0000:01:04.0"})}
    assert seen.without_group() == {UNCOVERED}
    assert capture.parse(serial(payload(seen))) == seen


@given(st.lists(st.tuples(st.integers(0, len(frames(PAYLOAD))), st.sampled_from(OTHER_LINES))))
def test_kernel_messages_between_the_lines_change_nothing(inserted: list[tuple[int, str]]) -> None:
    lines = frames(PAYLOAD)
    for position, line in inserted:
        lines.insert(position, line)
    assert capture.parse("\n".join(lines)) == bridged()


@given(st.integers(0, len(serial(PAYLOAD)) - len("@end\r\n")))
def test_a_cut_capture_is_refused(length: int) -> None:
    with pytest.raises(LabError):
        capture.parse(serial(PAYLOAD)[:length])


@given(st.integers(1, len(frames(PAYLOAD)) - 2))
def test_a_lost_line_is_refused(lost: int) -> None:
    lines = frames(PAYLOAD)
    del lines[lost]
    with pytest.raises(LabError, match="damaged"):
        capture.parse("\n".join(lines))


@pytest.mark.parametrize("where", range(1, 4))
def test_a_message_within_a_line_is_refused(where: int) -> None:
    lines = frames(PAYLOAD)
    middle = len(lines[where]) // 2
    lines[where] = f"{lines[where][:middle]}[    3.14] pcieport{lines[where][middle:]}"
    with pytest.raises(LabError, match="damaged"):
        capture.parse("\n".join(lines))


def test_the_last_of_two_captures_counts() -> None:
    other = bridged()
    first = payload(capture.Capture("other", other.cmdline, other.functions))
    assert capture.parse(serial(first) + serial(PAYLOAD)).kernel == bridged().kernel


def test_silence_is_refused() -> None:
    with pytest.raises(LabError, match="said nothing"):
        capture.parse("[    0.000000] Linux version 6.1\n")


@pytest.mark.parametrize("missing", ["paths", "links", "attributes", "cmdline", "config/0000:00:01.0"])
def test_an_archive_with_less_in_it_is_refused(missing: str) -> None:
    with pytest.raises(LabError, match=missing):
        capture.parse(serial(payload(bridged(), without=missing)))


def test_what_is_no_archive_is_refused() -> None:
    with pytest.raises(LabError, match="incomplete"):
        capture.parse(serial(b"no archive"))


def test_no_function_is_refused() -> None:
    with pytest.raises(LabError, match="no PCI function"):
        capture.parse(serial(payload(capture.Capture("6.1", "", {}))))


def test_a_vf_keeps_its_pf() -> None:
    vf = {"0000:01:00.1": function("0000:00:02.0/0000:01:00.1", "3", physfn="0000:01:00.0")}
    assert capture.parse(serial(payload(capture.Capture("6.1", "", vf)))).functions == vf


def test_json_and_back() -> None:
    seen = capture.Capture("6.1", "quiet", dict(reversed(list(bridged().functions.items()))))
    text = json.dumps(capture.to_json(seen))
    assert capture.from_json(json.loads(text)) == seen
    assert list(json.loads(text)["devices"]) == sorted(seen.functions)


def test_json_has_what_a_case_of_the_data_file_has() -> None:
    case = capture.to_json(bridged())
    devices = case["devices"]
    assert isinstance(devices, dict)
    wanted = {"class", "config", "config_len", "group", "path", "physfn", "reset_method"}
    assert all(wanted <= set(device) for device in devices.values())
    # Zeros at the end are not written, and are there again when it is read.
    assert devices["0000:00:02.0"]["config"] == "00" * 14 + "01"
    assert devices["0000:00:02.0"]["config_len"] == 256

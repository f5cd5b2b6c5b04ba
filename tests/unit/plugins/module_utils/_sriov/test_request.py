# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.request import LINK_STATES, PfRequest

MAC = "52:54:00:aa:00:10"

macs = st.integers(0, 0xFFFFFF).map(
    lambda number: f"52:54:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "has no numvfs"),
        ({"numvfs": -1}, "whole number"),
        ({"numvfs": 2, "vfs": [{"index": 2}]}, "VF 2 of 2"),
        ({"numvfs": 2, "vfs": [{"index": 1}, {"index": 1}]}, "twice"),
        ({"numvfs": 2, "vfs": [{"index": 1, "speed": 1}]}, "'speed'"),
        ({"numvfs": 2, "vfs": [{}]}, "index"),
        ({"numvfs": 2, "vfs": [{"index": 0, "mac": MAC}, {"index": 1, "mac": MAC.upper()}]}, "VF 0 and to VF 1"),
        ({"numvfs": 1, "vfs": [{"index": 0, "mac": "01:00:5e:00:00:01"}]}, "group address"),
        ({"numvfs": 1, "vfs": [{"index": 0, "mac": 19088743}]}, "in quotes"),
        ({"numvfs": 1, "vfs": [{"index": 0, "vlan": 4095}]}, "4094 or less"),
        ({"numvfs": 1, "vfs": [{"index": 0, "qos": 3}]}, "without a vlan"),
        ({"numvfs": 1, "vfs": [{"index": 0, "link_state": "up"}]}, "auto, enable, disable"),
        ({"numvfs": 1, "autoprobe": "perhaps"}, "true or false"),
    ],
)
def test_what_cannot_be_meant_is_named(data: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        PfRequest.parse(data, "nic")


@given(
    settings=st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "mac": macs,
                "vlan": st.integers(1, 4094),
                "trust": st.booleans(),
                "spoof_check": st.booleans(),
                "link_state": st.sampled_from(LINK_STATES),
            },
        ),
        max_size=8,
        unique_by=lambda vf: vf.get("mac", id(vf)),
    ),
    switchdev=st.sampled_from([None, True, False]),
)
def test_the_ledger_gives_back_what_was_asked_for(settings: list[dict[str, Any]], switchdev: bool | None) -> None:
    data = {"numvfs": len(settings), "vfs": [{"index": index, **vf} for index, vf in enumerate(settings)]}
    parsed = PfRequest.parse({**data, "switchdev": switchdev}, "nic")
    assert PfRequest.parse(parsed.to_json(), "ledger") == parsed

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.links import differing, parse_links, words
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.request import VfSettings

# As iproute2's ip/ipaddress.c (print_vfinfo) writes it since 5.1, and before the kernel told the kind of link.
NEW = """[{"ifname":"lo"},{"ifname":"ens1f0","vfinfo_list":[{"vf":0,"link_type":"ether","address":"52:54:00:AA:00:10",
"broadcast":"ff:ff:ff:ff:ff:ff","vlan_list":[{"vlan":100,"qos":3}],"rate":{"max_tx":0,"min_tx":0},"spoofchk":true,
"link_state":"auto","trust":false,"query_rss_en":false},{"vf":1,"address":"00:00:00:00:00:00","vlan_list":[{}]}]}]"""
OLD = '[{"ifname":"eth0","vfinfo_list":[{"vf":0,"mac":"52:54:00:aa:00:10","vlan":5,"spoofchk":false}]}]'


def test_both_forms_of_iproute2_mean_the_same() -> None:
    new = parse_links(NEW)["ens1f0"]
    assert new[0] == VfSettings("52:54:00:aa:00:10", 100, 3, False, True, "auto")
    assert new[1] == VfSettings("00:00:00:00:00:00", 0, 0)
    assert parse_links(OLD) == {"eth0": {0: VfSettings("52:54:00:aa:00:10", 5, 0, None, False)}}
    assert parse_links("") == {}


@pytest.mark.parametrize("text", ["{", "[1]", '[{"vfinfo_list":[{"vf":0}]}]', '[{"ifname":"a","vfinfo_list":[{}]}]'])
def test_anything_else_is_no_answer(text: str) -> None:
    with pytest.raises(ToolError, match="cannot be understood"):
        parse_links(text)


def test_only_what_is_wanted_and_differs_is_made() -> None:
    wanted = VfSettings(mac="52:54:00:aa:00:10", vlan=100, qos=3, trust=True)
    assert differing(wanted, VfSettings(mac="52:54:00:aa:00:10", vlan=100, qos=0)) == ["vlan", "trust"]
    assert differing(wanted, VfSettings(vlan=5, qos=0)) == ["mac", "vlan", "trust"]
    assert differing(wanted, wanted) == []
    assert differing(VfSettings(), wanted) == []


@pytest.mark.parametrize(
    ("settings", "name", "expected"),
    [
        (VfSettings(vlan=100, qos=3), "vlan", "vlan 100 qos 3"),
        (VfSettings(vlan=0), "vlan", "vlan 0 qos 0"),
        (VfSettings(trust=False), "trust", "trust off"),
        (VfSettings(spoof_check=True), "spoof_check", "spoofchk on"),
        (VfSettings(link_state="enable"), "link_state", "state enable"),
    ],
)
def test_settings_in_the_words_of_ip(settings: VfSettings, name: str, expected: str) -> None:
    assert " ".join(words(settings, name)) == expected

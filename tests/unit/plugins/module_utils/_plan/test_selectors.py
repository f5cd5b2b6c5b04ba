# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.selectors import (
    Mates,
    UnresolvedDeviceError,
    select,
)


def device(address: str, ids: str, class_code: str, **fields: Any) -> Device:
    vendor, product = ids.split(":")
    identity = Identity(vendor, product, "8086", "0000", fields.pop("serial", None))
    return Device(Address.parse(address), identity, class_code, **fields)


GPU = device("0000:06:00.0", "10de:13c2", "0300", native_driver="nouveau", numa_node=1)
AUDIO = device("0000:06:00.1", "10de:0fbb", "0403")
BOOT_GPU = device("0000:00:02.0", "8086:0412", "0300", boot_vga=True)
TWIN = device("0000:01:00.0", "8086:10d3", "0200", mac="52:54:00:aa:00:10", slot="3", driver="e1000e")
INFINIBAND = "80:00:02:08:fe:80:00:00:00:00:00:00:e4:1d:2d:03:00:5d:8b:41"
IPOIB = device("0000:08:00.0", "15b3:1013", "0207", mac=INFINIBAND)
OTHER_TWIN = device("0000:02:00.0", "8086:10d3", "0200", mac="52:54:00:aa:00:11", serial="525400fffeaa0011")
PORT = device("0000:00:1c.0", "1b36:000c", "0604", is_bridge=True)
DEVICES = (BOOT_GPU, PORT, IPOIB, TWIN, OTHER_TWIN, GPU, AUDIO)

SELECTED = [
    ({"address": "6:0.0"}, "0000:06:00.0"),
    ({"vendor_device": "10DE:13c2"}, "0000:06:00.0"),
    ({"class": "0300", "boot_vga": False}, "0000:06:00.0"),
    ({"driver": "nouveau"}, "0000:06:00.0"),
    ({"numa_node": 1}, "0000:06:00.0"),
    ({"class": "0300", "boot_vga": "false"}, "0000:06:00.0"),
    ({"numa_node": "1"}, "0000:06:00.0"),
    ({"query": "class == '0300' && vendor_id == '10de' && !boot_vga"}, "0000:06:00.0"),
    ({"mac": "5254.00AA.0010"}, "0000:01:00.0"),
    ({"slot": "3"}, "0000:01:00.0"),
    ({"serial": "52-54-00-ff-fe-aa-00-11"}, "0000:02:00.0"),
    (
        {"vendor_device": "8086:10d3", "query": "contains(interfaces, 'x') || mac == '52:54:00:aa:00:11'"},
        "0000:02:00.0",
    ),
]


def choose(match: dict[str, Any], **entry: Any) -> tuple[list[str], list[str]]:
    """Addresses found under the name x, and the reasons of refusals."""
    selection, refusals = select([{"name": "x", "match": match, **entry}], DEVICES)
    return [str(found.address) for found in dict(selection).get("x", ())], [refusal.reason for refusal in refusals]


@pytest.mark.parametrize(("match", "address"), SELECTED)
def test_each_selector_finds_its_device(match: dict[str, Any], address: str) -> None:
    assert choose(match) == ([address], [])


def test_twins_without_a_count_are_refused_with_both_addresses() -> None:
    found, reasons = choose({"vendor_device": "8086:10d3"})
    assert found == []
    assert all(text in reasons[0] for text in ("0000:01:00.0", "0000:02:00.0", "count: 2", "52:54:00:aa:00:10"))


def test_twins_with_a_count_are_taken() -> None:
    assert choose({"vendor_device": "8086:10d3"}, count=2) == (["0000:01:00.0", "0000:02:00.0"], [])


def test_an_address_that_does_not_exist_is_refused() -> None:
    assert choose({"address": "0000:09:00.0"})[1] == ["'x' (address: 0000:09:00.0) matches no device of this host"]


def test_another_model_at_the_address_is_refused_with_what_sits_there() -> None:
    _found, reasons = choose({"address": "0000:01:00.0", "vendor_device": "8086:100e"})
    assert "there sits 0000:01:00.0 (8086:10d3" in reasons[0]


def test_a_bridge_is_never_selected() -> None:
    assert "bridges always stay with the host" in choose({"address": "0000:00:1c.0"})[1][0]


def test_all_functions_of_a_slot_move_together() -> None:
    assert choose({"address": "0000:06:00.0"}, functions="all")[0] == ["0000:06:00.0", "0000:06:00.1"]


def test_a_device_under_two_names_is_refused() -> None:
    entries = [
        {"name": "gpu", "match": {"address": "06:00.0"}, "functions": "all"},
        {"name": "sound", "match": {"address": "06:00.1"}},
    ]
    _selection, refusals = select(entries, DEVICES)
    assert [refusal.device for refusal in refusals] == ["0000:06:00.1"]


def test_asking_for_a_refused_name_says_which() -> None:
    selection, _refusals = select([{"name": "x", "match": {"address": "09:00.0"}}], DEVICES)
    with pytest.raises(UnresolvedDeviceError, match="x"):
        selection["x"]


MALFORMED = [
    ({"match": {"address": "06:00.0"}}, "has no name"),
    ({"name": "x", "match": {"address": "06:00.0"}, "alow": []}, "unknown key alow"),
    ({"name": "x"}, "match is missing"),
    ({"name": "x", "match": {"adress": "06:00.0"}}, "unknown selector adress"),
    ({"name": "x", "match": {"address": "06:40.0"}}, "is no PCI address"),
    ({"name": "x", "match": {"vendor_device": "10de13c2"}}, "expected two ids"),
    ({"name": "x", "match": {"vendor_device": "10de:13c"}}, "expected two ids"),
    ({"name": "x", "match": {"class": 300}, "functions": "every"}, "functions is 'every'"),
    ({"name": "x", "match": {"class": 300}}, "in quotes"),
    ({"name": "x", "match": {"class": "03"}, "count": 0}, "count is '0'"),
    ({"name": "x", "match": {"class": "03"}, "count": True}, "count is 'True'"),
    ({"name": "x", "match": {"class": "03"}, "allow": "boot_vga"}, "allow is 'boot_vga': expected a list"),
    (
        {"name": "x", "match": {"class": "03"}, "allow": ["bootvga"]},
        "no key 'bootvga': expected any of bmc, ",
    ),
    ({"name": "x", "match": {"class": "03"}, "allow": [{}]}, "no key '{}'"),
    ({"name": "x", "match": "06:00.0"}, "match is missing"),
    ({"name": "x", "match": {"mac": "52:54"}}, "mac is '52:54'"),
    ({"name": "x", "match": {"serial": "1"}}, "sixteen hex digits"),
    ({"name": "x", "match": {"boot_vga": "maybe"}}, "expected true or false"),
    ({"name": "x", "match": {"numa_node": "first"}}, "expected a whole number"),
    ({"name": "x", "match": {"query": "clas == '0300'"}}, "asks for 'clas'"),
    ({"name": "x", "match": {"query": "class == "}}, "no JMESPath expression"),
    ({"name": "x", "match": {"query": "starts_with(mac, '52')"}}, r"cannot be asked of 0000:00:02.0: .*mac && starts"),
    ({"name": "x", "match": {"query": "vendor_id"}}, "gives '8086' for 0000:00:02.0; expected a condition"),
]

# What YAML 1.1 makes of an address, a MAC address, a class and a serial number that stand without quotes.
WITHOUT_QUOTES = [
    ("address", "0000:01:00.0"),
    ("mac", "52:54:00:11:22:33"),
    ("class", "0106"),
    ("serial", "1234567890123456"),
]


@pytest.mark.parametrize(("selector", "written"), WITHOUT_QUOTES)
def test_what_yaml_takes_for_a_number_is_asked_for_in_quotes(selector: str, written: str) -> None:
    yaml = pytest.importorskip("yaml")
    with pytest.raises(InputError, match=f"{selector} is .* put it in quotes"):
        choose({selector: yaml.safe_load(written)})


@pytest.mark.parametrize(("entry", "words"), MALFORMED)
def test_a_malformed_entry_is_an_error_that_names_the_value(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        select([entry], DEVICES)


def test_a_name_that_stands_twice_is_an_error() -> None:
    entry = {"name": "x", "match": {"address": "06:00.0"}}
    with pytest.raises(InputError, match="stands twice"):
        select([entry, entry], DEVICES)


def test_a_query_may_look_inside_a_field_of_a_device() -> None:
    assert choose({"query": "length(interfaces) == `0` && address == '0000:06:00.0'"})[0] == ["0000:06:00.0"]


@pytest.mark.parametrize("entries", ["06:00.0", {"name": "x"}, ["06:00.0"], 7, [None]])
def test_what_is_no_list_of_entries_is_an_error(entries: Any) -> None:
    with pytest.raises(InputError, match="vfio_devices"):
        select(entries, DEVICES)


def test_every_match_may_be_wanted_however_many_a_host_has_but_not_none() -> None:
    assert choose({"vendor_device": "8086:10d3"}, count="all") == (["0000:01:00.0", "0000:02:00.0"], [])
    (found, (reason,)) = choose({"vendor_device": "8086:ffff"}, count="all")
    assert (found, "matches no device" in reason) == ([], True)


def test_a_count_in_digits_is_a_number() -> None:
    assert len(choose({"vendor_device": "8086:10d3"}, count="2")[0]) == 2


BOTH = ["0000:01:00.0", "0000:06:00.0", "0000:06:00.1"]


def grouped(*groups: tuple[str, ...]) -> Mates:
    """The mates of a host with these groups, by address."""
    by_address = {str(device.address): device for device in DEVICES}

    def mates(found: Device) -> tuple[Device, ...]:
        members = next((group for group in groups if str(found.address) in group), ())
        return tuple(by_address[member] for member in members if member != str(found.address))

    return mates


@pytest.mark.parametrize(
    ("match", "count", "expected"),
    [
        # SAME-06: the bridge of the group stays with the host, what merely shares it goes along.
        ({"address": "0000:06:00.0"}, 1, BOTH),
        ({"address": "0000:02:00.0"}, 1, ["0000:02:00.0"]),
        # Both are in one group, and every function is selected once.
        (
            {"query": "class == '0403' || mac == '52:54:00:aa:00:10'"},
            2,
            ["0000:01:00.0", "0000:06:00.0", "0000:06:00.1"],
        ),
    ],
)
def test_the_whole_group(match: dict[str, Any], count: int, expected: list[str]) -> None:
    mates = grouped(("0000:00:1c.0", "0000:06:00.0", "0000:06:00.1", "0000:01:00.0"), ("0000:00:02.0",))
    entry = {"name": "x", "match": match, "functions": "group", "count": count}
    selection, refusals = select([entry], DEVICES, mates=mates)
    assert refusals == ()
    assert [str(found.address) for found in selection["x"]] == expected


def test_vfs_have_no_group_to_take_along() -> None:
    with pytest.raises(InputError, match="functions: group goes with no VFs"):
        select([{"name": "x", "match": {"vf_of": "nic"}, "functions": "group"}], DEVICES)


def test_every_gpu_but_the_one_of_the_console() -> None:
    """SAME-03: three cards of one model, of which the firmware uses one."""
    cards = [
        device(f"0000:{bus}:00.{function}", ids, class_code, boot_vga=boot if function == 0 else None)
        for bus, boot in (("01", True), ("02", False), ("03", False))
        for function, ids, class_code in ((0, "10de:1e84", "0300"), (1, "10de:10f8", "0403"), (2, "10de:1ad8", "0c03"))
    ]
    match = {"class": "03", "boot_vga": False}
    entry = {"name": "gpus", "match": match, "functions": "all", "count": "all"}
    selection, refusals = select([entry], [PORT, *cards])
    assert refusals == ()
    assert [str(found.address) for found in selection["gpus"]] == [
        f"0000:{bus}:00.{function}" for bus in ("02", "03") for function in range(3)
    ]

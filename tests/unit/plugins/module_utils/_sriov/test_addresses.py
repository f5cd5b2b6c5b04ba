# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.config_space import ConfigSpace
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.addresses import (
    foreseen_vfs,
    vf_address,
    vf_addresses,
)
from tests.unit.plugins.config_spaces import ENDPOINT, config_space, pcie
from tests.unit.plugins.fake_sriov import sriov_capability
from tests.unit.plugins.iommu_cases import FIXTURES

IDENTITY = Identity("8086", "10c9", "8086", "a03c", serial="a0369fffff123456")
CARD = Device(
    Address.parse("0000:01:00.0"), IDENTITY, "0200", sriov_totalvfs=7, sriov_offset=0x80, sriov_stride=2,
    sriov_device_id="10ca", numa_node=1,
)  # fmt: skip


def pf(offset: int, stride: int, address: str = "0000:01:00.0") -> Device:
    return Device(
        Address.parse(address), IDENTITY, "0200", sriov_offset=offset, sriov_stride=stride, sriov_device_id="10ca"
    )


def captured() -> list[tuple[str, str, bytes, list[str]]]:
    """PFs of real kernels: case, address, configuration space, their VFs in the order of their addresses."""
    found = []
    for path in FIXTURES:
        for name, case in json.loads(gzip.decompress(path.read_bytes())).items():
            owners: dict[str, list[str]] = {}
            for address, device in case["devices"].items():
                if device["physfn"]:
                    owners.setdefault(device["physfn"], []).append(address)
            for owner, vfs in owners.items():
                device = case["devices"][owner]
                config = bytes.fromhex(device["config"]).ljust(device["config_len"], b"\0")
                found.append((name, owner, config, sorted(vfs)))
    return found


CAPTURED = captured()


def test_real_kernels_put_vfs_where_the_registers_say() -> None:
    assert len(CAPTURED) >= 3
    for name, owner, config, vfs in CAPTURED:
        layout = ConfigSpace(config).vf_layout
        assert layout is not None, name
        found = vf_addresses(pf(layout[0], layout[1], owner), len(vfs))
        assert found is not None, name
        assert [str(address) for address in found] == vfs, name


def test_the_registers_are_read_from_their_places() -> None:
    config = config_space([pcie(ENDPOINT)], [sriov_capability(0x80, 2, 0x10CA)])
    assert ConfigSpace(config).vf_layout == (0x80, 2, "10ca")
    assert ConfigSpace(config[:0x118]).vf_layout is None
    assert ConfigSpace(config_space([pcie(ENDPOINT)], [])).vf_layout is None


@given(
    bus=st.integers(0, 255),
    devfn=st.integers(0, 255),
    offset=st.integers(0, 0xFFFF),
    stride=st.integers(0, 0xFFFF),
    index=st.integers(0, 0xFFFF),
)
def test_a_vf_is_found_by_adding_up_routing_ids(bus: int, devfn: int, offset: int, stride: int, index: int) -> None:
    found = vf_address(Address(0, bus, devfn >> 3, devfn & 7), offset, stride, index)
    # drivers/pci/iov.c: pci_iov_virtfn_bus and pci_iov_virtfn_devfn
    expected_bus = bus + ((devfn + offset + stride * index) >> 8)
    expected_devfn = (devfn + offset + stride * index) & 0xFF
    if expected_bus > 255:
        assert found is None
    else:
        assert found is not None
        assert (found.bus, found.device << 3 | found.function) == (expected_bus, expected_devfn)
        assert Address.parse(str(found)) == found


@pytest.mark.parametrize(
    ("card", "numvfs", "known"),
    [
        (pf(0, 0), 0, True),
        (pf(0, 0), 1, False),
        (pf(1, 0), 1, True),
        (pf(1, 0), 2, False),
        (pf(0xFFFF, 1, "0000:ff:00.0"), 1, False),
        (Device(Address.parse("0000:01:00.0"), IDENTITY, "0200"), 1, False),
    ],
)
def test_what_the_registers_do_not_tell_is_not_made_up(card: Device, numvfs: int, known: bool) -> None:
    assert (vf_addresses(card, numvfs) is not None) is known


def test_a_vf_to_come_has_its_own_device_id_and_no_serial_number() -> None:
    (first, second) = foreseen_vfs(CARD, 2, [CARD]) or ()
    assert (str(first.address), str(second.address)) == ("0000:01:10.0", "0000:01:10.2")
    assert first.identity == Identity("8086", "10ca", "8086", "a03c")
    assert (first.physfn, first.numa_node, first.driver) == (CARD.address, 1, None)


def test_a_vf_that_is_there_is_taken_as_it_is() -> None:
    there = Device(Address.parse("0000:01:10.2"), Identity("8086", "10ca", "8086", "0001"), "0200", physfn=CARD.address)
    assert (foreseen_vfs(CARD, 2, [CARD, there]) or ())[1] is there

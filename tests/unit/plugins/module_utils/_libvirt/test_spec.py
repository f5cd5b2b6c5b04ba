# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import DomainSpec
from tests.unit.plugins.libvirt_host import GPU, spec_of

BASE = {"name": "demo", "memory": "1G", "vcpus": 2}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"memroy": "1G"}, "'memroy'"),
        ({"name": "../etc"}, "'../etc'"),
        ({"name": None}, "no domain name"),
        ({"memory": None}, "needs memory"),
        ({"vcpus": True}, "'True'"),
        ({"vcpus": 0}, "at least 1"),
        ({"topology": {"cores": 4, "threads": 2}}, "are 8 vCPUs, but vcpus is 2"),
        ({"topology": {"dies": 2}}, "'dies'"),
        ({"vcpu_pins": [{"vcpu": 2, "cpus": "1"}]}, "no vCPU 2"),
        ({"vcpu_pins": [{"vcpu": 0, "cpus": "1"}, {"vcpu": 0, "cpus": "2"}]}, "pinned twice"),
        ({"vcpu_pins": [{"vcpu": 0, "cpus": "3-1"}]}, r"vcpu_pins\[0\].cpus"),
        ({"emulator_cpus": ""}, "emulator_cpus"),
        ({"memory": "6.5G", "hugepages": "1G"}, "take 6G or 7G"),
        ({"memory": "512M", "hugepages": "1G"}, "take 1G"),
        ({"initrd": "/initrd"}, "no kernel"),
        ({"kernel": "vmlinuz"}, "absolute"),
        ({"cpu_model": "qemu64"}, "belong together"),
        ({"cpu_mode": "custom"}, "belong together"),
        ({"virt_type": "xen"}, "'xen'"),
        ({"uuid": "1234"}, "'1234'"),
        ({"title": "a\nb"}, "line end"),
        ({"devices": [{"address": "01:00.0"}, {"address": GPU}]}, "listed twice"),
        ({"devices": [{"type": "usb", "address": "1:1"}]}, "'usb' are not in this version"),
        ({"devices": [{}]}, "needs its address"),
        ({"devices": [{"address": GPU, "rom_bar": False, "rom_file": "/rom"}]}, "rom_file"),
        ({"devices": [{"address": GPU, "romfile": "/rom"}]}, "'romfile'"),
        (
            {"devices": [{"address": GPU, "boot_order": 1}], "disks": [{"source": "/d", "boot_order": 1}]},
            "boot_order 1",
        ),
        ({"disks": [{"source": "/d", "bus": "ide"}]}, "'ide'"),
        ({"disks": [{}]}, "needs its source"),
        ({"on_crash": "shrug"}, "'shrug'"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        DomainSpec.from_options({**BASE, **options})


def test_topology_is_always_explicit() -> None:
    topology = spec_of(vcpus=6).topology
    assert (topology.sockets, topology.cores, topology.threads) == (1, 6, 1)


def test_addresses_are_brought_to_one_form_and_order() -> None:
    spec = spec_of(devices=[{"address": "2:0.0"}, {"address": "01:00.0"}])
    assert [str(device.address) for device in spec.devices or ()] == ["0000:01:00.0", "0000:02:00.0"]


def test_disks_are_named_by_their_place_on_the_bus() -> None:
    disks = [{"source": "/a"}, {"source": "/b", "bus": "scsi"}, {"source": "/c"}, {"source": "/d", "bus": "sata"}]
    assert [disk.target for disk in spec_of(disks=disks).disks or ()] == ["vda", "sda", "vdb", "sdb"]
    many = spec_of(disks=[{"source": f"/{number}"} for number in range(703)]).disks or ()
    assert [many[number].target for number in (25, 26, 701, 702)] == ["vdz", "vdaa", "vdzz", "vdaaa"]


def test_not_said_is_not_empty() -> None:
    assert spec_of().devices is None
    assert spec_of(devices=[]).devices == ()

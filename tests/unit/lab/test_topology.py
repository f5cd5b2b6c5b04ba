# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a topology file to QEMU's arguments, and what is refused on the way."""

from __future__ import annotations

from typing import Any

import pytest

from lab import topology
from lab.errors import LabError

RUN = topology.Run(
    name="one",
    uuid="00000000-0000-0000-0000-000000000001",
    disk="disk.qcow2",
    firmware="/firmware/code.fd",
    variables="firmware.fd",
    console="console.log",
    keyboard="console.sock",
    monitor="qmp.sock",
    ssh_port=2222,
)


def minimal(**more: Any) -> dict[str, Any]:
    return {"description": "d", "memory": "1G", "cpus": {"cores": 2}, **more}


def options(data: dict[str, Any], name: str) -> list[str]:
    """Give every value of one of QEMU's options."""
    words = topology.arguments(topology.parse("t", data), RUN)
    return [words[index + 1] for index, word in enumerate(words) if word == name]


def device(data: dict[str, Any], device_id: str) -> str:
    found = [value for value in options(data, "-device") if f"id={device_id}" in value.split(",")]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("name", topology.known())
def test_every_topology_file_is_valid(name: str) -> None:
    loaded = topology.load(name)
    assert loaded.name == name
    assert topology.arguments(loaded, RUN)


def test_demo_holds_what_the_main_job_needs() -> None:
    demo = topology.load("demo")
    by_id = {item.id: item for item in demo.walk()}
    assert [by_id[name].mac for name in ("nic_a", "nic_b")] == ["52:54:00:aa:00:10", "52:54:00:aa:00:11"]
    assert [by_id[port].behind[0].id for port in ("port_a", "port_b")] == ["nic_a", "nic_b"]
    assert [item.driver for item in by_id["bridge"].behind] == ["e1000", "e1000"]
    assert demo.watchdog == topology.Watchdog("i6300esb", "1e", "reset")
    assert demo.iommu == "intel"


def test_machine_can_reboot_and_has_a_real_iommu() -> None:
    words = topology.arguments(topology.parse("t", minimal()), RUN)
    assert "-no-reboot" not in words
    assert "q35,kernel-irqchip=split" in words
    assert "intel-iommu,intremap=on,caching-mode=on" in words


def test_no_iommu() -> None:
    assert not [value for value in options(minimal(iommu="none"), "-device") if "iommu" in value]


def test_nested_device_sits_on_its_parents_bus() -> None:
    nic = {"id": "nic", "driver": "e1000e", "mac": "52:54:00:00:00:01"}
    data = minimal(devices=[{"id": "port", "driver": "pcie-root-port", "address": "02", "behind": [nic]}])
    assert device(data, "port") == "pcie-root-port,id=port,bus=pcie.0,addr=02,chassis=1,slot=1"
    assert device(data, "nic") == "e1000e,id=nic,bus=port,netdev=nic_net,mac=52:54:00:00:00:01,romfile="
    assert "hubport,id=nic_net,hubid=0" in options(data, "-netdev")


def test_parent_comes_before_child() -> None:
    words = " ".join(options({**minimal(), "devices": _two_ports()}, "-device"))
    assert words.index("id=port0") < words.index("bus=port0") < words.index("id=port1") < words.index("bus=port1")


def test_each_port_has_its_own_chassis_and_each_nic_its_own_hub() -> None:
    data = minimal(devices=_two_ports())
    assert "chassis=1" in device(data, "port0")
    assert "chassis=2" in device(data, "port1")
    assert {"hubport,id=nic0_net,hubid=0", "hubport,id=nic1_net,hubid=1"} < set(options(data, "-netdev"))


def _two_ports() -> list[dict[str, Any]]:
    return [
        {
            "id": f"port{index}",
            "driver": "pcie-root-port",
            "behind": [{"id": f"nic{index}", "driver": "e1000e", "mac": f"52:54:00:00:00:0{index}"}],
        }
        for index in range(2)
    ]


def test_properties_are_passed_on() -> None:
    data = minimal(
        devices=[{"id": "port", "driver": "pcie-root-port", "properties": {"disable-acs": True, "x-speed": 8}}]
    )
    assert device(data, "port").endswith(",disable-acs=on,x-speed=8")


def test_cpus_and_nodes() -> None:
    data = minimal(
        cpus={"model": "EPYC", "sockets": 2, "dies": 1, "cores": 1, "threads": 2},
        nodes=[{"memory": "512M", "cpus": [0, 1]}, {"memory": "512M", "cpus": [2, 3]}],
    )
    assert options(data, "-cpu") == ["EPYC"]
    assert options(data, "-smp") == ["4,sockets=2,dies=1,cores=1,threads=2"]
    assert options(data, "-m") == ["1024M"]
    assert options(data, "-numa") == [
        "node,nodeid=0,memdev=memory0,cpus=0,cpus=1",
        "node,nodeid=1,memdev=memory1,cpus=2,cpus=3",
    ]


def test_only_the_local_machine_reaches_ssh() -> None:
    assert options(minimal(), "-netdev") == ["user,id=management,ipv6=off,hostfwd=tcp:127.0.0.1:2222-:22"]


def test_comma_in_a_path_is_escaped() -> None:
    run = topology.Run(**{**RUN.__dict__, "disk": "a,b.qcow2"})
    words = topology.arguments(topology.parse("t", minimal()), run)
    assert any("file=a,,b.qcow2," in word for word in words)


def test_a_recorded_root_disk_is_the_same_device() -> None:
    plain, recorded = (
        topology.arguments(topology.parse("t", minimal()), topology.Run(**{**RUN.__dict__, "write_log": log}))
        for log in ("", "writes.log")
    )
    ((before, after),) = [pair for pair in zip(plain, recorded, strict=True) if len(set(pair)) > 1]
    assert before == "if=none,id=root,discard=unmap,file=disk.qcow2,format=qcow2"
    assert after.startswith("if=none,id=root,discard=unmap,driver=blklogwrites,")
    assert "file.file.filename=disk.qcow2" in after
    assert "log.filename=writes.log" in after


def test_disk_of_a_drive_lies_beside_the_root() -> None:
    nvme = {"id": "fast", "driver": "nvme", "drive": "64M", "properties": {"serial": "one"}}
    data = minimal(devices=[nvme, {"id": "bare", "driver": "nvme", "properties": {"serial": "two"}}])
    assert device(data, "fast") == "nvme,id=fast,bus=pcie.0,drive=fast_drive,serial=one"
    assert device(data, "bare") == "nvme,id=bare,bus=pcie.0,serial=two"
    assert "if=none,id=fast_drive,file=fast.raw,format=raw" in options(data, "-drive")
    assert topology.parse("t", data).drives == {"fast.raw": 64}


def test_qemu_is_this_machines_own_unless_asked_for() -> None:
    assert topology.parse("t", minimal()).qemu == "own"
    assert topology.parse("t", minimal(qemu="trixie")).qemu == "trixie"


NIC = {"id": "nic", "driver": "e1000e", "mac": "52:54:00:00:00:01"}


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ([], "must be a mapping"),
        (minimal(memroy="1G"), "memroy"),
        ({"description": "d", "memory": "1G"}, "cpus is missing"),
        (minimal(memory="1T"), "'1T'"),
        (minimal(cpus={"core": 2}), "core"),
        (minimal(cpus={"cores": 0}), "cpus.cores: 0"),
        (minimal(cpus={"cores": True}), "cpus.cores: True"),
        (minimal(iommu="amd"), "'amd'"),
        (minimal(qemu="sid"), "'sid'"),
        (minimal(devices=[{**NIC, "drive": "64M"}]), "e1000e has no drive"),
        (minimal(devices=[{"id": "a", "driver": "nvme", "drive": 64}]), "drive: 64"),
        (minimal(watchdog={"address": "1e", "timeout": 3}), "timeout"),
        (minimal(watchdog={"address": "1e", "action": "explode"}), "'explode'"),
        (minimal(watchdog={}), "watchdog.address"),
        (minimal(bmc="maybe"), "bmc"),
        (minimal(nodes=[{"memory": "1G", "cpu": [0, 1]}]), "cpu"),
        (minimal(nodes=[{"memory": "512M", "cpus": [0, 1]}]), "does not add up"),
        (minimal(nodes=[{"memory": "1G", "cpus": [0]}]), "0-1 once"),
        (minimal(nodes=[{"memory": "1G", "cpus": ["0"]}]), "'0' is not a CPU"),
        (minimal(devices={}), "must be a list"),
        (minimal(devices=[{**NIC, "adress": "02"}]), "adress"),
        (minimal(devices=[{"id": "x"}]), "driver is missing"),
        (minimal(devices=[{"driver": "VGA"}]), "devices[0].id"),
        (minimal(devices=[{**NIC, "address": 2}]), "address: 2"),
        (minimal(devices=[{**NIC, "address": "00:02.0"}]), "'00:02.0'"),
        (minimal(devices=[{**NIC, "mac": "52:54:00"}]), "'52:54:00'"),
        (minimal(devices=[{"id": "nic", "driver": "e1000e"}]), "needs a mac"),
        (minimal(devices=[{**NIC, "driver": "VGA"}]), "has no mac"),
        (minimal(devices=[{**NIC, "behind": []}]), "behind e1000e"),
        (minimal(devices=[{**NIC, "properties": []}]), "properties: must be a mapping"),
        (minimal(devices=[NIC, {**NIC, "mac": "52:54:00:00:00:02"}]), "id used twice: nic"),
        (minimal(devices=[NIC, {**NIC, "id": "other"}]), "mac used twice: 52:54:00:00:00:01"),
    ],
)
def test_refused_by_name(data: Any, named: str) -> None:
    with pytest.raises(LabError) as caught:
        topology.parse("t", data)
    assert named in str(caught.value)


def test_unknown_topology_names_the_known_ones() -> None:
    with pytest.raises(LabError, match="demo"):
        topology.load("nonesuch")


def test_a_management_controller_is_there_only_where_asked_for() -> None:
    assert not [value for value in options(minimal(), "-device") if "ipmi" in value]
    found = options(minimal(bmc=True, watchdog={"address": "1e"}), "-device")
    assert {"ipmi-bmc-sim,id=bmc", "isa-ipmi-kcs,bmc=bmc"} <= set(found)
    assert any(value.startswith("i6300esb,") for value in found)

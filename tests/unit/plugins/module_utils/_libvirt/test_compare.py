# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.compare import firmware_of, reconcile
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.connection import libvirt
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.document import parse_xml, to_text
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import DomainSpec
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.xml import build
from tests.unit.plugins.libvirt_host import GPU, GPU_AUDIO, NIC, fixture, spec_of

INACTIVE = 2  # VIR_DOMAIN_XML_INACTIVE

REAL_GPU: dict[str, Any] = {
    "name": "gpu",
    "memory": "2G",
    "vcpus": 4,
    "topology": {"sockets": 1, "cores": 2, "threads": 2},
    "firmware": "efi",
    "virt_type": "kvm",
    "cpu_mode": "host-passthrough",
    "devices": [
        {"address": GPU, "rom_bar": False, "boot_order": 1},
        {"address": GPU_AUDIO, "managed": True},
    ],
}


def _sizes(low: int, high: int) -> st.SearchStrategy[str]:
    return st.integers(low, high).map(lambda count: f"{count * 2}M")


_DEVICE = st.fixed_dictionaries(
    {
        "address": st.builds(
            "{:04x}:{:02x}:{:02x}.{:x}".format,
            st.integers(0, 1),
            st.integers(0, 255),
            st.integers(0, 31),
            st.integers(0, 7),
        )
    },
    optional={"managed": st.booleans(), "rom_bar": st.booleans()},
)
_DISK = st.fixed_dictionaries(
    {"source": st.sampled_from(["/var/a.img", "/dev/vg0/b"])},
    optional={
        "format": st.sampled_from(["raw", "qcow2"]),
        "bus": st.sampled_from(["virtio", "scsi", "sata"]),
        "readonly": st.booleans(),
    },
)
_OPTIONS = st.fixed_dictionaries(
    {
        "name": st.just("demo"),
        "memory": _sizes(64, 4096),
        "vcpus": st.integers(1, 8),
        "virt_type": st.sampled_from(["kvm", "qemu"]),
        "cpu_mode": st.sampled_from(["host-passthrough", "host-model", "maximum"]),
        "firmware": st.sampled_from(["efi", "bios"]),
        "machine": st.sampled_from(["q35", "pc"]),
    },
    optional={
        "title": st.sampled_from(["A title", "Größe <&>"]),
        "description": st.sampled_from(["one", "two\nlines"]),
        "hugepages": st.just("2M"),
        "locked": st.booleans(),
        "nosharepages": st.booleans(),
        "memory_node": st.integers(0, 3),
        "vcpu_pins": st.just([{"vcpu": 0, "cpus": "2,1,0"}]),
        "emulator_cpus": st.sampled_from(["0-1", "0,2"]),
        "devices": st.lists(_DEVICE, max_size=3, unique_by=lambda device: device["address"]),
        "disks": st.lists(_DISK, max_size=3),
        "kernel": st.just("/boot/vmlinuz"),
        "serial_log": st.just("/var/log/demo.log"),
        "acpi": st.booleans(),
        "apic": st.booleans(),
        "on_crash": st.sampled_from(["destroy", "restart", "preserve"]),
    },
)


def _expand(conn: Any, tree: ET.Element) -> ET.Element:
    """What libvirt makes of a definition, read back."""
    domain = conn.defineXML(to_text(tree))
    try:
        return parse_xml(domain.XMLDesc(INACTIVE))
    finally:
        domain.undefine()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(options=_OPTIONS)
def test_expansion_by_libvirt_is_no_difference(conn: Any, options: dict[str, Any]) -> None:
    wanted = build(DomainSpec.from_options(options))
    assert reconcile(_expand(conn, wanted.xml), wanted, wanted.xml).differences == ()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=_OPTIONS, after=_OPTIONS)
def test_change_reaches_what_is_wanted_and_is_made_once(
    conn: Any, before: dict[str, Any], after: dict[str, Any]
) -> None:
    old, new = build(DomainSpec.from_options(before)), build(DomainSpec.from_options(after))
    changed = reconcile(_expand(conn, old.xml), new, old.xml)
    reached = _expand(conn, changed.xml)
    assert reconcile(reached, new, new.xml).differences == ()
    # The way back leads to where it began.
    back = reconcile(reached, old, new.xml)
    assert reconcile(_expand(conn, back.xml), old, old.xml).differences == ()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hostdevs-inactive.xml", REAL_GPU),
        (
            "direct-boot-inactive.xml",
            {
                "name": "demo",
                "title": "Demo",
                "memory": "128M",
                "vcpus": 2,
                "hugepages": "2M",
                "memory_node": 0,
                "virt_type": "qemu",
                "cpu_mode": "maximum",
                "firmware": "bios",
                "vcpu_pins": [{"vcpu": 0, "cpus": "0"}, {"vcpu": 1, "cpus": "1"}],
                "emulator_cpus": "0-1",
                "kernel": "/var/lib/libvirt/images/vmlinuz",
                "initrd": "/var/lib/libvirt/images/initrd",
                "cmdline": "console=ttyS0 quiet",
                "serial_log": "/var/log/libvirt/qemu/demo-serial.log",
                "disks": [
                    {"source": "/var/lib/libvirt/images/disk.raw"},
                    {"source": "/var/lib/libvirt/images/disk2.raw", "bus": "scsi", "readonly": True},
                ],
            },
        ),
    ],
)
def test_what_a_real_libvirt_made_of_it_is_no_difference(name: str, options: dict[str, Any]) -> None:
    wanted = build(DomainSpec.from_options(options))
    assert reconcile(fixture(name), wanted, wanted.xml).differences == ()


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"memory": "4G"}, "memory"),
        ({"vcpus": 8, "topology": {"cores": 8}}, "vcpu"),
        ({"machine": "pc"}, "os/type/@machine"),
        ({"machine": "pc-q35-8.0"}, "os/type/@machine"),
        ({"firmware": "bios"}, "os/firmware"),
        ({"cpu_mode": "maximum"}, "cpu/@mode"),
        ({"devices": []}, f"devices/hostdev[{GPU}]"),
        ({"devices": [{"address": GPU, "rom_bar": True, "boot_order": 1}]}, f"devices/hostdev[{GPU}]/rom/@bar"),
        ({"devices": [{"address": NIC}]}, f"devices/hostdev[{NIC}]"),
        ({"hugepages": "1G"}, "memoryBacking/hugepages/page[1G]"),
        ({"disks": [{"source": "/a"}]}, "devices/disk[vda]"),
        ({"kernel": "/k"}, "os/kernel"),
    ],
)
def test_each_change_is_seen_under_its_name(change: dict[str, Any], setting: str) -> None:
    wanted = build(DomainSpec.from_options({**REAL_GPU, **change}))
    differences = reconcile(
        fixture("hostdevs-inactive.xml"), wanted, build(DomainSpec.from_options(REAL_GPU)).xml
    ).differences
    assert setting in [difference.setting for difference in differences]


def test_what_a_person_added_stays() -> None:
    existing = fixture("hostdevs-inactive.xml")
    devices = existing.find("devices")
    assert devices is not None
    devices.append(parse_xml("<interface type='network'><source network='default'/></interface>"))
    devices.append(parse_xml("<hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/></source></hostdev>"))
    devices.append(parse_xml("<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>"))
    existing.append(parse_xml("<metadata><x:note xmlns:x='http://example.org/x'>mine</x:note></metadata>"))
    wanted = build(DomainSpec.from_options({**REAL_GPU, "memory": "4G", "devices": [], "disks": []}))
    merged = reconcile(existing, wanted, build(DomainSpec.from_options(REAL_GPU)).xml)
    text = to_text(merged.xml)
    for kept in ("<interface", 'type="usb"', 'device="cdrom"', "x:note", "pcie-root-port"):
        assert kept in text
    assert GPU not in text
    assert len(merged.xml.findall("devices/hostdev")) == 1


def test_devices_that_are_not_said_stay_unless_they_were_ours() -> None:
    existing = fixture("hostdevs-inactive.xml")
    without = build(DomainSpec.from_options({**REAL_GPU, "devices": None}))
    assert reconcile(existing, without).differences == ()
    said = reconcile(existing, without, build(DomainSpec.from_options(REAL_GPU)).xml).differences
    assert [difference.setting for difference in said] == [
        f"devices/hostdev[{GPU}]",
        f"devices/hostdev[{GPU_AUDIO}]",
    ]


def test_value_of_ours_that_somebody_changed_is_left_when_it_is_no_longer_said(conn: Any) -> None:
    old = build(spec_of(on_crash="restart"))
    existing = _expand(conn, old.xml)
    crash = existing.find("on_crash")
    assert crash is not None
    crash.text = "preserve"
    assert reconcile(existing, build(spec_of()), old.xml).differences == ()


def test_attribute_of_ours_that_somebody_changed_is_left_when_it_is_no_longer_said(conn: Any) -> None:
    old = build(spec_of(devices=[{"address": GPU, "rom_bar": True, "rom_file": "/a.rom"}]))
    new = build(spec_of(devices=[{"address": GPU, "rom_file": "/a.rom"}]))
    existing = _expand(conn, old.xml)
    settings = [difference.setting for difference in reconcile(existing, new, old.xml).differences]
    assert settings == [f"devices/hostdev[{GPU}]/rom/@bar"]
    rom = existing.find("devices/hostdev/rom")
    assert rom is not None
    rom.set("bar", "off")
    assert reconcile(existing, new, old.xml).differences == ()


@pytest.mark.parametrize(("number", "unit"), [("2", "GiB"), ("2048", "m"), ("2097152", "KiB"), ("2147483648", "bytes")])
def test_memory_is_compared_in_one_unit(number: str, unit: str) -> None:
    existing = fixture("hostdevs-inactive.xml")
    memory = existing.find("memory")
    assert memory is not None
    memory.text = number
    memory.set("unit", unit)
    assert reconcile(existing, build(DomainSpec.from_options(REAL_GPU))).differences == ()


def test_boot_orders_replace_the_older_list_of_kinds(conn: Any) -> None:
    existing = _expand(conn, build(spec_of()).xml)
    assert existing.find("os/boot") is not None
    merged = reconcile(existing, build(spec_of(disks=[{"source": "/a", "boot_order": 1}])))
    assert merged.xml.find("os/boot") is None


def test_another_machine_family_drops_addresses_of_the_old_one() -> None:
    wanted = build(DomainSpec.from_options({**REAL_GPU, "machine": "pc"}))
    merged = reconcile(fixture("hostdevs-inactive.xml"), wanted).xml
    assert merged.findall("devices/controller[@type='pci']") == []
    assert merged.findall("devices/hostdev/address") == []
    assert len(merged.findall("devices/hostdev/source/address")) == 2


def test_running_domain_of_an_older_libvirt_shows_its_loader_instead_of_efi() -> None:
    assert firmware_of(parse_xml("<domain><os><loader type='pflash'>/x</loader></os></domain>")) == "efi"
    assert firmware_of(parse_xml("<domain><os/></domain>")) == "bios"


def test_existing_xml_is_not_changed_in_place() -> None:
    existing = fixture("hostdevs-inactive.xml")
    text = to_text(existing)
    reconcile(existing, build(spec_of(devices=[])))
    assert to_text(existing) == text


def test_binding_is_the_real_one() -> None:
    assert libvirt is not None

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._diagnosis.checks import Check, Cpu, Facts, check
from ansible_collections.virtfleet.passthrough.plugins.module_utils._diagnosis.signatures import KERNEL, Finding
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.domains import DomainState
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity

PORT, GPU, AUDIO, USB = "0000:00:01.0", "0000:01:00.0", "0000:01:00.1", "0000:00:14.0"
MATISSE = Cpu("AuthenticAMD", 0x17, 0x71)
HEALTHY_XML = """
<domain type='kvm'>
  <name>win</name>
  <vcpu>8</vcpu>
  <os firmware='efi'><type machine='pc-q35-4.0'>hvm</type></os>
  <features><kvm><hidden state='on'/></kvm><ioapic driver='kvm'/></features>
  <cpu mode='host-passthrough'>
    <topology sockets='1' cores='4' threads='2'/>
    <feature policy='disable' name='amd-stibp'/>
  </cpu>
  <devices>
    <hostdev mode='subsystem' type='pci'>
      <source><address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source>
      <rom file='/srv/gpu.rom'/>
    </hostdev>
  </devices>
</domain>
"""
USB_HOSTDEV = """
    <hostdev mode='subsystem' type='pci'>
      <source><address domain='0x0000' bus='0x00' slot='0x14' function='0x0'/></source>
    </hostdev>
  </devices>"""


def function(address: str, class_code: str, vendor: str = "10de", **more: Any) -> Device:
    return Device(Address.parse(address), Identity(vendor, "1b80", "1458", "0001"), class_code, **more)


DEVICES = (
    function(GPU, "0300", parent=Address.parse(PORT), driver="vfio-pci", reset_methods=("flr", "bus")),
    function(AUDIO, "0403", parent=Address.parse(PORT), driver="vfio-pci", reset_methods=("flr",)),
    function(USB, "0c03", "8086", resettable=False),
)


def domain(xml: str = HEALTHY_XML, state: str = "running") -> DomainState:
    return DomainState("win", "9607d2e9-3593-4c81-9c4a-c34116040b34", state, True, True, False, xml)


HEALTHY = Facts(
    devices=DEVICES,
    domains=(domain(),),
    kernel=(5, 6, 0),
    cpu=MATISSE,
    ignore_msrs=True,
    iommu_enabled=True,
    portable=False,
    rom_is_uefi={"/srv/gpu.rom": True},
    largest_bars={GPU: 256 * 1024 * 1024},
)


def applying(facts: Facts, limit: int = 120) -> list[str]:
    return [found.name for found in check(facts, limit) if found.state == "applies"]


def without(*parts: str) -> dict[str, Any]:
    xml = HEALTHY_XML
    for part in parts:
        assert part in xml
        xml = xml.replace(part, "")
    return {"domains": (domain(xml),)}


def test_a_healthy_host_has_none_of_the_causes() -> None:
    found = check(HEALTHY, 120)
    assert {one.state for one in found} == {"clear"}
    assert {one.symptom for one in found} == {
        "code_43", "stop_loop", "no_picture", "one_core", "no_hdmi_audio", "frozen_console", "stuck_shutdown",
    }  # fmt: skip
    assert len([one for one in found if one.symptom == "code_43"]) == 7


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (without("<kvm><hidden state='on'/></kvm>"), "hypervisor_seen"),
        ({"portable": True}, "no_battery"),
        ({"rom_is_uefi": {"/srv/gpu.rom": False}}, "no_uefi_rom"),
        ({"findings": (Finding("bar_not_reserved", KERNEL, "", "", (), GPU),)}, "bar_not_reserved"),
        ({"largest_bars": {GPU: 8 << 30}}, "resizable_bar"),
        (without("<ioapic driver='kvm'/>"), "split_irqchip"),
        ({"domains": (domain(HEALTHY_XML.replace("driver='kvm'", "driver='qemu'")),)}, "split_irqchip"),
        ({"findings": (Finding("header_type_127", KERNEL, "", "", (), None),)}, "reset_bug"),
        (without("<feature policy='disable' name='amd-stibp'/>"), "stibp_on_zen_2"),
        ({"ignore_msrs": False}, "unknown_msrs"),
        (without(" firmware='efi'"), "not_uefi"),
        (without("<topology sockets='1' cores='4' threads='2'/>"), "no_topology"),
        ({"devices": (*DEVICES, function("0000:00:02.0", "0300", "8086"))}, "igpu_behind_iommu"),
        ({"devices": (dataclasses.replace(DEVICES[0], boot_vga=True), *DEVICES[1:]), "kernel": (6, 0, 0)},
         "boot_display_taken"),
    ],
)  # fmt: skip
def test_one_fault_shows_in_its_own_check_alone(fault: dict[str, Any], name: str) -> None:
    assert applying(dataclasses.replace(HEALTHY, **fault)) == [name]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"findings": (Finding("bar_not_reserved", KERNEL, "", "", (), "0000:09:00.0"),)}, "bar_not_reserved"),
        ({**without("<feature policy='disable' name='amd-stibp'/>"), "kernel": (5, 4, 0)}, "stibp_on_zen_2"),
        ({**without("<feature policy='disable' name='amd-stibp'/>"), "kernel": (5, 8, 2)}, "stibp_on_zen_2"),
        ({**without("<feature policy='disable' name='amd-stibp'/>"), "cpu": Cpu("AuthenticAMD", 0x17, 0x08)},
         "stibp_on_zen_2"),
        ({**without("<feature policy='disable' name='amd-stibp'/>"), "cpu": None}, "stibp_on_zen_2"),
        ({"portable": True, "domains": (domain(HEALTHY_XML.replace(
            "</os>", "<acpi><table type='slic'>/srv/bat.dsl</table></acpi></os>")),)}, "no_battery"),
        ({"domains": (domain(HEALTHY_XML.replace(" firmware='efi'", "").replace(
            "</os>", "<loader type='pflash'>/x</loader></os>")),)}, "not_uefi"),
        ({"devices": (*DEVICES, function("0000:00:02.0", "0300", "8086")), "iommu_enabled": False},
         "igpu_behind_iommu"),
        ({"devices": (dataclasses.replace(DEVICES[0], boot_vga=True), *DEVICES[1:])}, "boot_display_taken"),
    ],
)  # fmt: skip
def test_what_only_looks_like_a_cause(change: dict[str, Any], name: str) -> None:
    (found,) = (one for one in check(dataclasses.replace(HEALTHY, **change), 120) if one.name == name)
    assert found.state == "clear"


def test_what_the_host_does_not_tell_is_unknown() -> None:
    facts = dataclasses.replace(HEALTHY, rom_is_uefi={}, kernel_log=False, ignore_msrs=None)
    names = {one.name for one in check(facts, 120) if one.state == "unknown"}
    assert names == {"no_uefi_rom", "bar_not_reserved", "reset_bug", "unknown_msrs"}


def stuck(state: str, seconds: dict[str, float]) -> Check:
    xml = HEALTHY_XML.replace("</devices>", USB_HOSTDEV)
    facts = dataclasses.replace(HEALTHY, domains=(domain(xml, state),), shutting_down=seconds)
    (found,) = (one for one in check(facts, 120) if one.symptom == "stuck_shutdown")
    return found


@pytest.mark.parametrize(
    ("state", "seconds", "expected"),
    [
        ("in shutdown", {"win": 300.0}, "applies"),
        ("in shutdown", {"win": 119.0}, "clear"),
        ("in shutdown", {}, "unknown"),
        ("running", {"win": 300.0}, "clear"),
    ],
)
def test_a_domain_that_does_not_end_names_its_devices_without_reset(
    state: str, seconds: dict[str, float], expected: str
) -> None:
    found = stuck(state, seconds)
    assert (found.state, found.domain, found.devices) == (expected, "win", (USB,))


def test_a_domain_without_a_display_shows_no_picture() -> None:
    xml = HEALTHY_XML.replace("bus='0x01' slot='0x00' function='0x0'", "bus='0x01' slot='0x00' function='0x1'")
    assert applying(dataclasses.replace(HEALTHY, domains=(domain(xml),))) == ["no_display_function"]


def test_a_domain_without_devices_of_the_host_is_not_looked_at() -> None:
    xml = HEALTHY_XML[: HEALTHY_XML.index("<devices>")] + "</domain>"
    assert {one.domain for one in check(dataclasses.replace(HEALTHY, domains=(domain(xml),)), 120)} == {None}

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.surroundings import Surroundings
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.verdict import Verdict, verdict
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency
from tests.unit.plugins.planned_host import IOMMU_ON

ONBOARD = "0000:00:02.0"
PORT, GPU, AUDIO, NIC, XHCI = "0000:00:01.0", "0000:01:00.0", "0000:01:00.1", "0000:02:00.0", "0000:00:14.0"
SAFE = IOMMU_ON["vfio_parameters"]
PLAIN_REGION = {"start": "0xfee00000", "end": "0xfeefffff", "type": "msi"}


def function(address: str, class_code: str, group: int | None, ids: str = "10de:13c2", **more: Any) -> Device:
    vendor, device = ids.split(":")
    identity = Identity(vendor, device, "1458", "3681")
    return Device(Address.parse(address), identity, class_code, iommu_group=group, **more)


def slot(group: int | None = 1) -> list[Device]:
    """A root port and, in its group, a graphics card with its audio function; the host has a display of its own."""
    return [
        function(ONBOARD, "0300", 0, "8086:0152"),
        function(PORT, "0604", group, "8086:0151", is_bridge=True, driver="pcieport"),
        function(GPU, "0300", group),
        function(AUDIO, "0403", group, "10de:0fbb", driver="snd_hda_intel"),
    ]


def iommu(*regions: dict[str, str], enabled: bool = True, number: int = 1, **more: Any) -> dict[str, Any]:
    groups = [{"id": number, "reserved_regions": [PLAIN_REGION, *regions]}] if enabled else []
    remapping = True if enabled else None
    return {**IOMMU_ON, "enabled": enabled, "interrupt_remapping": remapping, "groups": groups, **more}


def judged(
    devices: list[Device],
    address: str,
    state: dict[str, Any] | None = None,
    needs: tuple[Dependency, ...] = (),
    selected: tuple[str, ...] = (),
) -> Verdict:
    around = Surroundings(devices, needs, state or iommu(), selected={Address.parse(text) for text in selected})
    return verdict(next(device for device in devices if str(device.address) == address), around)


def rules(found: Verdict) -> list[str]:
    return [finding.rule for finding in found.blockers]


def test_a_card_takes_its_other_functions_along_and_leaves_the_bridge() -> None:
    found = judged(slot(), GPU, selected=(GPU, AUDIO))
    assert (found.companions, found.keep_on_host) == ((AUDIO,), (PORT,))
    assert found.to_json()["possible"] is True


@pytest.mark.parametrize(
    ("class_code", "header_type", "driver", "blocks"),
    [
        ("0601", 0, "lpc_ich", True),
        ("0600", 0, "k10temp", True),
        ("0601", 0, None, False),
        ("0604", 1, "pcieport", False),
        ("0604", 1, "shpchp", False),
    ],
)
def test_a_driver_on_a_bridge_to_isa_blocks_its_group_as_any_other(
    class_code: str, header_type: int, driver: str | None, blocks: bool
) -> None:
    bridge = function("0000:00:1f.0", class_code, 1, is_bridge=True, header_type=header_type, driver=driver)
    needed = (Dependency("0000:00:1f.0", "serial_console", "carries the console ttyS0", "serial_console"),)
    found = judged([*slot(), bridge], GPU, selected=(GPU, AUDIO), needs=needed)
    assert [blocker.device for blocker in found.blockers] == ["0000:00:1f.0"] * blocks
    assert all(f"keep {driver} from being loaded" in blocker.reason for blocker in found.blockers)
    assert not any("Select" in blocker.reason for blocker in found.blockers)


def test_uses_of_one_kind_are_one_sentence_and_another_key_is_another_one() -> None:
    uses = [f"holds sd{letter}, on which md0 is built" for letter in "abcdef"]
    needs = (
        *(Dependency(GPU, "storage", use, "storage") for use in uses),
        Dependency(GPU, "in_use", "is in use by less (process 7)", "in_use"),
    )
    found = judged(slot(), GPU, needs=needs, selected=(GPU, AUDIO))
    assert [(blocker.rule, blocker.reason, blocker.allow) for blocker in found.blockers] == [
        ("VFIO-22", f"{GPU} {'; '.join(uses[:4])}; and 2 more", "storage"),
        ("VFIO-23", f"{GPU} is in use by less (process 7)", "in_use"),
    ]


def test_no_key_is_offered_beside_what_none_permits() -> None:
    needs = (Dependency(GPU, "storage", "holds /srv", "storage"), Dependency(GPU, "root_disk", "holds /, /boot"))
    found = judged(slot(), GPU, needs=needs, selected=(GPU, AUDIO))
    assert [(blocker.reason, blocker.allow) for blocker in found.blockers] == [
        (f"{GPU} holds /, /boot; holds /srv", None)
    ]


def test_a_member_that_works_for_the_host_blocks_and_slots_are_offered_before_an_override() -> None:
    found = judged(slot(), GPU)
    assert rules(found) == ["IOMMU-16"]
    (blocker,) = found.blockers
    assert blocker.device == AUDIO
    assert AUDIO in blocker.reason
    assert blocker.reason.index("slot") < blocker.reason.index("ACS override")


def test_the_last_displays_do_not_leave_together() -> None:
    both = [function(ONBOARD, "0300", 0), function(GPU, "0300", 1)]
    assert rules(judged(both, GPU, selected=(GPU,))) == []
    found = judged(both, GPU, selected=(GPU, ONBOARD))
    assert (rules(found), found.blockers[0].allow) == (["PRE-08"], "last_display")


def test_a_bridge_never_goes() -> None:
    found = judged(slot(), PORT, selected=(PORT, GPU, AUDIO))
    assert (rules(found), found.companions, found.blockers[0].allow) == (["IOMMU-17"], (), None)


@pytest.mark.parametrize(("kind", "blocks"), [("direct", True), ("direct-relaxable", False), ("reserved", False)])
def test_only_a_region_that_the_firmware_insists_on_blocks(kind: str, blocks: bool) -> None:
    region = {"start": "0x7d800000", "end": "0x7fffffff", "type": kind}
    found = judged([function(XHCI, "0c03", 1)], XHCI, iommu(region))
    assert rules(found) == (["RESET-13"] if blocks else [])
    if blocks:
        assert "0x7d800000-0x7fffffff" in found.blockers[0].reason
        assert found.blockers[0].allow is None


def test_a_region_of_another_group_does_not_count() -> None:
    region = {"start": "0x7d800000", "end": "0x7fffffff", "type": "direct"}
    assert rules(judged([function(XHCI, "0c03", 1)], XHCI, iommu(region, number=2))) == []


def test_a_model_that_vfio_denies_is_refused_unless_a_person_disabled_the_list() -> None:
    card = function(NIC, "0b40", 1, "8086:37c8")
    assert rules(judged([card], NIC)) == ["VFIO-DENYLIST"]
    assert rules(judged([card], NIC, iommu(vfio_parameters={**SAFE, "disable_denylist": True}))) == []
    # The number alone is nobody's.
    assert rules(judged([function(NIC, "0b40", 1, "1af4:37c8")], NIC)) == []


@pytest.mark.parametrize(
    ("remapping", "allowed", "expected"),
    [(True, False, []), (None, False, []), (False, True, []), (False, False, ["VFIO-INTERRUPTS"])],
)
def test_interrupts_that_are_not_remapped_are_a_persons_own_choice(
    remapping: bool | None, allowed: bool, expected: list[str]
) -> None:
    state = {**iommu(vfio_parameters={**SAFE, "allow_unsafe_interrupts": allowed}), "interrupt_remapping": remapping}
    assert rules(judged([function(NIC, "0200", 1)], NIC, state)) == expected


def test_no_reset_refuses_by_class() -> None:
    stuck: dict[str, Any] = {"resettable": False}
    display = [function(ONBOARD, "0300", 0), function(GPU, "0300", 1, **stuck), function(AUDIO, "0403", 1, **stuck)]
    for address in (GPU, AUDIO):
        found = judged(display, address, selected=(GPU, AUDIO))
        assert (rules(found), [finding.rule for finding in found.warnings]) == ([], ["RESET-03"])
    usb = judged([function(XHCI, "0c03", 1, **stuck)], XHCI)
    assert (rules(usb), usb.blockers[0].allow) == (["RESET-04"], "no_reset")
    assert "USB devices" in usb.blockers[0].reason
    network = judged([function(NIC, "0200", 1, **stuck)], NIC)
    assert (rules(network), "USB" in network.blockers[0].reason) == (["RESET-02"], False)


@pytest.mark.parametrize(
    ("methods", "others", "refused"),
    [
        (("bus",), ("0000:04:02.0",), True),
        (("bus",), ("0000:04:01.1",), True),
        (("bus",), (), False),
        (("pm", "bus"), ("0000:04:02.0",), False),
        ((), ("0000:04:02.0",), False),
    ],
    ids=["two slots", "two functions", "alone", "another method", "before Linux 5.15"],
)
def test_a_reset_of_a_shared_bus_is_none(methods: tuple[str, ...], others: tuple[str, ...], refused: bool) -> None:
    address, bridge = "0000:04:01.0", Address.parse("0000:03:00.0")
    devices = [
        function("0000:03:00.0", "0604", 5, is_bridge=True),
        function(address, "0200", 5, parent=bridge, reset_methods=methods),
        *(function(other, "0200", 5, parent=bridge, driver="vfio-pci") for other in others),
        function("0000:05:01.0", "0200", 6, parent=Address.parse("0000:03:01.0")),
    ]
    blockers = judged(devices, address).blockers
    assert [(blocker.rule, blocker.device, blocker.allow) for blocker in blockers] == [
        ("RESET-02", address, "no_reset")
    ] * refused
    assert all(f"shares with {others[0]}:" in blocker.reason for blocker in blockers)


def test_functions_of_the_root_bus_share_none_that_is_reset() -> None:
    devices = [function(XHCI, "0c03", 1, reset_methods=("bus",)), function(NIC, "0200", 2, reset_methods=("bus",))]
    assert rules(judged(devices, XHCI)) == []


def test_a_card_that_is_reset_with_its_bus_is_warned_of_by_its_class() -> None:
    port = Address.parse(PORT)
    shared: dict[str, Any] = {"parent": port, "reset_methods": ("bus",)}
    display = [function(ONBOARD, "0300", 0), function(GPU, "0300", 1, **shared), function(AUDIO, "0403", 1, **shared)]
    found = judged(display, GPU, selected=(GPU, AUDIO))
    assert (rules(found), [finding.rule for finding in found.warnings]) == ([], ["RESET-03"])
    usb = [function("0000:02:00.0", "0c03", 1, **shared), function("0000:02:00.1", "0c03", 1, **shared)]
    assert rules(judged(usb, "0000:02:00.0")) == ["RESET-04"]


def test_what_the_host_needs_of_any_member_blocks() -> None:
    devices = [function(NIC, "0200", 3), function("0000:02:00.1", "0106", 3)]
    disk = Dependency("0000:02:00.1", "root_disk", "holds /", None)
    vga = Dependency(NIC, "boot_vga", "is the display that the firmware started with", "boot_vga")
    found = judged(devices, NIC, needs=(disk, vga))
    assert [(finding.rule, finding.device, finding.allow) for finding in found.blockers] == [
        ("PRE-09", NIC, "boot_vga"),
        ("VFIO-22", "0000:02:00.1", None),
    ]
    assert found.blockers[1].reason == (f"0000:02:00.1 shares IOMMU group 3 with {NIC}, and 0000:02:00.1 holds /")


def test_a_function_outside_all_groups_is_not_for_guests_while_the_iommu_is_on() -> None:
    assert rules(judged([function(NIC, "0200", None)], NIC)) == ["IOMMU-13"]


def test_with_the_iommu_off_the_prediction_counts_and_says_so() -> None:
    state = iommu(enabled=False, predicted_groups=[{"devices": [PORT, GPU, AUDIO], "reasons": ["no ACS"]}])
    found = judged(slot(None), GPU, state)
    assert (found.companions, found.keep_on_host, found.after_reboot) == ((AUDIO,), (PORT,), True)
    assert "the predicted IOMMU group" in found.blockers[0].reason
    assert found.blockers[0].allow == "predicted_group"

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._diagnosis.signatures import (
    KERNEL,
    LIBVIRT,
    QEMU,
    SIGNATURES,
    XORG,
    diagnose,
)

# Lines as reports in public trackers and the programs' sources have them.
LINES = [
    (KERNEL, "[    3.1] vfio-pci 0000:01:00.0: vgaarb: changed VGA decodes: olddecodes=io+mem,decodes=io+mem:owns=none",
     "vga_decodes_hang", "0000:01:00.0"),
    (KERNEL, "vfio-pci 0000:01:00.0: vgaarb: VGA decodes changed: olddecodes=io+mem,decodes=none:owns=none",
     "vga_decodes_hang", "0000:01:00.0"),
    (KERNEL, "vfio-pci 0000:09:00.0: BAR 3: can't reserve [mem 0xf0000000-0xf1ffffff 64bit pref]",
     "bar_not_reserved", "0000:09:00.0"),
    (KERNEL, "vfio-pci 0000:09:00.0: BAR 3: cannot reserve [mem 0xf0000000-0xf1ffffff 64bit pref]",
     "bar_not_reserved", "0000:09:00.0"),
    (KERNEL, "vfio-pci 0000:09:00.0: BAR 1 [mem 0xd0000000-0xdfffffff 64bit pref]: can't reserve",
     "bar_not_reserved", "0000:09:00.0"),
    (LIBVIRT, "internal error: Unknown PCI header type '127' for device '0000:0a:00.0'",
     "header_type_127", "0000:0a:00.0"),
    (QEMU, "vfio: Unable to power on device, stuck in D3", "stuck_in_d3", None),
    (KERNEL, "vfio-pci 0000:0a:00.0: Refused to change power state, currently in D3", "stuck_in_d3", "0000:0a:00.0"),
    (KERNEL, "vfio-pci 0000:0a:00.0: Unable to change power state from D3cold to D0, device inaccessible",
     "stuck_in_d3", "0000:0a:00.0"),
    (KERNEL, "pcieport 0000:00:01.1: AER: Uncorrected (Non-Fatal) error received: 0000:00:01.1",
     "uncorrected_aer", "0000:00:01.1"),
    (KERNEL, "pcieport 0000:00:01.1: PCIe Bus Error: severity=Uncorrected (Non-Fatal), type=Transaction Layer",
     "uncorrected_aer", "0000:00:01.1"),
    (KERNEL, "vfio-pci 0000:01:00.1: Device is ineligible for IOMMU domain attach due to platform RMRR requirement.",
     "platform_rmrr", "0000:01:00.1"),
    (KERNEL, "watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [qemu-system-x86:1234]", "soft_lockup", None),
    (QEMU, "qemu-system-x86_64: -device vfio-pci,host=0000:01:00.0: vfio 0000:01:00.0: group 13 is not viable",
     "group_not_viable", "0000:01:00.0"),
    (QEMU, "qemu-system-x86_64: backing store size 0x2000000 does not match 'size' option 0x4000000",
     "backing_size", None),
    (QEMU, "qemu: /dev/shm/looking-glass backing store size 0x2000000 is too small for 'size' option 0x4000000",
     "backing_size", None),
    (XORG, "[    21.1] (EE) no screens found(EE)", "xorg_wrong_gpu", None),
    (XORG, "[    21.1] (EE) Cannot run in framebuffer mode. Please specify busIDs        for all framebuffer devices",
     "xorg_wrong_gpu", None),
]  # fmt: skip


@pytest.mark.parametrize(("source", "line", "name", "device"), LINES)
def test_a_known_line(source: str, line: str, name: str, device: str | None) -> None:
    (finding,) = diagnose(source, f"before\n{line}\nafter\n")
    assert (finding.name, finding.device, finding.message) == (name, device, line)
    assert finding.cause


def test_every_signature_has_a_line() -> None:
    assert {name for _source, _line, name, _device in LINES} == {signature.name for signature in SIGNATURES}


def test_no_remedy_is_made_up() -> None:
    assert [signature.name for signature in SIGNATURES if not signature.remedies] == ["uncorrected_aer"]


def test_the_arbiters_word_is_harmless_unless_it_was_the_last() -> None:
    line = LINES[0][1]
    assert diagnose(KERNEL, "\n".join([line, *["more"] * 20])) == []


def test_a_fault_is_told_once_for_each_device_by_its_last_line() -> None:
    first, second = (
        f"pcieport 0000:00:01.1: AER: Uncorrected (Non-Fatal) error received: id={number}" for number in range(2)
    )
    other = "pcieport 0000:00:03.1: AER: Uncorrected (Non-Fatal) error received: 0000:00:03.1"
    found = diagnose(KERNEL, "\n".join([first, other, second]))
    assert [(finding.device, finding.message) for finding in found] == [
        ("0000:00:01.1", second),
        ("0000:00:03.1", other),
    ]


def test_a_line_means_something_in_its_own_log_only() -> None:
    assert diagnose(QEMU, "(EE) no screens found(EE)") == []


@pytest.mark.parametrize(
    "line",
    [
        "pcieport 0000:00:01.1: AER: Corrected error received: 0000:00:01.1",
        "pci 0000:09:00.0: BAR 3: assigned [mem 0xf0000000-0xf1ffffff 64bit pref]",
        "vfio-pci 0000:0a:00.0: not ready 1023ms after FLR; waiting",
        "pci 0000:0a:00.0: Unknown header type '1'",
    ],
)
def test_a_healthy_line(line: str) -> None:
    assert diagnose(KERNEL, line) == []


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert diagnose(KERNEL, text) == [] or text

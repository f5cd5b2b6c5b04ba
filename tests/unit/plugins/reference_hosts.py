# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts from the listings that guides to PCI passthrough print: their addresses, ids, groups and log lines."""

from __future__ import annotations

from pathlib import Path

from tests.unit.plugins.config_spaces import ENDPOINT, ROOT_PORT, config_space, pcie
from tests.unit.plugins.host_tree import HostTree

RELEASE = "6.12.48-amd64"

_PORT = config_space([pcie(ROOT_PORT)], header_type=1)
_GPU = config_space([pcie(ENDPOINT)], header_type=0x80)

# The kernel's log of a machine with two units and five devices that the firmware wants mapped 1:1.
DMAR_LOG = """\
[    0.000000] ACPI: DMAR 0x00000000BDCB1CB0 0000B8 (v01 INTEL  BDW      00000001 INTL 00000001)
[    0.000000] Intel-IOMMU: enabled
[    0.028879] dmar: IOMMU 0: reg_base_addr fed90000 ver 1:0 cap c0000020660462 ecap f0101a
[    0.028883] dmar: IOMMU 1: reg_base_addr fed91000 ver 1:0 cap d2008c20660462 ecap f010da
[    0.028950] IOAPIC id 8 under DRHD base  0xfed91000 IOMMU 1
[    0.536229] IOMMU 0 0xfed90000: using Queued invalidation
[    0.536230] IOMMU 1 0xfed91000: using Queued invalidation
[    0.536231] IOMMU: Setting RMRR:
[    0.536241] IOMMU: Setting identity map for device 0000:00:02.0 [0xbf000000 - 0xcf1fffff]
[    0.537490] IOMMU: Setting identity map for device 0000:00:14.0 [0xbdea8000 - 0xbdeb6fff]
[    0.537512] IOMMU: Setting identity map for device 0000:00:1a.0 [0xbdea8000 - 0xbdeb6fff]
[    0.537530] IOMMU: Setting identity map for device 0000:00:1d.0 [0xbdea8000 - 0xbdeb6fff]
[    0.537543] IOMMU: Prepare 0-16MiB unity mapping for LPC
[    0.537549] IOMMU: Setting identity map for device 0000:00:1f.0 [0x0 - 0xffffff]
"""


def five_groups(base: Path) -> HostTree:
    """FX-GROUPS: a port, three USB controllers and a graphics card with its audio in groups 1, 2, 4, 10 and 13."""
    tree = HostTree(base)
    tree.function("0000:00:01.0", "8086:0151", "060400", bridge=True, driver="pcieport", group=1, revision="0x09")
    for address, ids, group in (
        ("0000:00:14.0", "8086:0e31", 2),
        ("0000:00:1a.0", "8086:0e2d", 4),
        ("0000:00:1d.0", "8086:0e26", 10),
    ):
        tree.function(address, ids, "0c0330", driver="xhci_hcd", group=group, revision="0x04")
    tree.function("0000:00:1c.0", "8086:1e10", "060400", bridge=True)
    for address, ids, class_code in (
        ("0000:06:00.0", "10de:13c2", "030000"),
        ("0000:06:00.1", "10de:0fbb", "040300"),
    ):
        tree.function(address, ids, class_code, under="0000:00:1c.0", group=13, revision="0xa1")
    return tree


def shared_slot(base: Path) -> HostTree:
    """FX-SLOT: a port of the CPU without isolation, in one group with the card below it."""
    tree = HostTree(base)
    port = tree.function("0000:00:01.0", "8086:0151", "060400", driver="pcieport", group=1, revision="0x09")
    (port / "config").write_bytes(_PORT)
    for address, ids, class_code, revision in (
        ("0000:01:00.0", "10de:1381", "030000", "0xa2"),
        ("0000:01:00.1", "10de:0fbc", "040300", "0xa1"),
    ):
        card = tree.function(address, ids, class_code, under="0000:00:01.0", group=1, revision=revision)
        (card / "config").write_bytes(_GPU)
    return tree


def bound_card(base: Path) -> HostTree:
    """FX-VFIO-OK: a graphics card and its audio with vfio-pci, whose native drivers are installed all the same."""
    tree = HostTree(base)
    for address, ids, class_code in (
        ("0000:06:00.0", "10de:13c2", "030000"),
        ("0000:06:00.1", "10de:0fbb", "040300"),
    ):
        card = tree.function(address, ids, class_code, driver="vfio-pci", group=13, driver_override="vfio-pci")
        vendor, device = (f"{word.upper():0>8}" for word in ids.split(":"))
        with (card / "uevent").open("a") as uevent:
            uevent.write(
                f"MODALIAS=pci:v{vendor}d{device}sv00008086sd00000000bc{class_code[:2]}sc{class_code[2:4]}i00\n"
            )
    tree.write("/proc/sys/kernel/osrelease", f"{RELEASE}\n")
    tree.write(
        f"/lib/modules/{RELEASE}/modules.alias",
        "alias pci:v000010DEd*sv*sd*bc03sc*i* nouveau\n"
        "alias pci:v000010DEd*sv*sd*bc03sc00i00* nvidia\n"
        "alias pci:v000010DEd*sv*sd*bc04sc03i00* snd_hda_intel\n"
        "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n",
    )
    return tree


def resettable_devices(base: Path) -> HostTree:
    """FX-RESET: two EHCI controllers and the sound that can be reset; the xHCI controller and both cards cannot."""
    tree = HostTree(base)
    listing = (
        ("0000:00:00.0", "8086:0158", "060000", 0, False),
        ("0000:00:01.0", "8086:0151", "060400", 1, False),
        ("0000:01:00.0", "10de:1288", "030000", 1, False),
        ("0000:01:00.1", "10de:0e0f", "040300", 1, False),
        ("0000:00:14.0", "8086:1e31", "0c0330", 2, False),
        ("0000:00:1a.0", "8086:1e2d", "0c0320", 4, True),
        ("0000:00:1b.0", "8086:1e20", "040300", 5, True),
        ("0000:00:1d.0", "8086:1e26", "0c0320", 10, True),
        ("0000:06:00.0", "10de:13c2", "030000", 13, False),
        ("0000:06:00.1", "10de:0fbb", "040300", 13, False),
    )
    for address, ids, class_code, group, resettable in listing:
        tree.function(address, ids, class_code, group=group, resettable=resettable)
    return tree


def reserving_firmware(base: Path) -> HostTree:
    """FX-DMAR: two IOMMU units, and five devices for which the firmware reserved memory, told by the kernel's log."""
    tree = HostTree(base)
    tree.write("/var/log/dmesg", DMAR_LOG)
    return tree

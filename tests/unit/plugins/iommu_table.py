# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Topologies made by hand, for rules of grouping that the recorded kernels do not show apart."""

from __future__ import annotations

import functools

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override import Override
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.prediction import Platform
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from tests.unit.plugins.iommu_cases import ACS_ON, Case, bridge, function, together

PORT = "0000:00:1c.0"
ROOT_PORT_WITHOUT_ACS = bridge(PORT)
PCH_PORT = (bridge(PORT, ids="8086:8c10"), function("01:00.0", under=PORT))

_Groups = frozenset[frozenset[str]]

# Name: devices, then who is together.
_PLAIN: dict[str, tuple[tuple[Device, ...], _Groups]] = {
    "a conventional bridge on the root bus takes over the requester id": (
        (bridge("00:1e.0", None), function("02:01.0", None, under="00:1e.0")),
        together("00:1e.0 02:01.0"),
    ),
    "behind a PCIe-to-PCI bridge everything is one, the isolated port above is not": (
        (
            bridge(PORT, acs=ACS_ON),
            bridge("01:00.0", "pcie_to_pci_bridge", under=PORT),
            function("02:01.0", None, under="01:00.0"),
            function("02:02.0", None, under="01:00.0"),
        ),
        together("00:1c.0", "01:00.0 02:01.0 02:02.0"),
    ),
    "the IOMMU of a ThunderX2 ends the search for aliases": (
        (
            bridge("00:00.0", "pcie_to_pci_bridge", ids="14e4:9000", acs=ACS_ON),
            function("01:00.0", "endpoint", under="00:00.0"),
        ),
        # Never isolated, it still joins what is behind it: by the path, not as an alias.
        together("00:00.0 01:00.0"),
    ),
    "a control that the port does not have needs not be on": (
        (bridge(PORT, acs=(0x0D, 0x0D)), function("01:00.0", under=PORT)),
        together("00:1c.0", "01:00.0"),
    ),
    "a control that the port has must be on": (
        (bridge(PORT, acs=(0x1D, 0x0D)), function("01:00.0", under=PORT)),
        together("00:1c.0 01:00.0"),
    ),
    "source validation of some IDT switches is not used": (
        (bridge(PORT, ids="111d:80b5", acs=(0x1D, 0x1C)), function("01:00.0", under=PORT)),
        together("00:1c.0", "01:00.0"),
    ),
    "a function above 0 is multifunction whatever the header says": (
        (function("00:14.0", multifunction=True), function("00:14.2")),
        together("00:14.0 00:14.2"),
    ),
    "without bit 7 in function 0 the others find no mate in it": (
        (function("00:14.0"), function("00:14.2")),
        together("00:14.0", "00:14.2"),
    ),
    "a function with ACS leaves the slot's group": (
        (function("00:14.0", multifunction=True), function("00:14.2", acs=ACS_ON), function("00:14.3")),
        together("00:14.0 00:14.3", "00:14.2"),
    ),
    "NICs that their vendor vouches for": (
        (
            function("01:00.0", ids="8086:1521", multifunction=True, under=PORT),
            function("01:00.1", ids="8086:1521", multifunction=True, under=PORT),
            bridge(PORT, acs=ACS_ON),
        ),
        together("00:1c.0", "01:00.0", "01:00.1"),
    ),
    "VFs share no slot with their PF": (
        (
            function("01:00.0", multifunction=True),
            function("01:00.1", multifunction=True, physfn=Address.parse("01:00.0")),
        ),
        together("01:00.0", "01:00.1"),
    ),
    "VFs on an extra bus are as isolated as the PF's port lets them": (
        (
            bridge(PORT, acs=ACS_ON),
            function("01:00.0", under=PORT),
            function("02:00.0", under=PORT, physfn=Address.parse("01:00.0")),
            function("02:00.1", under=PORT, physfn=Address.parse("01:00.0")),
        ),
        together("00:1c.0", "01:00.0", "02:00.0", "02:00.1"),
    ),
    "VFs on an extra bus below a port without ACS": (
        (
            ROOT_PORT_WITHOUT_ACS,
            function("01:00.0", under=PORT),
            function("02:00.0", under=PORT, physfn=Address.parse("01:00.0")),
        ),
        together("00:1c.0 01:00.0 02:00.0"),
    ),
    "what VMD hides shares its endpoint's group": (
        (
            function("0000:00:0e.0", "root_complex_endpoint", ids="8086:9a0b"),
            bridge("10000:e0:1d.0", under="0000:00:0e.0", acs=ACS_ON),
            function("10000:e1:00.0", under="10000:e0:1d.0"),
        ),
        together("0000:00:0e.0 10000:e0:1d.0 10000:e1:00.0"),
    ),
    "a domain that Hyper-V made up has no DMA device": (
        (function("10000:00:00.0"), function("10001:00:00.0")),
        together("10000:00:00.0", "10001:00:00.0"),
    ),
    "a downstream port right below a root port is an upstream port": (
        (
            bridge(PORT, acs=ACS_ON),
            bridge("01:00.0", "downstream_port", under=PORT),
            function("02:00.0", under="01:00.0"),
        ),
        together("00:1c.0", "01:00.0", "02:00.0"),
    ),
    "an upstream port below an upstream port is a downstream port": (
        (
            bridge(PORT, acs=ACS_ON),
            bridge("01:00.0", "upstream_port", under=PORT),
            bridge("02:00.0", "upstream_port", under="01:00.0"),
            function("03:00.0", under="02:00.0"),
        ),
        together("00:1c.0", "01:00.0", "02:00.0 03:00.0"),
    ),
    "a Ricoh card's functions use function 0's requester id": (
        (
            function("01:00.0", ids="1180:e822", acs=ACS_ON),
            function("01:00.3", ids="1180:e832", acs=ACS_ON),
        ),
        together("01:00.0 01:00.3"),
    ),
    "Marvell's function 1 gets the DMA of function 0": (
        (
            function("01:00.0", ids="1b4b:9172", acs=ACS_ON),
            function("01:00.1", ids="1b4b:91a3", acs=ACS_ON),
        ),
        together("01:00.0 01:00.1"),
    ),
    "an Adaptec 3405 uses another slot's id": (
        (
            function("03:01.0", ids="1af4:1000"),
            function("03:0e.0", ids="9005:0285", subsystem="9005:02bb"),
            function("04:01.0", ids="1af4:1000"),
            function("04:0e.0", ids="9005:0285", subsystem="9005:0001"),
        ),
        together("03:01.0 03:0e.0", "04:01.0", "04:0e.0"),
    ),
    "PLX NTB: the whole bus is one": (
        (function("05:00.0", ids="10b5:87b0"), function("05:1f.7", acs=ACS_ON), function("06:00.0")),
        together("05:00.0 05:1f.7", "06:00.0"),
    ),
    "Intel VCA: functions 0 to 4 of every slot": (
        (
            function("05:00.0", ids="8086:2954"),
            function("05:1f.4", acs=ACS_ON),
            function("05:1f.5", acs=ACS_ON),
        ),
        together("05:00.0 05:1f.4", "05:1f.5"),
    ),
    "Intel's root complex endpoints are isolated, others' are not": (
        (
            function("00:02.0", "root_complex_endpoint", ids="8086:1234", multifunction=True),
            function("00:02.1", "root_complex_endpoint", ids="8086:1235"),
            function("00:03.0", "root_complex_endpoint", multifunction=True),
            function("00:03.1", "root_complex_endpoint"),
        ),
        together("00:02.0", "00:02.1", "00:03.0 00:03.1"),
    ),
    "event collectors are never isolated": (
        (
            function("00:05.0", "root_complex_event_collector", multifunction=True),
            function("00:05.4", "root_complex_event_collector", ids="8086:0b23", acs=ACS_ON),
        ),
        together("00:05.0 00:05.4"),
    ),
    "a Sunrise Point root port goes by its registers": (
        (bridge(PORT, ids="8086:a110", acs=ACS_ON), function("01:00.0", under=PORT)),
        together("00:1c.0", "01:00.0"),
    ),
    "an unknown port of Zhaoxin is not isolated, ACS or not": (
        (bridge(PORT, ids="1d17:0001", acs=ACS_ON), function("01:00.0", under=PORT)),
        together("00:1c.0 01:00.0"),
    ),
    "every bridge on the way counts": (
        (
            ROOT_PORT_WITHOUT_ACS,
            bridge("01:00.0", "upstream_port", under=PORT),
            bridge("02:00.0", "downstream_port", under="01:00.0", acs=ACS_ON),
            function("03:00.0", under="02:00.0"),
        ),
        together("00:1c.0 01:00.0 02:00.0 03:00.0"),
    ),
}


def _override(*ids: str) -> Override:
    return Override.parse([f"id:{text}" for text in ids])


# With an override, because only an id frees bridges that nothing else does.
_OVERRIDDEN: dict[str, tuple[tuple[Device, ...], Override, _Groups]] = {
    "an overridden PCIe-to-PCI bridge still takes over the requester id": (
        (bridge(PORT, "pcie_to_pci_bridge", ids="10b5:8112"), function("01:01.0", None, under=PORT)),
        _override("10b5:8112"),
        together("00:1c.0 01:01.0"),
    ),
    "ASPEED's bridge does not": (
        (bridge(PORT, "pcie_to_pci_bridge", ids="1a03:1150"), function("01:01.0", under=PORT)),
        _override("1a03:1150"),
        together("00:1c.0", "01:01.0"),
    ),
    "the IOMMU of a ThunderX2 sits below the root bus": (
        (
            bridge(PORT, "pci_to_pcie_bridge", ids="14e4:9000"),
            bridge("01:00.0", under=PORT, ids="14e4:9084", acs=ACS_ON),
            function("02:00.0", under="01:00.0"),
        ),
        _override("14e4:9000"),
        together("00:1c.0", "01:00.0", "02:00.0"),
    ),
    "an old PCH root port was judged before the override is asked": (
        PCH_PORT,
        Override(downstream=True),
        together("00:1c.0 01:00.0"),
    ),
    "what has ACS is not overridden": (
        (bridge(PORT, acs=(0x1D, 0)), function("01:00.0", under=PORT)),
        Override(downstream=True),
        together("00:1c.0 01:00.0"),
    ),
}

_AMD_SOUTHBRIDGE = tuple(
    function(f"00:14.{number}", None, ids=ids, multifunction=True)
    for number, ids in enumerate(("1002:4385", "1002:439c", "1022:780f", "1022:7809"))
)
_AMD_BELOW_A_PORT = (
    bridge(PORT, acs=ACS_ON),
    function("01:00.0", ids="1022:7809", multifunction=True, under=PORT),
    function("01:00.1", ids="1022:7809", multifunction=True, under=PORT),
)

_ON_A_PLATFORM: dict[str, tuple[tuple[Device, ...], Platform, _Groups]] = {
    "AMD's southbridge with its IOMMU": (
        _AMD_SOUTHBRIDGE,
        Platform(ivrs=True),
        together("00:14.0", "00:14.1", "00:14.2", "00:14.3"),
    ),
    "AMD's southbridge without IOMMU": (
        _AMD_SOUTHBRIDGE,
        Platform(),
        together("00:14.0 00:14.1 00:14.2 00:14.3"),
    ),
    "the same devices below a port": (
        _AMD_BELOW_A_PORT,
        Platform(ivrs=True),
        together("00:1c.0", "01:00.0 01:00.1"),
    ),
    "a single AMD function gets no such trust": (
        (bridge("00:14.0", None, ids="1002:4384"), function("02:05.0", None, under="00:14.0")),
        Platform(ivrs=True),
        together("00:14.0 02:05.0"),
    ),
    "an old PCH root port that the kernel made safe": (
        PCH_PORT,
        Platform(pch_workaround=True),
        together("00:1c.0", "01:00.0"),
    ),
    "an old PCH root port that the kernel left": (
        PCH_PORT,
        Platform(pch_workaround=False),
        together("00:1c.0 01:00.0"),
    ),
    "an old PCH root port of which nothing is known": (PCH_PORT, Platform(), together("00:1c.0 01:00.0")),
}

# Functions and ports without ACS that their vendor vouches for, one of each entry of the kernel's table.
_TRUSTED_FUNCTIONS = (
    "1924:0a03 8086:10fb 8086:15b8 19a2:0710 10df:0720 177d:a026 14e4:16d7 14e4:1763 1d17:9083 8088:1001 8088:0107"
)
_TRUSTED_ROOT_PORTS = (
    "17cb:0115 1dbf:0401 177d:a123 177d:af84 10e8:e004 1def:e00c 14e4:d714 0014:7a69 1c36:0031 1957:8d9b 1d17:0752 "
    "1d17:9083"
)


def _trusted() -> list[Case]:
    functions = [
        Case(
            f"functions of {ids}",
            (function("01:00.0", ids=ids, multifunction=True), function("01:00.1", ids=ids)),
            together("01:00.0", "01:00.1"),
        )
        for ids in _TRUSTED_FUNCTIONS.split()
    ]
    ports = [
        Case(
            f"root port {ids}",
            (bridge(PORT, ids=ids), function("01:00.0", under=PORT)),
            together("00:1c.0", "01:00.0"),
        )
        for ids in _TRUSTED_ROOT_PORTS.split()
    ]
    return functions + ports


@functools.cache
def table_cases() -> tuple[Case, ...]:
    """All of them, with the groups that the kernel's rules give."""
    return (
        *(Case(name, devices, groups) for name, (devices, groups) in _PLAIN.items()),
        *(Case(name, devices, groups, override) for name, (devices, override, groups) in _OVERRIDDEN.items()),
        *(
            Case(name, devices, groups, platform=platform)
            for name, (devices, platform, groups) in _ON_A_PLATFORM.items()
        ),
        *_trusted(),
    )

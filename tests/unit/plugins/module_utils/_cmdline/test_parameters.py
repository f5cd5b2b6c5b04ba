# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.parameters import conflicts
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import split

# somebody else's line, ours
CONTRADICTIONS = [
    ("intel_iommu=off", "intel_iommu=on"),
    ("intel_iommu=on,sm_off", "intel_iommu=sm_on"),
    ("intel_iommu=off", "intel_iommu=igfx_off"),
    ("amd_iommu=off", "amd_iommu=pgtbl_v1"),
    ("iommu=nopt", "iommu=pt"),
    ("iommu=soft,off", "iommu=pt"),
    ("pci=noaer,realloc=off", "pci=realloc=on"),
    ("vfio-pci.ids=1:2", "vfio_pci.ids=3:4"),
    # The kernel keeps only the last list.
    ("module_blacklist=a", "module_blacklist=b"),
    ("systemd.unit=rescue.target", "systemd.unit=multi-user.target"),
    ("default_hugepagesz=1G", "default_hugepagesz=2M"),
    ("isolcpus=1", "isolcpus=2"),
    ("tsc", "tsc=reliable"),
]

NO_CONTRADICTIONS = [
    ("intel_iommu=on", "intel_iommu=on"),
    ("intel_iommu=igfx_off", "intel_iommu=on"),
    ("intel_iommu=on,sm_on", "intel_iommu=on"),
    ("iommu=soft", "iommu=pt"),
    ("pci=noaer", "pci=realloc"),
    ("pcie_acs_override=downstream", "pcie_acs_override=multifunction"),
    ("console=tty0", "console=ttyS0"),
    ("video=efifb:off", "video=vesafb:off"),
    ("hugepagesz=1G hugepages=1", "hugepagesz=2M hugepages=10"),
    ("modprobe.blacklist=a", "modprobe.blacklist=b"),
    ("rd.luks.uuid=a", "rd.luks.uuid=b"),
    ("systemd.mask=a.service", "systemd.mask=b.service"),
    ("debugpat=1", "debug"),
    ('dyndbg="a +p"', '"dyndbg=a +p"'),
    # Init's, not the kernel's.
    ("-- intel_iommu=off", "intel_iommu=on"),
]


@pytest.mark.parametrize(("foreign", "wanted"), CONTRADICTIONS)
def test_values_of_which_the_kernel_heeds_only_one_contradict(foreign: str, wanted: str) -> None:
    assert conflicts(split(foreign), split(wanted)) == [(foreign, wanted)]
    assert conflicts(split(wanted), split(foreign)) == [(wanted, foreign)]


@pytest.mark.parametrize(("foreign", "wanted"), NO_CONTRADICTIONS)
def test_what_adds_up_or_is_the_same_does_not(foreign: str, wanted: str) -> None:
    assert conflicts(split(foreign), split(wanted)) == []


def test_every_pair_is_named_once_for_each_side() -> None:
    assert conflicts(["ro", "iommu=nopt", "isolcpus=1"], ["isolcpus=2", "iommu=pt"]) == [
        ("isolcpus=1", "isolcpus=2"),
        ("iommu=nopt", "iommu=pt"),
    ]

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.kernel_modules import (
    NeededModules,
    needed_modules,
)

BEFORE_6_2 = """\
kernel/drivers/vfio/vfio_virqfd.ko:
kernel/drivers/vfio/vfio.ko:
kernel/drivers/vfio/vfio_iommu_type1.ko: kernel/drivers/vfio/vfio.ko
kernel/drivers/vfio/pci/vfio-pci.ko: kernel/drivers/vfio/pci/vfio-pci-core.ko kernel/drivers/vfio/vfio_virqfd.ko
kernel/drivers/vfio/pci/vfio-pci-core.ko: kernel/drivers/vfio/vfio_virqfd.ko
"""
SINCE_6_2 = """\
kernel/drivers/vfio/vfio.ko.zst:
kernel/drivers/vfio/vfio_iommu_type1.ko.zst: kernel/drivers/vfio/vfio.ko.zst
kernel/drivers/vfio/pci/vfio-pci.ko.zst: kernel/drivers/vfio/pci/vfio-pci-core.ko.zst
"""
WANTED = ("vfio-pci", "vfio_iommu_type1")


def needed(tmp_path: Path, dep: str, builtin: str = "") -> NeededModules:
    directory = tmp_path / "lib/modules/k"
    directory.mkdir(parents=True)
    (directory / "modules.dep").write_text(dep)
    (directory / "modules.builtin").write_text(builtin)
    return needed_modules(Root(str(tmp_path)), "k", WANTED)


@pytest.mark.parametrize(
    ("dep", "builtin", "loadable", "missing"),
    [
        (BEFORE_6_2, "", ("vfio", "vfio_iommu_type1", "vfio_pci", "vfio_pci_core", "vfio_virqfd"), ()),
        (SINCE_6_2, "", ("vfio", "vfio_iommu_type1", "vfio_pci", "vfio_pci_core"), ()),
        # Ubuntu builds it in.
        (SINCE_6_2, "kernel/drivers/vfio/pci/vfio-pci.ko\n", ("vfio", "vfio_iommu_type1"), ()),
        ("", "kernel/drivers/vfio/pci/vfio-pci.ko\nkernel/drivers/vfio/vfio_iommu_type1.ko\n", (), ()),
        ("kernel/a-vfio-pci.ko:\n", "", (), ("vfio_iommu_type1", "vfio_pci")),
    ],
)
def test_what_an_image_must_hold(
    tmp_path: Path, dep: str, builtin: str, loadable: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    assert needed(tmp_path, dep, builtin) == NeededModules(loadable, missing)


def test_a_kernel_without_any_modules(tmp_path: Path) -> None:
    assert needed_modules(Root(str(tmp_path)), "k", WANTED).missing == ("vfio_iommu_type1", "vfio_pci")

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.kernel_config import read_kernel_config
from tests.unit.plugins.host_tree import HostTree

RELEASE = "6.12.48-amd64"
ON = "CONFIG_INTEL_IOMMU=y\nCONFIG_INTEL_IOMMU_DEFAULT_ON=y\nCONFIG_AMD_IOMMU=y\nCONFIG_VFIO_PCI=m\n"
OFF = "CONFIG_INTEL_IOMMU=y\n# CONFIG_INTEL_IOMMU_DEFAULT_ON is not set\n"


@pytest.mark.parametrize(
    ("text", "hardware", "default_on"),
    [(ON, "dmar", True), (OFF, "dmar", False), (ON, "ivrs", True), (OFF, "ivrs", False), (ON, None, None)],
)
def test_whether_the_iommu_is_on_without_a_parameter(
    tmp_path: Path, text: str, hardware: str | None, default_on: bool | None
) -> None:
    tree = HostTree(tmp_path)
    tree.write(f"/boot/config-{RELEASE}", text)
    assert read_kernel_config(tree.root, RELEASE).to_json(hardware)["default_on"] is default_on


def test_without_a_file_everything_is_unknown(tmp_path: Path) -> None:
    found = read_kernel_config(HostTree(tmp_path).root, RELEASE).to_json("dmar")
    assert set(found.values()) == {None}


def test_the_kernels_own_packed_copy(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.write("/proc/config.gz", "").write_bytes(gzip.compress(ON.encode()))
    found = read_kernel_config(tree.root, RELEASE).to_json("dmar")
    assert (found["source"], found["vfio_pci"]) == ("/proc/config.gz", "m")


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(ON.encode())[:30]])
def test_a_broken_copy_is_no_copy(tmp_path: Path, content: bytes) -> None:
    tree = HostTree(tmp_path)
    tree.write("/proc/config.gz", "").write_bytes(content)
    assert read_kernel_config(tree.root, RELEASE).source is None

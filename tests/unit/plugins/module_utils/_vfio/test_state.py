# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.driver import builtin_drivers, vfio_pci_kind
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import SCRIPT_PATH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.state import foreign_ids, read_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import TABLE_PATH
from tests.unit.plugins.fake_kernel import FakeKernel


@pytest.mark.parametrize("kind", ["module", "builtin", "missing"])
def test_how_the_kernel_has_vfio_pci(tmp_path: Path, kind: str) -> None:
    assert vfio_pci_kind(FakeKernel(tmp_path, vfio=kind).root) == kind


def test_a_loaded_module_is_no_built_in_driver(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path)
    kernel.load("vfio-pci")
    kernel.load("nvme", builtin=True)
    # A built-in module with parameters has its directory in /sys/module all the same.
    kernel.write("/sys/module/ahci/parameters/x", "")
    kernel.load("ahci", builtin=True)
    kernel.link("/sys/bus/pci/drivers/ahci/module", kernel.base / "sys/module/ahci")
    assert vfio_pci_kind(kernel.root) == "module"
    assert builtin_drivers(kernel.root, ["vfio-pci", "nvme", "ahci", "absent"]) == ["ahci", "nvme"]


def test_one_read_without_any_program(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path)
    kernel.write("/usr/sbin/mkinitramfs", "")
    kernel.write(SCRIPT_PATH, "somebody's\n")
    kernel.write(TABLE_PATH, "not ours\n")
    facts = read_state(kernel.root, kernel.run, Ledger(), {"devices": []})
    assert facts["managed"]
    # A table that we did not write is a file in the way, not a table.
    assert facts["table"] is None
    assert facts["files"][SCRIPT_PATH] is not None
    assert facts["generators"] == ["initramfs-tools"]
    assert kernel.commands == []
    assert not read_state(kernel.root, kernel.run, Ledger(), {})["managed"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("options vfio-pci ids=10de:13c2,10de:0fbb\n", ["10de:13c2,10de:0fbb"]),
        ("# options vfio-pci ids=10de:13c2\n", None),
        ("  options vfio_pci disable_vga=1 ids=10de:13c2 disable_idle_d3=1\n", ["10de:13c2"]),
        ("options vfio-pci \\\n  ids=10de:13c2\n", ["10de:13c2"]),
        ("options vfio-pci ids=10de:1\noptions vfio_pci ids=10de:2\n", ["10de:1", "10de:2"]),
        ("options vfio-pci disable_vga=1\n", None),
        ("options vfio-pci-core ids=1\noptions igb ids=2\n", None),
        ("options vfio-pci other_ids=1\n", None),
    ],
)
def test_ids_of_somebody_else(tmp_path: Path, text: str, found: list[str] | None) -> None:
    directory = tmp_path / "etc/modprobe.d"
    directory.mkdir(parents=True)
    (directory / "vfio.conf").write_text(text)
    (directory / "virtfleet-vfio.conf").write_text("options vfio-pci ids=8086:10d3\n")
    assert foreign_ids(Root(str(tmp_path))) == ({} if found is None else {"/etc/modprobe.d/vfio.conf": found})

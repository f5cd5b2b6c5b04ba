# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.options import MODPROBE_PATH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.options_state import read_state
from tests.unit.plugins.fake_kernel import FakeKernel

GPU = "0000:0b:00.0"


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    fake = FakeKernel(tmp_path)
    fake.write("/sys/module/vfio_pci/parameters/disable_vga", "N\n")
    fake.write("/etc/modprobe.d/site.conf", "options vfio-pci disable_vga=0\noptions snd x=1\n")
    device = fake.device(GPU, None, class_code="030000")
    (device / "resource").write_text("0x0 0x0 0x0\n")
    (device / "resource0_resize").write_text("1c0\n")
    fake.device("0000:0c:00.0", None)
    fake.write(
        "/var/log/dmesg",
        f"Linux version 6.12\n[ 9.1] virtfleet-passthrough: {GPU} BAR 0: not resized: a guest has the device open\n",
    )
    return fake


def test_what_is_not_managed_costs_nothing(kernel: FakeKernel) -> None:
    facts = read_state(kernel.root, kernel.run, Ledger(), {})
    assert not facts["managed"]
    assert facts["modules"] == {}
    assert facts["directives"] == []
    assert facts["bars"] == {}
    assert kernel.commands == []


def test_lines_of_others_about_our_modules(kernel: FakeKernel) -> None:
    kernel.write(MODPROBE_PATH, "options vfio_pci disable_vga=1\n")
    facts = read_state(kernel.root, kernel.run, Ledger(), {"disable_vga": True, "ignore_msrs": "false"})
    assert [(line["path"], line["rest"]) for line in facts["directives"]] == [
        ("/etc/modprobe.d/site.conf", "disable_vga=0")
    ]
    assert facts["running"] == {"vfio_pci.disable_vga": "N"}
    assert facts["modules"]["6.12.0-test"]["vfio_pci"] == {"kind": "module", "parameters": None}
    assert facts["modules"]["6.12.0-test"]["i2c_nvidia_gpu"]["kind"] == "missing"
    assert "kvm" not in facts["modules"]["6.12.0-test"]


def test_bars_are_read_where_one_is_wanted(kernel: FakeKernel) -> None:
    facts = read_state(kernel.root, kernel.run, Ledger(), {"resizable_bars": [{"device": "gpu"}]})
    assert facts["bars"] == {GPU: {"0": {"size": 0, "allowed": [6, 7, 8]}}}
    assert facts["bar_messages"] == {f"{GPU} 0": "not resized: a guest has the device open"}

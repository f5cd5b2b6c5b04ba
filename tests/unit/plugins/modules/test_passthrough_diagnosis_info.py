# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module from its arguments to its result, on a captured tree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.virtfleet.passthrough.plugins.modules import passthrough_diagnosis_info
from tests.unit.plugins.host_tree import HostTree
from tests.unit.plugins.libvirt_host import FIXTURES

PORT, HUB = "0000:00:01.1", "0000:02:00.0"


def diagnosis(tree: HostTree, capsys: pytest.CaptureFixture[str]) -> Any:
    with patch_module_args({"root": str(tree.base)}), pytest.raises(SystemExit):
        passthrough_diagnosis_info.main()
    return json.loads(capsys.readouterr().out)


def test_findings_of_every_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = HostTree(tmp_path)
    tree.write("/proc/sys/kernel/osrelease", "6.12.0\n")
    tree.function(PORT, bridge=True, class_code="060400")
    tree.function(HUB, under=PORT, driver="vfio-pci", class_code="0c0330")
    aer = f"pcieport {PORT}: AER: Uncorrected (Non-Fatal) error received: {PORT}"
    tree.write("/var/log/dmesg", f"Linux version 6.12\n{aer}\n")
    tree.write("/var/log/libvirt/qemu/win.log", "old\n" * 30000 + "vfio: Unable to power on device, stuck in D3\n")
    tree.write("/var/log/libvirt/qemu/readme", "group 1 is not viable\n")
    tree.write("/var/log/Xorg.0.log", "[    21.1] (EE) no screens found(EE)\n")
    tree.write("/sys/class/dmi/id/bios_version", "5007\n")
    tree.write("/sys/class/dmi/id/bios_date", "06/17/2019\n")
    result = diagnosis(tree, capsys)
    assert [(found["name"], found["source"], found["device"], found["behind"]) for found in result["findings"]] == [
        ("uncorrected_aer", "kernel", PORT, [HUB]),
        ("stuck_in_d3", "qemu", None, []),
        ("xorg_wrong_gpu", "xorg", None, []),
    ]
    assert result["findings"][0]["message"] == aer
    assert result["findings"][0]["remedies"] == []
    assert result["firmware"] == {"vendor": None, "version": "5007", "date": "06/17/2019", "board": None}


def test_a_healthy_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = HostTree(tmp_path)
    tree.write("/proc/sys/kernel/osrelease", "6.12.0\n")
    tree.write("/var/log/dmesg", "Linux version 6.12\n")
    result = diagnosis(tree, capsys)
    assert result["findings"] == []
    assert {found["domain"] for found in result["checks"]} == {None}
    assert not [found for found in result["checks"] if found["state"] == "applies"]


def test_a_display_whose_memory_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpu, port = "0000:01:00.0", "0000:00:01.0"
    tree = HostTree(tmp_path)
    tree.write("/proc/sys/kernel/osrelease", "6.12.0\n")
    tree.function(port, bridge=True, class_code="060400", driver="pcieport")
    tree.function(gpu, under=port, driver="vfio-pci", class_code="030000")
    tree.write(
        "/var/log/dmesg", f"Linux version 6.12\nvfio-pci {gpu}: BAR 3: can't reserve [mem 0xf0000000-0xf1ffffff]\n"
    )
    xml = (FIXTURES / "hostdevs-inactive.xml").read_text(encoding="utf-8")
    tree.write("/etc/libvirt/qemu/gpu.xml", xml)
    result = diagnosis(tree, capsys)
    (finding,) = result["findings"]
    assert f"/sys/bus/pci/devices/{port}/remove" in finding["remedies"][-1]
    applying = [found for found in result["checks"] if found["state"] == "applies" and found["domain"] == "gpu"]
    assert [(found["symptom"], found["name"], found["devices"]) for found in applying] == [
        ("code_43", "bar_not_reserved", [gpu])
    ]


def test_without_a_kernel_log_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = HostTree(tmp_path)
    tree.write("/proc/sys/kernel/osrelease", "6.12.0\n")
    assert "could not be read" in str(diagnosis(tree, capsys)["warnings"])

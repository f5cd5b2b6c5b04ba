# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.virtfleet.passthrough.plugins.modules import kernel_cmdline, kernel_cmdline_info
from tests.unit.plugins.module_utils._cmdline.grub_host import GrubHost

LOG = 'Linux version 6.12\nUnknown kernel command line parameters "{}", will be passed to user space.\n'


def inform(capsys: pytest.CaptureFixture[str], root: Path) -> Any:
    with patch_module_args({"root": str(root)}), pytest.raises(SystemExit):
        kernel_cmdline_info.main()
    return json.loads(capsys.readouterr().out)


def test_what_both_return_is_what_they_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    GrubHost(tmp_path).set("iommu", "intel_iommu=on")
    result = inform(capsys, tmp_path)
    # Ansible brings it to the controller; a managed host may be without.
    yaml = pytest.importorskip("yaml")
    documented = yaml.safe_load(kernel_cmdline_info.RETURN)
    # Ansible keeps warnings for the whole process: those of other tests' modules may be among ours.
    assert (
        set(result) - {"changed", "invocation", "warnings"}
        == set(documented)
        == set(yaml.safe_load(kernel_cmdline.RETURN))
    )
    for name in ("entries", "differs"):
        assert set(result[name][0]) == set(documented[name]["contains"])


def test_a_captured_tree_tells_all_three_states_and_what_the_kernel_ignored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = GrubHost(tmp_path)
    host.set("iommu", "intel_iommu=on")
    (tmp_path / "var/log").mkdir(parents=True, exist_ok=True)
    (tmp_path / "var/log/dmesg").write_text(LOG.format("quiet BOOT_IMAGE=/boot/vmlinuz-6.12"))
    result = inform(capsys, tmp_path)
    assert [entry["args"][-1] for entry in result["entries"]] == [
        "intel_iommu=on",
        "intel_iommu=on",
        "console=ttyS0,115200n8",
    ]
    assert result["next_boot"][-1] == "intel_iommu=on"
    assert result["running"][-1] == "mitigations=off"
    assert result["differs"] == [{"parameter": "intel_iommu", "running": [], "next_boot": ["intel_iommu=on"]}]
    assert result["unknown"] == ["quiet"]
    assert result["reboot_required"]


def test_no_loader_is_a_failure_that_says_what_was_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Looked for GRUB" in inform(capsys, tmp_path)["msg"]

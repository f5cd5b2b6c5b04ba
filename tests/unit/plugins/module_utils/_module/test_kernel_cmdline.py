# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module import kernel_cmdline
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from tests.unit.plugins.module_utils._cmdline.grub_host import NORMAL, GrubHost

DEFAULTS: dict[str, Any] = {
    "args": [],
    "owner": "user",
    "owners": None,
    "state": "present",
    "bootloader": "auto",
    "kernels": "all",
}


class Machine:
    """The module's body on a tree that stands for the machine it runs on."""

    def __init__(self, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host = GrubHost(tree)
        monkeypatch.setattr(kernel_cmdline, "Root", lambda: Root(str(tree)))

    def change(self, **params: Any) -> Result:
        module: Any = SimpleNamespace(params={**DEFAULTS, **params}, check_mode=False)
        return kernel_cmdline.change(module, self.host.run)

    def log(self, unknown: str) -> None:
        path = self.host.base / "var/log/dmesg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'Unknown kernel command line parameters "{unknown}", will be passed to user space.\n')


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_some_of_an_owners_arguments_are_taken_away_however_they_are_quoted(machine: Machine) -> None:
    machine.change(args=['dyndbg="module a +p"', "vfio-pci.x=1", "debug"])
    assert machine.change(args=['"dyndbg=module a +p"', "vfio_pci.x=1"], state="absent").changed
    assert machine.host.lines()[0] == f"{NORMAL} debug"


def test_taking_away_what_is_not_there_or_another_owners_is_no_change(machine: Machine) -> None:
    machine.change(owner="iommu", args=["intel_iommu=on"])
    for args in ([], ["intel_iommu=on"], ["quiet"]):
        assert not machine.change(state="absent", args=args).changed
    assert machine.host.lines()[0] == f"{NORMAL} intel_iommu=on"


def test_an_argument_of_ours_that_the_running_kernel_does_not_know_is_said(machine: Machine) -> None:
    machine.change(owner="mine", args=["no_such_thing=1"])
    (machine.host.base / "proc/cmdline").write_text(f"{NORMAL} no_such_thing=1")
    machine.log("quiet no_such_thing=1")
    result = machine.change(owner="mine", args=["no_such_thing=1"])
    assert result.data["unknown"] == ["quiet", "no_such_thing=1"]
    assert result.warnings == (
        "'no_such_thing=1' (set by mine): the running kernel reported that it does not know this parameter",
    )

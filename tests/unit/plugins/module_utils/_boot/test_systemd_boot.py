# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A trial with systemd-boot, on recorded trees of several distributions; ``bootctl`` sets the real one's variable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.arm import Armed, Request, arm
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.end import commit, roll_back
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.status import read_status
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import find_loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import PassthroughError, ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from tests.unit.plugins.boot_trees import RECORDED, BootTree
from tests.unit.plugins.efi_variables import set_loader_variable

# What kernelstub keeps takes no arguments of ours, and so nothing can be committed there.
TREES = sorted(
    f"systemd-boot/{path.name}" for path in (RECORDED / "systemd-boot").iterdir() if "pop-os" not in path.name
)
NEW = "var/tmp/new.img"
ENTRY = "a-virtfleet-passthrough-trial.conf"
VARIABLE = "sys/firmware/efi/efivars/LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"


class Machine(BootTree):
    """What its entries load is put there; ``deaf`` is a firmware that forgets what it is told."""

    def __init__(self, base: Path, name: str) -> None:
        super().__init__(base, name, self._tool)
        self.deaf = False
        set_loader_variable(base, "LoaderInfo", "systemd-boot 257.8")
        for path in ("usr/bin/bootctl", "proc/sys/kernel/random/boot_id"):
            (base / path).parent.mkdir(parents=True, exist_ok=True)
            (base / path).write_text("boot-1\n")
        (base / "var/tmp").mkdir(parents=True)
        for entry in base.rglob("loader/entries/*.conf"):
            point = entry.parents[2]
            for line in entry.read_text().splitlines():
                key, _blank, path = line.strip().partition(" ")
                if key in ("linux", "initrd"):
                    file = point / path.strip().lstrip("/")
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(b"old")

    def _tool(self, words: Sequence[str], cwd: str | None) -> tuple[int, str]:
        words = list(words)
        assert words[:2] == ["bootctl", "set-oneshot"]
        if not words[2]:
            (self.base / VARIABLE).unlink()
        elif not self.deaf:
            set_loader_variable(self.base, "LoaderEntryOneShot", words[2])
        return 0, ""

    def arm(self, images: dict[str, str] | None = None, argument: str = "intel_iommu=on", panic: int = 15) -> Armed:
        with locked(self.root) as ledger:
            request = Request({"iommu": [argument]}, images or {}, panic=panic, watchdog="off")
            return arm(self.root, self.run, ledger, request, False)

    def start_trial(self, armed: Armed) -> None:
        (self.base / VARIABLE).unlink()
        (self.base / "proc/cmdline").write_text(f"initrd=\\x.img {' '.join(armed.record.line)}\n")
        (self.base / "proc/sys/kernel/random/boot_id").write_text("boot-2\n")

    @property
    def trial_state(self) -> str:
        return read_status(self.root, Ledger.read(self.root)).state


@pytest.fixture(params=TREES)
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    return Machine(tmp_path, request.param)


def _entry(machine: Machine) -> Path:
    (found,) = machine.base.rglob(ENTRY)
    return found


def test_armed_tried_and_committed(machine: Machine) -> None:
    chosen = next(entry for entry in find_loader(machine.root).entries() if entry.default)
    new = machine.base / NEW
    new.write_bytes(b"new")
    armed = machine.arm({chosen.kernel: f"/{NEW}"})
    text = _entry(machine).read_text()
    assert f"options {' '.join(armed.record.line)}\n" in text
    assert "virtfleet-passthrough-trial.img\n" in text
    assert "sort-key" not in text
    assert machine.trial_state == "armed"
    assert not machine.arm({chosen.kernel: f"/{NEW}"}).changed
    machine.start_trial(armed)
    assert machine.trial_state == "trying"
    with locked(machine.root) as ledger:
        commit(machine.root, machine.run, ledger, False)
    assert machine.trial_state == "committed"
    assert not list(machine.base.rglob("*virtfleet-passthrough-trial*"))
    after = next(entry for entry in find_loader(machine.root).entries() if entry.default)
    assert (after.kernel, after.args[-2:]) == (chosen.kernel, ("panic=15", "intel_iommu=on"))


def test_it_goes_without_a_trace(machine: Machine) -> None:
    before = machine.snapshot()
    machine.arm()
    with locked(machine.root) as ledger:
        roll_back(machine.root, machine.run, ledger, False)
    assert machine.snapshot() == before


def test_another_trial_does_not_run_into_the_armed_one(machine: Machine) -> None:
    machine.arm()
    armed = machine.arm(argument="intel_iommu=off", panic=20)
    assert {"intel_iommu=off", "panic=20"} <= set(armed.record.line)
    assert not {"intel_iommu=on", "panic=15"} & set(armed.record.line)


def test_a_firmware_that_forgets_the_choice_is_noticed_and_everything_taken_back(machine: Machine) -> None:
    before = machine.snapshot()
    machine.deaf = True
    with pytest.raises(ToolError, match="LoaderEntryOneShot"):
        machine.arm()
    assert machine.snapshot() == before


def test_without_systemd_boot_running_nothing_is_armed(machine: Machine) -> None:
    set_loader_variable(machine.base, "LoaderInfo", "")
    before = machine.snapshot()
    with pytest.raises(PassthroughError):
        machine.arm()
    assert machine.snapshot() == before

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import LEDGER_PATH, Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.sriov import change
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.boot_files import (
    RULE_PATH,
    SCRIPT_PATH,
    VFS_PATH,
)
from tests.unit.plugins.fake_sriov import PF, PORT, FakeSriov

DEFAULT_ROUTE = f"{PORT}\t00000000\t0102000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
OURS = (RULE_PATH, SCRIPT_PATH, VFS_PATH)
MACS = ("52:54:00:aa:00:10", "52:54:00:aa:00:11")
VFS = [{"index": 0, "mac": MACS[0], "vlan": 100}, {"index": 1, "mac": MACS[1], "trust": True}]


class Module:
    """What the body uses of AnsibleModule."""

    def __init__(self, params: dict[str, Any], check_mode: bool) -> None:
        self.params = params
        self.check_mode = check_mode


@pytest.fixture
def kernel(tmp_path: Path) -> FakeSriov:
    return FakeSriov(tmp_path)


def ask(kernel: FakeSriov, numvfs: int = 2, check_mode: bool = False, **options: Any) -> Result:
    params = {
        "device": PF,
        "vendor_device": None,
        "numvfs": numvfs,
        "autoprobe": False,
        "switchdev": None,
        "vfs": [],
        "state": "present",
        **options,
    }
    module: Any = Module(params, check_mode)
    return change(module, kernel.run, kernel.root, kernel.attribute)


def snapshot(kernel: FakeSriov) -> dict[str, bytes]:
    return {
        str(path.relative_to(kernel.base)): path.read_bytes()
        for path in kernel.base.rglob("*")
        if path.is_file() and not path.is_symlink() and path.suffix != ".lock"
    }


def test_vfs_with_their_settings(kernel: FakeSriov) -> None:
    result = ask(kernel, vfs=VFS)
    assert result.changed
    assert (kernel.numvfs, kernel.autoprobe) == (2, False)
    assert (kernel.vf(0)["address"], kernel.vf(0)["vlan_list"]) == (MACS[0], [{"vlan": 100, "qos": 0}])
    assert (kernel.vf(1)["address"], kernel.vf(1)["trust"]) == (MACS[1], True)
    # No driver of the host has seen them.
    assert [vf["driver"] for vf in result.data["vfs"]] == [None, None]
    assert [vf["address"] for vf in result.data["vfs"]] == ["0000:01:10.0", "0000:01:10.2"]
    assert all((kernel.base / path.lstrip("/")).exists() for path in OURS)


def test_a_second_run_changes_nothing(kernel: FakeSriov) -> None:
    ask(kernel, vfs=VFS)
    before = snapshot(kernel)
    writes = len(kernel.writes)
    again = ask(kernel, vfs=VFS)
    assert (again.changed, again.diff, len(kernel.writes)) == (False, (), writes)
    assert snapshot(kernel) == before


def test_check_mode_foretells_and_writes_nothing(kernel: FakeSriov) -> None:
    before = snapshot(kernel)
    foretold = ask(kernel, vfs=VFS, check_mode=True)
    assert snapshot(kernel) == before
    assert kernel.writes == []
    done = ask(kernel, vfs=VFS)
    assert (foretold.changed, foretold.diff, foretold.data) == (done.changed, done.diff, done.data)


def test_the_number_changes_through_none(kernel: FakeSriov) -> None:
    ask(kernel, vfs=VFS)
    kernel.writes.clear()
    ask(kernel, numvfs=4, vfs=VFS)
    assert [value for path, value in kernel.writes if path.endswith("sriov_numvfs")] == ["0", "4"]
    assert kernel.vf(1)["address"] == MACS[1]


def test_only_the_setting_that_differs_is_made(kernel: FakeSriov) -> None:
    ask(kernel, vfs=VFS)
    kernel.writes.clear()
    kernel.commands.clear()
    kernel.vf(0)["vlan_list"] = [{}]
    assert ask(kernel, vfs=VFS).changed
    assert [command[6:] for command in kernel.commands if "set" in command] == [("0", "vlan", "100", "qos", "0")]
    assert kernel.writes == []


def test_drivers_of_the_host_come_after_the_settings(kernel: FakeSriov) -> None:
    seen: list[str | None] = []
    run = kernel.run

    def watching(argv: Any, cwd: str | None = None) -> Any:
        if "set" in argv:
            seen.append(kernel.driver("0000:01:10.0"))
        return run(argv, cwd)

    kernel.run = watching  # type: ignore[method-assign]  # the same programs, watched
    result = ask(kernel, vfs=VFS, autoprobe=True)
    assert set(seen) == {None}
    assert [vf["driver"] for vf in result.data["vfs"]] == ["igbvf", "igbvf"]
    assert kernel.autoprobe


@pytest.mark.parametrize(
    ("fail", "words"),
    [
        ({"sriov_numvfs=4": errno.ENOMEM}, "refused 4 as its sriov_numvfs: Cannot allocate memory"),
        ({"sriov_numvfs=0": errno.EBUSY}, "refused 0"),
    ],
)
def test_a_refused_number_leaves_what_was(kernel: FakeSriov, fail: dict[str, int], words: str) -> None:
    ask(kernel, vfs=VFS)
    before = snapshot(kernel)
    kernel.fail = fail
    with pytest.raises(HostStateError, match=words) as caught:
        ask(kernel, numvfs=4, vfs=VFS)
    assert f"{PF} has 2 VFs again, as before" in str(caught.value)
    assert snapshot(kernel) == before
    assert [kernel.vf(index)["address"] for index in range(2)] == list(MACS)
    assert kernel.vf(1)["trust"]


def test_fewer_than_asked_for_is_a_failure(kernel: FakeSriov) -> None:
    kernel.granted = 3
    before = snapshot(kernel)
    with pytest.raises(HostStateError, match="got 3 VFs instead of 4"):
        ask(kernel, numvfs=4)
    assert snapshot(kernel) == before


def test_a_setting_that_the_driver_refuses_takes_all_back(kernel: FakeSriov) -> None:
    kernel.unsupported = {"trust"}
    before = snapshot(kernel)
    with pytest.raises(HostStateError, match=r"Setting trust of VF 1 of ens1f0 failed.*not supported"):
        ask(kernel, vfs=VFS)
    assert (kernel.numvfs, kernel.autoprobe) == (0, True)
    assert snapshot(kernel) == before


def test_a_setting_that_the_driver_ignores_is_said(kernel: FakeSriov) -> None:
    kernel.ignored = {"trust"}
    with pytest.raises(HostStateError, match=r"took trust of VF 1 .* without an error, and it is not set"):
        ask(kernel, vfs=VFS)
    assert kernel.numvfs == 0


@pytest.mark.parametrize(
    ("numvfs", "options", "words"),
    [
        (8, {}, "can have 7 VFs at most, wanted are 8"),
        (2, {"device": "0000:09:00.0"}, "there is no device at 0000:09:00.0"),
        (2, {"vendor_device": "8086:1572"}, "is 8086:10c9 .* now, expected 8086:1572"),
        (2, {"switchdev": True}, "no switch that devlink knows"),
    ],
)
def test_refused_before_the_first_write(kernel: FakeSriov, numvfs: int, options: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        ask(kernel, numvfs=numvfs, **options)
    assert kernel.writes == []
    assert not (kernel.base / LEDGER_PATH.lstrip("/")).exists()


def test_a_pf_on_vfio_pci_is_refused(kernel: FakeSriov) -> None:
    kernel.load("vfio-pci")
    kernel.attribute(f"/sys/bus/pci/devices/{PF}/driver_override", "vfio-pci")
    kernel.attribute("/sys/bus/pci/drivers/igb/unbind", PF)
    kernel.attribute("/sys/bus/pci/drivers_probe", PF)
    with pytest.raises(RefusedError, match="is on vfio-pci: a PF stays with the host"):
        ask(kernel)


def test_a_vf_that_a_guest_has_keeps_the_number(kernel: FakeSriov) -> None:
    ask(kernel)
    address = kernel.vf_address(1)
    kernel.load("vfio-pci")
    kernel.attribute(f"/sys/bus/pci/devices/{address}/driver_override", "vfio-pci")
    kernel.attribute("/sys/bus/pci/drivers_probe", address)
    assert kernel.driver(address) == "vfio-pci"
    kernel.write("/dev/vfio/101", "")
    kernel.process(4711, "qemu-system-x86", files=["/dev/vfio/101"])
    kernel.writes.clear()
    with pytest.raises(RefusedError, match=f"cannot change while one is in use.*{address}.*qemu"):
        ask(kernel, numvfs=4)
    with pytest.raises(RefusedError, match="cannot change while one is in use"):
        ask(kernel, state="absent")
    assert kernel.writes == []
    # Settings do not take it away.
    assert ask(kernel, vfs=VFS).changed


def test_switchdev_once_the_vfs_are_there(kernel: FakeSriov) -> None:
    kernel.eswitch = "legacy"
    assert ask(kernel, switchdev=True).changed
    assert kernel.eswitch == "switchdev"
    assert not ask(kernel, switchdev=True).changed
    ask(kernel, state="absent")
    assert kernel.eswitch == "legacy"


def test_the_switch_of_the_card_that_the_controller_comes_through_stays(kernel: FakeSriov) -> None:
    kernel.eswitch = "legacy"
    kernel.write("/proc/net/route", "Iface\tDestination\tGateway\n" + DEFAULT_ROUTE)
    with pytest.raises(RefusedError, match=rf"{PF} is {PORT}: the way to the controller.* from a console"):
        ask(kernel, switchdev=True)
    assert (kernel.writes, kernel.eswitch) == ([], "legacy")
    # Set by hand it is kept, and brought about by every boot before there is a network.
    kernel.eswitch = "switchdev"
    assert ask(kernel, switchdev=True).changed
    assert "pf 0000:01:00.0 2 0 switchdev" in (kernel.base / VFS_PATH.lstrip("/")).read_text()


@pytest.mark.parametrize("found", [0, 3])
def test_absent_brings_back_what_was_found(kernel: FakeSriov, found: int) -> None:
    if found:
        kernel.attribute(f"/sys/bus/pci/devices/{PF}/sriov_numvfs", str(found))
    before = snapshot(kernel)
    ask(kernel, vfs=VFS)
    foretold = ask(kernel, state="absent", check_mode=True)
    done = ask(kernel, state="absent")
    assert (foretold.changed, foretold.diff) == (True, done.diff)
    assert snapshot(kernel) == before
    assert not ask(kernel, state="absent").changed


def test_another_card_at_the_address_is_left_alone(kernel: FakeSriov) -> None:
    ask(kernel)
    uevent = kernel.pf / "uevent"
    uevent.write_text(uevent.read_text().replace("8086:10C9", "8086:1572"))
    kernel.writes.clear()
    result = ask(kernel, state="absent")
    assert "it is left alone" in result.warnings[0]
    assert (kernel.writes, Ledger.read(kernel.root).summary()) == ([], {})

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The script runs for real, in every small shell that is here, against a tree in which its prefix points."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.boot_files import (
    RULE_PATH,
    SCRIPT,
    VFS_PATH,
    boot_files,
    udev_rule,
    vfs_table,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.record import Before, Record
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.request import PfRequest
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import TABLE_PATH
from tests.unit.plugins.fake_sriov import PF, FakeSriov

SHELLS = (["dash"], ["busybox", "sh"], ["bash", "--posix"])
IDENTITY = Identity("8086", "10c9", "8086", "a03c")

# Says what it was told, and in what state the card was then.
PROGRAM = """\
#!/bin/sh
read -r autoprobe <"$TREE/sys/bus/pci/devices/0000:01:00.0/sriov_drivers_autoprobe"
read -r numvfs <"$TREE/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs"
echo "${0##*/} $* [$numvfs VFs, autoprobe $autoprobe]" >>"$TREE/programs.log"
[ ! -e "$TREE/${0##*/}-fails" ]
"""


def record(numvfs: int = 2, network: bool = True, **options: Any) -> Record:
    return Record(IDENTITY, network, PfRequest.parse({"numvfs": numvfs, **options}, "nic"), Before(0, True))


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def shell(request: pytest.FixtureRequest) -> list[str]:
    chosen: list[str] = request.param
    if shutil.which(chosen[0]) is None:
        raise AssertionError(f"{chosen[0]} is needed: the script has to run in it")
    return chosen


@pytest.fixture
def kernel(tmp_path: Path) -> FakeSriov:
    kernel = FakeSriov(tmp_path / "tree")
    kernel.write("/dev/kmsg", "")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("ip", "devlink"):
        (tools / name).write_text(PROGRAM)
        (tools / name).chmod(0o755)
    return kernel


def start(kernel: FakeSriov, shell: list[str], wanted: Record, expected: int = 0) -> tuple[list[str], str]:
    """Run the script: what programs were told, and the kernel log."""
    kernel.write(VFS_PATH, vfs_table({Address.parse(PF): wanted}))
    tools = kernel.base.parent / "tools"
    done = subprocess.run(
        [*shell, "-s", PF, str(kernel.base)],
        input=SCRIPT.encode(),
        env={"PATH": f"{tools}:{os.environ['PATH']}", "TREE": str(kernel.base)},
        capture_output=True,
        timeout=10,
        check=False,
    )
    assert (done.returncode, done.stderr) == (expected, b"")
    log = kernel.base / "programs.log"
    return (log.read_text().splitlines() if log.exists() else []), (kernel.base / "dev/kmsg").read_text()


def read(kernel: FakeSriov, name: str) -> str:
    return (kernel.pf / name).read_text().strip()


def test_settings_come_before_any_driver_of_the_host(kernel: FakeSriov, shell: list[str]) -> None:
    vfs = [{"index": 0, "mac": "52:54:00:aa:00:10", "vlan": 100}, {"index": 1, "trust": True}]
    told, log = start(kernel, shell, record(autoprobe=True, vfs=vfs))
    assert told == [
        "ip link set dev ens1f0 vf 0 mac 52:54:00:aa:00:10 [2 VFs, autoprobe 0]",
        "ip link set dev ens1f0 vf 0 vlan 100 qos 0 [2 VFs, autoprobe 0]",
        "ip link set dev ens1f0 vf 1 trust on [2 VFs, autoprobe 0]",
    ]
    assert (read(kernel, "sriov_numvfs"), read(kernel, "sriov_drivers_autoprobe")) == ("2", "1")
    assert f"{PF} has 2 VFs" in log


def test_vfs_for_guests_stay_without_a_driver(kernel: FakeSriov, shell: list[str]) -> None:
    start(kernel, shell, record())
    assert (read(kernel, "sriov_numvfs"), read(kernel, "sriov_drivers_autoprobe")) == ("2", "0")


def test_vfs_that_are_there_are_left_alone(kernel: FakeSriov, shell: list[str]) -> None:
    (kernel.pf / "sriov_numvfs").write_text("5\n")
    _told, log = start(kernel, shell, record())
    assert "has 5 VFs already: left as they are" in log
    assert (read(kernel, "sriov_numvfs"), read(kernel, "sriov_drivers_autoprobe")) == ("5", "1")


@pytest.mark.parametrize(
    ("cmdline", "number"),
    [
        ("ro", "0"),
        ("ro virtfleet_passthrough.generation=3", "2"),
        # What boot entries carried before the last change, which a host falls back to.
        ("ro virtfleet_passthrough.generation=2", "2"),
        ("ro virtfleet_passthrough.generation=1", "0"),
    ],
)
def test_a_boot_that_is_not_the_tables_gets_no_vfs(
    kernel: FakeSriov, shell: list[str], cmdline: str, number: str
) -> None:
    kernel.write(TABLE_PATH, "generation 3\ngeneration 2\n")
    kernel.boot(cmdline)
    _told, log = start(kernel, shell, record())
    assert read(kernel, "sriov_numvfs") == number
    assert ("gets no VFs" in log) is (number == "0")


def test_a_setting_that_fails_is_said_and_the_others_are_made(kernel: FakeSriov, shell: list[str]) -> None:
    kernel.write("/ip-fails", "")
    vfs = [{"index": 0, "trust": True}, {"index": 1, "spoof_check": False}]
    told, log = start(kernel, shell, record(vfs=vfs), expected=1)
    assert len(told) == 2
    assert "VF 0 did not take: trust on" in log
    assert "VF 1 did not take: spoofchk off" in log


@pytest.mark.parametrize(("driver", "number"), [("igb", "2"), ("ice", "0")])
def test_the_switch_is_set_when_the_driver_takes_it(
    kernel: FakeSriov, shell: list[str], driver: str, number: str
) -> None:
    (kernel.pf / "driver").unlink()
    (kernel.pf / "driver").symlink_to(f"../../bus/pci/drivers/{driver}")
    told, _log = start(kernel, shell, record(switchdev=True))
    assert told == [f"devlink dev eswitch set pci/{PF} mode switchdev [{number} VFs, autoprobe 0]"]


def test_programs_are_found_without_the_help_of_path(kernel: FakeSriov, shell: list[str], tmp_path: Path) -> None:
    """As a shell of EL 9 that udev has started: its own PATH has neither of the sbin."""
    bare = tmp_path / "bin"
    bare.mkdir()
    (bare / "readlink").symlink_to(shutil.which("readlink") or "")
    (kernel.base.parent / "tools").rename(kernel.write("/usr/.there", "").parent / "sbin")
    kernel.write(VFS_PATH, vfs_table({Address.parse(PF): record(switchdev=True, vfs=[{"index": 0, "trust": True}])}))
    done = subprocess.run(
        [shutil.which(shell[0]) or "", *shell[1:], "-s", PF, str(kernel.base)],
        input=SCRIPT.encode(),
        env={"PATH": str(bare), "TREE": str(kernel.base)},
        timeout=10,
        check=False,
    )
    assert done.returncode == 0, (kernel.base / "dev/kmsg").read_text()
    assert len((kernel.base / "programs.log").read_text().splitlines()) == 2


def test_another_pf_is_not_meant(kernel: FakeSriov, shell: list[str]) -> None:
    kernel.write(VFS_PATH, vfs_table({Address.parse("0000:02:00.0"): record()}))
    subprocess.run([*shell, "-s", PF, str(kernel.base)], input=SCRIPT.encode(), timeout=10, check=True)
    assert read(kernel, "sriov_numvfs") == "0"


def test_the_rule_knows_the_very_card() -> None:
    lines = udev_rule({Address.parse(PF): record(), Address.parse("0000:02:00.0"): record(network=False)}).splitlines()
    network, other = (line for line in lines if line.startswith("ACTION"))
    assert network == (
        'ACTION=="add", SUBSYSTEM=="net", SUBSYSTEMS=="pci", KERNELS=="0000:01:00.0", ATTRS{vendor}=="0x8086", '
        'ATTRS{device}=="0x10c9", ATTRS{subsystem_vendor}=="0x8086", ATTRS{subsystem_device}=="0xa03c", '
        'ATTRS{sriov_numvfs}=="0", RUN+="/bin/sh /etc/virtfleet-passthrough/sriov-boot 0000:01:00.0"'
    )
    assert other.startswith('ACTION=="add|bind", SUBSYSTEM=="pci", KERNEL=="0000:02:00.0", DRIVER=="?*", ATTR{vendor}')
    # Every item is one that udev(7) knows, and every jump has its mark.
    for line in lines:
        if not line.startswith("#"):
            assert all(re.fullmatch(r'[A-Z]+(\{[^}]+\})?(==|!=|\+=|=)"[^"]*"', item) for item in line.split(", "))
    assert lines[-1] == 'LABEL="virtfleet_sriov_end"'


def test_a_card_without_vfs_needs_no_files() -> None:
    assert boot_files({Address.parse(PF): record(0)}) == ()
    assert [file.path for file in boot_files({Address.parse(PF): record()})][-1] == RULE_PATH

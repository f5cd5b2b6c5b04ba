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

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.early_script import EARLY_SCRIPT
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import TABLE_PATH, Table
from tests.unit.plugins.fake_kernel import FakeKernel

FIRST, TWIN = "0000:01:00.0", "0000:02:00.0"
NIC = Identity("8086", "10d3", "8086", "0000")
GENERATION = "virtfleet_passthrough.generation=3"

SHELLS = (["dash"], ["busybox", "sh"], ["bash", "--posix"])

# Binds what waits for vfio-pci, as loading the module does, and says that it was started.
MODPROBE = """\
#!/bin/sh
echo "modprobe $*" >>"$TREE/modprobe.log"
[ ! -e "$TREE/modprobe-fails" ] || exit 1
mkdir -p "$TREE/sys/bus/pci/drivers/vfio-pci"
for device in "$TREE"/sys/bus/pci/devices/*; do
  read -r override <"$device/driver_override"
  if [ "$override" = vfio-pci ] && [ ! -L "$device/driver" ] && [ ! -e "$TREE/probe-fails" ]; then
    ln -s ../../bus/pci/drivers/vfio-pci "$device/driver"
  fi
done
"""


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def shell(request: pytest.FixtureRequest) -> list[str]:
    chosen: list[str] = request.param
    return chosen


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    kernel = FakeKernel(tmp_path / "tree", cmdline=f"quiet {GENERATION} ro")
    kernel.device(FIRST, None, group=1)
    kernel.device(TWIN, None, group=2)
    kernel.write(TABLE_PATH, str(Table(3, {Address.parse(FIRST): NIC})))
    kernel.write("/dev/kmsg", "")
    tools = tmp_path / "tools"
    tools.mkdir()
    modprobe = Path(kernel.write("/sbin/modprobe", MODPROBE))
    modprobe.chmod(0o755)
    for name in ("readlink", "ln", "mkdir", "sh"):
        (tools / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    return kernel


def run(kernel: FakeKernel, shell: list[str]) -> list[str]:
    """Run the script as an initramfs would, with nothing but our tools in the path; its kernel log lines."""
    script = kernel.base.parent / "vfio-early"
    script.write_text(EARLY_SCRIPT)
    program = shutil.which(shell[0])
    assert program is not None
    environment = {"PATH": str(kernel.base.parent / "tools"), "TREE": str(kernel.base)}
    done = subprocess.run(
        [program, *shell[1:], str(script), str(kernel.base)],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
        env=environment,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return (kernel.base / "dev/kmsg").read_text().splitlines()


def modprobes(kernel: FakeKernel) -> list[str]:
    log = kernel.base / "modprobe.log"
    return log.read_text().splitlines() if log.exists() else []


def override(kernel: FakeKernel, address: str) -> str:
    return (kernel.base / f"sys/bus/pci/devices/{address}/driver_override").read_text().strip()


@pytest.mark.parametrize(("generation", "held"), [(3, FIRST), (4, TWIN)])
def test_an_image_with_two_generations_holds_what_its_boot_was_made_for(
    kernel: FakeKernel, shell: list[str], generation: int, held: str
) -> None:
    earlier = Table(3, {Address.parse(FIRST): NIC})
    kernel.write(TABLE_PATH, str(Table(4, {Address.parse(TWIN): NIC}, earlier)))
    kernel.boot(f"quiet virtfleet_passthrough.generation={generation}")
    assert run(kernel, shell) == [f"virtfleet-passthrough: {held} 8086:10d3 held for vfio-pci"]
    assert [address for address in (FIRST, TWIN) if override(kernel, address) == "vfio-pci"] == [held]


def test_one_of_two_identical_cards_is_held(kernel: FakeKernel, shell: list[str]) -> None:
    assert run(kernel, shell) == [f"virtfleet-passthrough: {FIRST} 8086:10d3 held for vfio-pci"]
    assert override(kernel, FIRST) == "vfio-pci"
    assert override(kernel, TWIN) == "(null)"
    assert modprobes(kernel) == ["modprobe -i vfio-pci"]
    assert kernel.driver(FIRST) == "vfio-pci"
    assert kernel.driver(TWIN) is None


@pytest.mark.parametrize(
    ("cmdline", "named"),
    [
        ("quiet ro", "none"),
        ("virtfleet_passthrough.generation=2", "2"),
        ("virtfleet_passthrough.generation=30", "30"),
        ("xvirtfleet_passthrough.generation=3", "none"),
        ("virtfleet_passthrough.generation=3 virtfleet_passthrough.generation=2", "2"),
    ],
)
def test_another_boot_entry_brings_the_old_behaviour_back(
    kernel: FakeKernel, shell: list[str], cmdline: str, named: str
) -> None:
    kernel.boot(cmdline)
    assert run(kernel, shell) == [
        f"virtfleet-passthrough: the devices of generation 3 are left to their own drivers: this boot has {named}"
    ]
    assert override(kernel, FIRST) == "(null)"
    assert modprobes(kernel) == []


@pytest.mark.parametrize(
    ("attribute", "digits", "words"),
    [
        ("device", "0x100e", "is 8086:100e, expected 8086:10d3"),
        ("vendor", "0x10de", "is 10de:10d3, expected 8086:10d3"),
        ("subsystem_vendor", "0x1af4", "is 8086:10d3 with subsystem 1af4:0000, expected subsystem 8086:0000"),
        ("subsystem_device", "0x1100", "is 8086:10d3 with subsystem 8086:1100, expected subsystem 8086:0000"),
    ],
)
def test_another_card_at_the_address_is_left_alone(
    kernel: FakeKernel, shell: list[str], attribute: str, digits: str, words: str
) -> None:
    kernel.write(f"/sys/bus/pci/devices/{FIRST}/{attribute}", digits + "\n")
    assert run(kernel, shell) == [f"virtfleet-passthrough: {FIRST} {words}: left to its own driver"]
    assert override(kernel, FIRST) == "(null)"
    assert modprobes(kernel) == []


def test_a_card_that_is_gone_is_named(kernel: FakeKernel, shell: list[str]) -> None:
    kernel.remove(FIRST)
    assert run(kernel, shell) == [f"virtfleet-passthrough: {FIRST} is not there, expected 8086:10d3: nothing to hold"]


def test_a_card_that_vanishes_meanwhile_does_not_cost_the_other_its_driver(
    kernel: FakeKernel, shell: list[str]
) -> None:
    kernel.write(TABLE_PATH, str(Table(3, {Address.parse(FIRST): NIC, Address.parse(TWIN): NIC})))
    vanishing = MODPROBE.replace("mkdir", f'mv "$TREE/sys/bus/pci/devices/{FIRST}" "$TREE/gone"\nmkdir', 1)
    kernel.write("/sbin/modprobe", vanishing)
    (kernel.base.parent / "tools/mv").symlink_to(shutil.which("mv") or "/bin/mv")
    lost, held = run(kernel, shell)
    assert FIRST in lost
    assert "held" not in lost
    assert held == f"virtfleet-passthrough: {TWIN} 8086:10d3 held for vfio-pci"
    assert kernel.driver(TWIN) == "vfio-pci"
    assert not (kernel.base / f"sys/bus/pci/devices/{FIRST}").exists()


def test_without_an_iommu_the_host_keeps_its_device(kernel: FakeKernel, shell: list[str]) -> None:
    # vfio-pci would refuse to probe it, and the override would keep the native driver away.
    (kernel.base / f"sys/bus/pci/devices/{FIRST}/iommu_group").unlink()
    (line,) = run(kernel, shell)
    assert "in no IOMMU group" in line
    assert override(kernel, FIRST) == "(null)"


def test_a_missing_module_leaves_every_device_to_its_own_driver(kernel: FakeKernel, shell: list[str]) -> None:
    kernel.write("/modprobe-fails", "")
    assert run(kernel, shell) == [
        "virtfleet-passthrough: vfio-pci cannot be loaded: all devices are left to their own drivers"
    ]
    assert override(kernel, FIRST) == ""


def test_a_device_that_vfio_pci_does_not_take_is_given_back(kernel: FakeKernel, shell: list[str]) -> None:
    kernel.write("/probe-fails", "")
    (line,) = run(kernel, shell)
    assert line == f"virtfleet-passthrough: {FIRST} 8086:10d3 was not taken by vfio-pci: left to its own driver"
    assert override(kernel, FIRST) == ""


def test_a_rejected_override_is_reported(kernel: FakeKernel, shell: list[str]) -> None:
    attribute = kernel.base / f"sys/bus/pci/devices/{FIRST}/driver_override"
    attribute.unlink()
    attribute.symlink_to("/dev/full")
    (line,) = run(kernel, shell)
    assert line == (
        f"virtfleet-passthrough: {FIRST} 8086:10d3 refused vfio-pci as its driver_override: left to its own driver"
    )
    assert modprobes(kernel) == []


def test_a_built_in_vfio_pci_is_asked_to_probe(kernel: FakeKernel, shell: list[str]) -> None:
    kernel.load("vfio-pci", builtin=True)
    run(kernel, shell)
    assert modprobes(kernel) == []
    assert (kernel.base / "sys/bus/pci/drivers_probe").read_text().strip() == FIRST


def test_a_built_in_native_driver_is_told_to_let_go(kernel: FakeKernel, shell: list[str]) -> None:
    kernel.load("nvme", builtin=True)
    device = kernel.base / f"sys/bus/pci/devices/{FIRST}"
    (device / "driver").symlink_to(os.path.relpath(kernel.base / "sys/bus/pci/drivers/nvme", device.resolve()))
    run(kernel, shell)
    assert (kernel.base / "sys/bus/pci/drivers/nvme/unbind").read_text().strip() == FIRST


@pytest.mark.parametrize("text", ["", "something else\n"])
def test_a_table_that_is_none_is_passed_over(kernel: FakeKernel, shell: list[str], text: str) -> None:
    kernel.write(TABLE_PATH, text)
    assert run(kernel, shell) == []


def test_no_table_no_word(kernel: FakeKernel, shell: list[str]) -> None:
    (kernel.base / TABLE_PATH.lstrip("/")).unlink()
    assert run(kernel, shell) == []


def test_the_script_starts_no_program_but_the_two_that_an_initramfs_has() -> None:
    code = [line for line in EARLY_SCRIPT.splitlines() if not line.lstrip().startswith("#")]
    words = set(re.findall(r"[a-z]+", " ".join(code)))
    assert not words & {"grep", "sed", "awk", "tr", "cut", "basename", "sleep", "lspci", "mkdir"}
    assert {"readlink", "modprobe"} <= words


def test_a_modprobe_that_knows_no_options_will_do(kernel: FakeKernel, shell: list[str]) -> None:
    plain = MODPROBE.replace("#!/bin/sh\n", '#!/bin/sh\n[ "$1" != -i ] || exit 1\n')
    kernel.write("/sbin/modprobe", plain)
    run(kernel, shell)
    assert modprobes(kernel) == ["modprobe vfio-pci"]
    assert kernel.driver(FIRST) == "vfio-pci"

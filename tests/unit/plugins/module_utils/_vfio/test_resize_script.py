# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The script runs for real, in every small shell that is here, against a tree in which its prefix points."""

from __future__ import annotations

import concurrent.futures
import errno
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.resize_script import SCRIPT
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import TABLE_PATH
from tests.unit.plugins.fake_kernel import FakeKernel

GPU = "0000:0b:00.0"
SMALL = "0x00000008e0000000 0x00000008efffffff 0x000000000014220c\n"
LARGE = "0x0000000800000000 0x0000000bffffffff 0x000000000014220c\n"
SHELLS = (["dash"], ["busybox", "sh"], ["bash", "--posix"])


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def shell(request: pytest.FixtureRequest) -> list[str]:
    chosen: list[str] = request.param
    return chosen


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    fake = FakeKernel(tmp_path)
    device = fake.device(GPU, None, ids="1002:73bf", class_code="030000")
    fake.write("/dev/kmsg", "")
    (device / "resource").write_text(SMALL)
    (device / "resource0_resize").write_text("0000000000007f00\n")
    (device / "enable").write_text("0\n")
    return fake


def hold(kernel: FakeKernel, driver: str) -> None:
    kernel.load(driver)
    kernel.link(f"/sys/bus/pci/devices/{GPU}/driver", kernel.base / f"sys/bus/pci/drivers/{driver}")


def attribute(kernel: FakeKernel, name: str) -> str:
    return (kernel.base / f"sys/bus/pci/devices/{GPU}/{name}").read_text().strip()


def resize(kernel: FakeKernel, shell: list[str]) -> int:
    if shutil.which(shell[0]) is None:
        pytest.fail(f"{shell[0]} is needed for this test")
    script = kernel.write("/resize-bar", SCRIPT)
    command = [*shell, str(script), GPU, "0", "14", str(kernel.base)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert done.stderr == ""
    return done.returncode


def log(kernel: FakeKernel) -> str:
    return (kernel.base / "dev/kmsg").read_text()


def opened(pipe: Path) -> int | None:
    """For writing, without waiting for somebody who reads."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as exc:
        if exc.errno != errno.ENXIO:
            raise
        return None


def answer(pipe: Path, text: str) -> None:
    """Give ``text`` to the next one who reads; a script that never does must fail the test and not hang it."""
    deadline = time.monotonic() + 30
    while (descriptor := opened(pipe)) is None:
        if time.monotonic() > deadline:
            pytest.fail(f"nobody read {pipe}")
        time.sleep(0.01)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def test_a_bar_that_has_its_size_is_left_alone(kernel: FakeKernel, shell: list[str]) -> None:
    hold(kernel, "vfio-pci")
    kernel.write(f"/sys/bus/pci/devices/{GPU}/resource", LARGE)
    assert resize(kernel, shell) == 0
    assert attribute(kernel, "resource0_resize") == "0000000000007f00"
    assert log(kernel) == ""


def test_without_a_driver_the_bit_is_written_and_the_size_looked_at(kernel: FakeKernel, shell: list[str]) -> None:
    # The tree's file does not change its size: the script must not believe that it worked.
    assert resize(kernel, shell) == 1
    assert attribute(kernel, "resource0_resize") == "14"
    assert "BAR 0: not resized: the kernel refused it" in log(kernel)


def test_a_resized_bar(kernel: FakeKernel, shell: list[str]) -> None:
    resource = kernel.base / f"sys/bus/pci/devices/{GPU}/resource"
    resource.unlink()
    os.mkfifo(resource)

    def grow() -> None:
        """The kernel's part: another size once the bit was written."""
        answer(resource, SMALL)
        while attribute(kernel, "resource0_resize") != "14":
            time.sleep(0.01)
        answer(resource, LARGE)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        grown = pool.submit(grow)
        assert resize(kernel, shell) == 0
        grown.result(timeout=30)
    assert "BAR 0: resized to 2^34 bytes" in log(kernel)


def test_a_held_device_goes_off_vfio_pci_and_back(kernel: FakeKernel, shell: list[str]) -> None:
    hold(kernel, "vfio-pci")
    kernel.write(f"/sys/bus/pci/devices/{GPU}/driver_override", "(null)\n")
    resize(kernel, shell)
    vfio = kernel.base / "sys/bus/pci/drivers/vfio-pci"
    assert (vfio / "unbind").read_text().strip() == GPU
    assert (vfio / "bind").read_text().strip() == GPU
    assert attribute(kernel, "resource0_resize") == "14"
    # As it was before: none.
    assert attribute(kernel, "driver_override") == ""


def test_an_override_stays(kernel: FakeKernel, shell: list[str]) -> None:
    hold(kernel, "vfio-pci")
    kernel.write(f"/sys/bus/pci/devices/{GPU}/driver_override", "vfio-pci\n")
    resize(kernel, shell)
    assert attribute(kernel, "driver_override") == "vfio-pci"


@pytest.mark.parametrize(
    ("driver", "enabled", "message"),
    [("vfio-pci", "1", "a guest has the device open"), ("amdgpu", "1", "the driver amdgpu holds the device")],
)
def test_a_device_in_use_is_left_alone(
    kernel: FakeKernel, shell: list[str], driver: str, enabled: str, message: str
) -> None:
    hold(kernel, driver)
    kernel.write(f"/sys/bus/pci/devices/{GPU}/enable", enabled + "\n")
    assert resize(kernel, shell) == 1
    assert f"virtfleet-passthrough: {GPU} BAR 0: not resized: {message}" in log(kernel)
    assert attribute(kernel, "resource0_resize") == "0000000000007f00"
    assert (kernel.base / f"sys/bus/pci/drivers/{driver}/unbind").read_text() == ""


def test_a_kernel_that_offers_nothing(kernel: FakeKernel, shell: list[str]) -> None:
    (kernel.base / f"sys/bus/pci/devices/{GPU}/resource0_resize").unlink()
    assert resize(kernel, shell) == 1
    assert "the kernel offers no sizes" in log(kernel)


@pytest.mark.parametrize(
    ("cmdline", "written"),
    [
        ("ro", "0000000000007f00"),
        ("ro virtfleet_passthrough.generation=2", "0000000000007f00"),
        ("ro virtfleet_passthrough.generation=3", "14"),
    ],
)
def test_a_boot_that_is_not_the_tables_keeps_its_bars(
    kernel: FakeKernel, shell: list[str], cmdline: str, written: str
) -> None:
    hold(kernel, "vfio-pci")
    kernel.write(TABLE_PATH, "generation 3\n")
    kernel.write("/proc/cmdline", cmdline + "\n")
    resize(kernel, shell)
    assert attribute(kernel, "resource0_resize") == written
    # Not what the plan takes for a size that the kernel refused.
    assert ("BAR 0: left as it is: this boot has generation" in log(kernel)) is (written != "14")
    assert ("not resized" in log(kernel)) is (written == "14")

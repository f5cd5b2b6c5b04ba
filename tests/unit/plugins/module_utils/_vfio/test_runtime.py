# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    PassthroughError,
    RefusedError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.runtime import Bus, attribute_writer, holders
from tests.unit.plugins.fake_kernel import FakeKernel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FIRST, SECOND, TWIN = "0000:01:00.0", "0000:01:00.1", "0000:02:00.0"
ADDRESSES = [Address.parse(FIRST), Address.parse(SECOND)]
FAULTS = [
    "0000:01:00.0/driver_override",
    "0000:01:00.1/driver_override",
    "e1000e/unbind",
    "igb/unbind",
    "drivers_probe",
]


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    kernel = FakeKernel(tmp_path)
    kernel.device(FIRST, "e1000e", group=1)
    kernel.device(SECOND, "igb", group=1)
    kernel.device(TWIN, "e1000e", group=2)
    return kernel


def bus(kernel: FakeKernel) -> Bus:
    return Bus(kernel.root, kernel.run, kernel.attribute)


def drivers(kernel: FakeKernel) -> list[str | None]:
    return [kernel.driver(address) for address in (FIRST, SECOND, TWIN)]


def test_all_named_devices_go_and_the_twin_stays(kernel: FakeKernel) -> None:
    bus(kernel).bind(ADDRESSES)
    assert drivers(kernel) == ["vfio-pci", "vfio-pci", "e1000e"]
    assert kernel.commands == [("/sbin/modprobe", "-i", "vfio-pci")]
    # All are detached before the first is probed.
    steps = [path.rpartition("/")[2] for path, _value in kernel.writes]
    assert steps == ["driver_override"] * 2 + ["unbind"] * 2 + ["drivers_probe"] * 2


def test_a_device_that_is_there_already_is_left_as_it_is(kernel: FakeKernel) -> None:
    bus(kernel).bind(ADDRESSES)
    kernel.writes.clear()
    bus(kernel).bind(ADDRESSES)
    assert kernel.writes == []


def test_a_device_without_a_driver_needs_no_unbinding(kernel: FakeKernel) -> None:
    kernel.device("0000:03:00.0", None, group=3)
    bus(kernel).bind([Address.parse("0000:03:00.0")])
    assert kernel.driver("0000:03:00.0") == "vfio-pci"


@pytest.mark.parametrize("fault", FAULTS)
def test_one_failing_step_brings_everything_back(kernel: FakeKernel, fault: str) -> None:
    kernel.fail[fault] = errno.EBUSY
    with pytest.raises(HostStateError, match="All devices are back on the drivers that they had"):
        bus(kernel).bind(ADDRESSES)
    assert drivers(kernel) == ["e1000e", "igb", "e1000e"]
    assert [kernel.override(address) for address in (FIRST, SECOND)] == [None, None]


def test_a_device_that_vfio_pci_refuses_brings_everything_back(kernel: FakeKernel) -> None:
    (kernel.base / f"sys/bus/pci/devices/{SECOND}/iommu_group").unlink()
    with pytest.raises(HostStateError, match=f"left {SECOND} on no driver instead of vfio-pci"):
        bus(kernel).bind(ADDRESSES)
    assert drivers(kernel) == ["e1000e", "igb", "e1000e"]


def test_a_card_that_vanishes_meanwhile_does_not_strand_the_other(kernel: FakeKernel) -> None:
    def vanish(path: str, _value: str) -> None:
        if path.endswith("igb/unbind"):
            kernel.remove(SECOND)

    kernel.before_write = vanish
    with pytest.raises(HostStateError, match=f"{SECOND} has gone"):
        bus(kernel).bind(ADDRESSES)
    assert kernel.driver(FIRST) == "e1000e"


def test_what_cannot_be_brought_back_is_said(kernel: FakeKernel) -> None:
    kernel.fail = {"drivers_probe": errno.EIO, "igb/bind": errno.EIO}
    with pytest.raises(HostStateError, match=f"Not all devices could be brought back: giving {SECOND} back to igb"):
        bus(kernel).bind(ADDRESSES)
    assert kernel.driver(FIRST) == "e1000e"


def test_a_module_that_cannot_be_loaded_stops_before_the_first_write(kernel: FakeKernel) -> None:
    kernel.fail["modprobe"] = errno.ENOENT
    with pytest.raises(PassthroughError, match="Loading the module vfio-pci failed"):
        bus(kernel).bind(ADDRESSES)
    assert kernel.writes == []


def test_release_gives_devices_back(kernel: FakeKernel) -> None:
    bus(kernel).bind(ADDRESSES)
    bus(kernel).release(ADDRESSES)
    assert drivers(kernel) == ["e1000e", "igb", "e1000e"]
    assert [kernel.override(address) for address in (FIRST, SECOND)] == [None, None]


def test_release_loads_a_driver_that_this_boot_never_needed(kernel: FakeKernel) -> None:
    kernel.load("vfio-pci")
    kernel.device("0000:03:00.0", None, group=3)
    bus(kernel).bind([Address.parse("0000:03:00.0")])
    kernel.natives["0000:03:00.0"] = "r8169"
    bus(kernel).release([Address.parse("0000:03:00.0")])
    assert kernel.driver("0000:03:00.0") == "r8169"


def test_a_device_without_any_driver_may_be_released(kernel: FakeKernel) -> None:
    kernel.device("0000:03:00.0", None, group=3)
    bus(kernel).bind([Address.parse("0000:03:00.0")])
    bus(kernel).release([Address.parse("0000:03:00.0")])
    assert kernel.driver("0000:03:00.0") is None


def by_ids(kernel: FakeKernel) -> None:
    """vfio-pci was loaded with the model's id and has both e1000e cards."""
    kernel.ids.add("8086:10d3")
    for address, driver in ((FIRST, "e1000e"), (TWIN, "e1000e")):
        kernel.attribute(f"/sys/bus/pci/drivers/{driver}/unbind", address)
    kernel.load("vfio-pci")
    kernel.writes.clear()


def test_release_gets_past_the_ids_of_vfio_pci(kernel: FakeKernel) -> None:
    by_ids(kernel)
    assert drivers(kernel) == ["vfio-pci", "igb", "vfio-pci"]
    bus(kernel).release(ADDRESSES[:1], {ADDRESSES[0]: "e1000e"})
    assert drivers(kernel) == ["e1000e", "igb", "vfio-pci"]
    assert kernel.override(FIRST) is None


def test_without_a_known_driver_a_device_of_the_ids_stays(kernel: FakeKernel) -> None:
    by_ids(kernel)
    with pytest.raises(HostStateError, match=r"reboot to give it back\. All devices are back"):
        bus(kernel).release(ADDRESSES[:1])
    assert drivers(kernel) == ["vfio-pci", "igb", "vfio-pci"]


@pytest.mark.parametrize("node", ["/dev/vfio/1", "/dev/vfio/devices/vfio0"])
def test_a_running_guest_keeps_its_device(kernel: FakeKernel, node: str) -> None:
    bus(kernel).bind(ADDRESSES)
    kernel.write(f"/sys/bus/pci/devices/{FIRST}/vfio-dev/vfio0/dev", "511:0")
    kernel.hold(4711, "qemu-system-x86", node)
    kernel.writes.clear()
    with pytest.raises(RefusedError, match=r"qemu-system-x86 \(process 4711\)") as caught:
        bus(kernel).release(ADDRESSES)
    assert caught.value.device == FIRST
    assert kernel.writes == []


def test_holders_of_other_devices_do_not_count(kernel: FakeKernel) -> None:
    kernel.hold(4711, "qemu-system-x86", "/dev/vfio/2")
    assert holders(kernel.root, Address.parse(FIRST)) == []
    assert holders(kernel.root, Address.parse(TWIN)) == ["qemu-system-x86 (process 4711)"]


def test_a_failed_release_leaves_all_on_vfio_pci(kernel: FakeKernel) -> None:
    bus(kernel).bind(ADDRESSES)
    kernel.fail["drivers_probe"] = errno.EIO
    with pytest.raises(HostStateError, match="All devices are back"):
        bus(kernel).release(ADDRESSES)
    assert drivers(kernel) == ["vfio-pci", "vfio-pci", "e1000e"]
    assert kernel.override(FIRST) == "vfio-pci"


def test_the_writer_never_creates_an_attribute(kernel: FakeKernel) -> None:
    write = attribute_writer(kernel.root)
    with pytest.raises(FileNotFoundError):
        write("/sys/bus/pci/devices/0000:09:00.0/driver_override", "vfio-pci")
    write(f"/sys/bus/pci/devices/{FIRST}/driver_override", "vfio-pci")
    assert kernel.override(FIRST) == "vfio-pci"


@given(data=st.data())
def test_whatever_fails_and_whenever_no_device_is_left_without_the_driver_it_had(data: st.DataObject) -> None:
    """One write fails, at any moment and with any errno, or a card goes: the others are where they were."""
    with tempfile.TemporaryDirectory() as base:
        kernel = FakeKernel(Path(base))
        natives = data.draw(st.lists(st.sampled_from(["e1000e", "igb", None]), min_size=1, max_size=4), label="drivers")
        addresses = [Address(0, number + 1, 0, 0) for number in range(len(natives))]
        for group, (address, native) in enumerate(zip(addresses, natives)):
            kernel.device(str(address), native, group=group)
        release = data.draw(st.booleans(), label="release")
        if release:
            bus(kernel).bind(addresses)
            kernel.writes.clear()
        act: Callable[[Sequence[Address]], None] = bus(kernel).release if release else bus(kernel).bind
        before = {address: (kernel.driver(str(address)), kernel.override(str(address))) for address in addresses}
        moment = data.draw(st.integers(1, 4 * len(addresses)), label="at write")
        vanishes = data.draw(st.none() | st.sampled_from(addresses), label="vanishes")
        number = data.draw(st.sampled_from([errno.EBUSY, errno.EIO, errno.EINVAL, errno.ENOMEM]), label="errno")

        def fail(_path: str, _value: str) -> None:
            if len(kernel.writes) != moment:
                return
            if vanishes is None:
                raise OSError(number, "injected")
            kernel.remove(str(vanishes))

        kernel.before_write = fail
        try:
            act(addresses)
        except HostStateError:
            for address in addresses:
                if address != vanishes:
                    assert (kernel.driver(str(address)), kernel.override(str(address))) == before[address]

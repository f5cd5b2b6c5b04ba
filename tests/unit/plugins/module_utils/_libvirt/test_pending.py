# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.pending import pending_differences
from tests.unit.plugins.libvirt_host import GPU, fixture


def test_running_domain_has_all_of_its_own_definition() -> None:
    assert pending_differences(fixture("direct-boot-active.xml"), fixture("direct-boot-inactive.xml")) == ()


@pytest.mark.parametrize(
    ("path", "name", "value", "setting"),
    [
        ("memory", "", "262144", "memory"),
        ("cputune/vcpupin[@vcpu='1']", "cpuset", "3", "cputune/vcpupin[1]/@cpuset"),
        ("os/cmdline", "", "quiet", "os/cmdline"),
        ("devices/disk[1]/source", "file", "/other", "devices/disk[vda]/source/@file"),
    ],
)
def test_what_was_defined_meanwhile_waits_for_the_next_start(path: str, name: str, value: str, setting: str) -> None:
    inactive = fixture("direct-boot-inactive.xml")
    element = inactive.find(path)
    assert element is not None
    if name:
        element.set(name, value)
    else:
        element.text = value
    found = pending_differences(fixture("direct-boot-active.xml"), inactive)
    assert [difference.setting for difference in found] == [setting]


def test_device_taken_out_of_the_definition_is_still_in_the_guest() -> None:
    active = fixture("hostdevs-inactive.xml")
    inactive = fixture("hostdevs-inactive.xml")
    devices, hostdev = inactive.find("devices"), inactive.find("devices/hostdev")
    assert devices is not None
    assert hostdev is not None
    devices.remove(hostdev)
    assert [difference.setting for difference in pending_differences(active, inactive)] == [f"devices/hostdev[{GPU}]"]


def test_model_that_stands_for_the_host_is_no_difference() -> None:
    active, inactive = fixture("direct-boot-active.xml"), fixture("direct-boot-inactive.xml")
    for tree, mode in ((active, "custom"), (inactive, "host-model")):
        cpu = tree.find("cpu")
        assert cpu is not None
        cpu.set("mode", mode)
    assert pending_differences(active, inactive) == ()

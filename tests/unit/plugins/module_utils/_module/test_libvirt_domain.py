# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.compare import Difference
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.connection import check_uri
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.manage import Outcome
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.libvirt_domain import (
    request_from,
    result_from,
)

# What the module's argument spec fills in by itself.
FILLED = {
    "name": "demo",
    "state": "present",
    "allow": [],
    "force": False,
    "shutdown_timeout": 120,
    "virt_type": "auto",
    "machine": "q35",
    "cpu_mode": "auto",
    "locked": False,
    "nosharepages": False,
    "acpi": True,
    "apic": True,
    "memory": None,
    "vcpus": None,
    "devices": None,
}


def test_without_a_definition_only_the_power_state_is_meant() -> None:
    request = request_from({**FILLED, "state": "running"})
    assert (request.state, request.spec) == ("running", None)


def test_definition_and_keys_of_devices() -> None:
    devices = [{"type": "pci", "address": "1:0.0", "managed": True, "allow": ["boot_vga"]}]
    request = request_from({**FILLED, "memory": "1G", "vcpus": 2, "devices": devices})
    assert request.spec is not None
    assert request.device_allow == {"0000:01:00.0": frozenset(["boot_vga"])}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"state": "absent", "memory": "1G", "vcpus": 1}, "memory, vcpus would have no effect"),
        ({"title": "x"}, "needs memory"),
        ({"name": "a/b"}, "no domain name"),
    ],
)
def test_contradictions(params: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        request_from({**FILLED, **params})


@pytest.mark.parametrize("uri", ["qemu:///system", "test:///default"])
def test_libvirt_of_this_host(uri: str) -> None:
    check_uri(uri)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("qemu:///session", "a user's own libvirt"),
        ("qemu:///session?socket=/x", "a user's own libvirt"),
        ("qemu+ssh://root@other/system", "another host"),
        ("qemu://other/system", "another host"),
        ("", "another host"),
    ],
)
def test_libvirt_of_somebody_else(uri: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_uri(uri)


def test_result_tells_each_difference_and_shows_both_diffs() -> None:
    switch = Difference("state", None, "running")
    result = result_from("demo", Outcome(before="", after="<domain/>\n", switches=(switch,), xml="<domain/>\n"))
    assert result.changed
    assert [entry["after"] for entry in result.diff] == ["<domain/>\n", "state: running\n"]
    assert result.data["differences"] == [{"setting": "state", "before": None, "after": "running"}]
    assert result.data["domain"]["state"] == "absent"
    assert not result_from("demo", Outcome()).changed

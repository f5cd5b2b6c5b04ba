# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    InputError,
    RefusedError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt import hostdev_change
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.domains import pci_addresses, snapshot
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.hostdev_change import (
    HostdevOutcome,
    HostdevRequest,
    apply_hostdev,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import PciHostdev
from tests.unit.plugins.libvirt_host import BRIDGE, GPU, NIC, LibvirtHost


def request(address: str, *, present: bool = True, live: str = "false", **options: Any) -> HostdevRequest:
    device = PciHostdev.from_options({"address": address, **options}, "device")
    return HostdevRequest("test", device, present=present, live=live)


def run(conn: Any, host: LibvirtHost, ledger: Ledger, asked: HostdevRequest) -> HostdevOutcome:
    predicted = apply_hostdev(conn, host.root, ledger, asked, check_mode=True)
    done = apply_hostdev(conn, host.root, ledger, asked, check_mode=False)
    for part in ("changed", "differences", "before", "after", "pending"):
        assert getattr(predicted, part) == getattr(done, part), part
    return done


def _defined(conn: Any) -> tuple[str, ...]:
    return pci_addresses(snapshot(conn.lookupByName("test")).tree)


def test_adds_changes_and_removes_one_device(conn: Any, host: LibvirtHost, ledger: Ledger) -> None:
    added = run(conn, host, ledger, request(GPU))
    assert [difference.setting for difference in added.pending] == [f"devices/hostdev[{GPU}]"]
    assert not run(conn, host, ledger, request("1:0.0")).changed
    run(conn, host, ledger, request(NIC))
    changed = run(conn, host, ledger, request(GPU, rom_bar=False, managed=True))
    assert [difference.setting for difference in changed.differences] == [
        f"devices/hostdev[{GPU}]/@managed",
        f"devices/hostdev[{GPU}]/rom",
    ]
    assert run(conn, host, ledger, request(GPU, present=False)).changed
    assert _defined(conn) == (NIC,)
    assert not run(conn, host, ledger, request(GPU, present=False)).changed


@pytest.mark.parametrize(("address", "said"), [(BRIDGE, "bridge"), ("0000:09:00.0", "no PCI device")])
def test_refusals_are_those_of_a_domain(conn: Any, host: LibvirtHost, ledger: Ledger, address: str, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        run(conn, host, ledger, request(address))
    assert _defined(conn) == ()


def test_domain_that_is_not_there(conn: Any, host: LibvirtHost, ledger: Ledger) -> None:
    asked = HostdevRequest("nobody", PciHostdev.from_options({"address": GPU}, "device"))
    with pytest.raises(InputError, match="no domain 'nobody'"):
        apply_hostdev(conn, host.root, ledger, asked, check_mode=True)


def test_guest_that_does_not_take_it_gets_it_with_its_next_start(conn: Any, host: LibvirtHost, ledger: Ledger) -> None:
    # The test driver has no hot plug, like a guest whose machine has no free slot.
    done = apply_hostdev(conn, host.root, ledger, request(GPU, live="auto"), check_mode=False)
    assert done.changed
    assert not done.live_changed
    assert [difference.setting for difference in done.pending] == [f"devices/hostdev[{GPU}]"]
    assert "next start" in done.warnings[0]
    assert _defined(conn) == (GPU,)


def test_insisting_on_the_running_guest_leaves_the_definition_when_it_fails(
    conn: Any, host: LibvirtHost, ledger: Ledger
) -> None:
    with pytest.raises(HostStateError, match="not changed either"):
        apply_hostdev(conn, host.root, ledger, request(GPU, live="true"), check_mode=False)
    assert _defined(conn) == ()


def test_unbound_device_is_not_plugged_in(conn: Any, host: LibvirtHost, ledger: Ledger) -> None:
    host.function("0000:07:00.0", 7, "e1000e")
    with pytest.raises(RefusedError, match="held by the driver e1000e"):
        run(conn, host, ledger, request("0000:07:00.0", live="auto"))
    assert run(conn, host, ledger, request("0000:07:00.0", live="false")).changed


def test_guest_that_keeps_a_device_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostdev_change, "_DETACH_SECONDS", 0.0)
    source = f"<source><address bus='{GPU[5:7]}'/></source>"
    text = f"<domain><devices><hostdev type='pci'>{source}</hostdev></devices></domain>"
    keeper = SimpleNamespace(detachDeviceFlags=lambda *_asked: 0, XMLDesc=lambda _flags: text)
    with pytest.raises(HostStateError, match="not released"):
        hostdev_change._change_live(keeper, request(GPU, present=False))

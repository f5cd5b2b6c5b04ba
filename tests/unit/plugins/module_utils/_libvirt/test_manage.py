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
    PassthroughError,
    RefusedError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt import manage
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.judge import Request, define
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.manage import Outcome, apply
from tests.unit.plugins.libvirt_host import BRIDGE, GPU, GPU_AUDIO, LibvirtHost, spec_of

Setup = tuple[Any, LibvirtHost, Ledger]


@pytest.fixture
def setup(conn: Any, host: LibvirtHost, ledger: Ledger) -> Setup:
    return conn, host, ledger


def run(setup: Setup, state: str = "present", name: str = "demo", *, allow: str = "", **options: Any) -> Outcome:
    """One request, first in check mode; both have to say the same."""
    conn, host, ledger = setup
    spec = spec_of(name=name, **options) if options or state in ("present", "running") else None
    request = Request(name, state, spec, frozenset(filter(None, [allow])), force=True, shutdown_timeout=0)
    before = (ledger.to_json(), _texts(conn))
    predicted = apply(conn, host.root, ledger, request, check_mode=True)
    assert (ledger.to_json(), _texts(conn)) == before
    done = apply(conn, host.root, ledger, request, check_mode=False)
    for part in ("changed", "differences", "before", "after", "switches", "pending"):
        assert getattr(predicted, part) == getattr(done, part), part
    return done


def refused(setup: Setup, error: type[PassthroughError], said: str, state: str = "present", **options: Any) -> None:
    """The refusal, in check mode and without, and that nothing was written."""
    conn, _host, ledger = setup
    before = (ledger.to_json(), _texts(conn))
    for _mode in ("check", "real"):
        with pytest.raises(error, match=said):
            run(setup, state, **options)
    assert (ledger.to_json(), _texts(conn)) == before


def _texts(conn: Any) -> list[str]:
    return sorted(domain.XMLDesc(0) for domain in conn.listAllDomains())


def test_defines_starts_and_is_done(setup: Setup) -> None:
    first = run(setup, "running", devices=[{"address": GPU}])
    assert first.changed
    assert first.domain is not None
    assert (first.domain.state, first.pending) == ("running", ())
    record = setup[2].section("domains")["demo"]
    assert record["uuid"] == first.domain.uuid
    assert set(record) == {"uuid", "sha256", "xml"}
    assert not run(setup, "running", devices=[{"address": GPU}]).changed
    assert not run(setup, "present", devices=[{"address": GPU}]).changed


def test_running_domain_is_changed_for_its_next_start_and_says_so_until_then(setup: Setup) -> None:
    run(setup, "running")
    changed = run(setup, "running", memory="2G")
    assert [difference.setting for difference in changed.pending] == ["memory"]
    again = run(setup, "running", memory="2G")
    assert not again.changed
    assert again.pending == changed.pending
    run(setup, "stopped", memory="2G")
    assert run(setup, "running", memory="2G").pending == ()


def test_power_alone_leaves_the_definition(setup: Setup) -> None:
    run(setup, memory="2G")
    assert [switch.setting for switch in run(setup, "stopped").switches] == []
    conn, host, ledger = setup
    outcome = apply(conn, host.root, ledger, Request("demo", "running"), check_mode=False)
    assert (outcome.differences, [switch.after for switch in outcome.switches]) == ((), ["running"])
    refused(setup, InputError, "no domain 'nobody'", "stopped", name="nobody")


def test_autostart_is_left_alone_until_it_is_said(setup: Setup) -> None:
    run(setup, autostart=True)
    assert not run(setup).changed
    switched = run(setup, autostart=False)
    assert [(switch.setting, switch.before, switch.after) for switch in switched.switches] == [
        ("autostart", "yes", "no")
    ]


def test_removal_forgets(setup: Setup) -> None:
    run(setup, "running")
    gone = run(setup, "absent")
    assert gone.changed
    assert gone.domain is None
    assert setup[2].section("domains") == {}
    assert not run(setup, "absent").changed


def test_uuid_is_kept_and_cannot_be_changed(setup: Setup) -> None:
    uuid = "4dea22b3-1d52-48f3-a516-782e98ab3fa0"
    made = run(setup, uuid=uuid)
    assert made.domain is not None
    assert made.domain.uuid == uuid
    assert not run(setup).changed
    refused(setup, InputError, "cannot be changed", uuid="4dea22b3-1d52-48f3-a516-782e98ab3fa1")


@pytest.mark.parametrize("state", ["present", "stopped", "absent"])
def test_domain_of_somebody_else_is_left_alone(setup: Setup, state: str) -> None:
    options = {"memory": "2G"} if state == "present" else {}
    refused(setup, RefusedError, "foreign_domain", state, name="test", **options)


def test_namesake_that_somebody_else_made_meanwhile_is_somebody_elses(setup: Setup) -> None:
    run(setup)
    setup[2].section("domains")["demo"]["uuid"] = "4dea22b3-1d52-48f3-a516-782e98ab3fa0"
    refused(setup, RefusedError, "foreign_domain", memory="2G")


def test_taking_over_keeps_what_was_there_for_undo(setup: Setup) -> None:
    original = setup[0].lookupByName("test").XMLDesc(2)
    run(setup, name="test", memory="2G", allow="foreign_domain")
    run(setup, name="test", memory="3G")
    assert setup[2].section("domains")["test"]["original"] == original


def test_what_was_taken_over_is_given_back(setup: Setup) -> None:
    conn, _host, ledger = setup
    original = conn.lookupByName("test").XMLDesc(2)
    run(setup, name="test", memory="2G", autostart=True, allow="foreign_domain")
    run(setup, name="test", memory="3G", autostart=True)
    back = run(setup, "absent", name="test")
    assert back.changed
    assert [switch.setting for switch in back.switches] == ["autostart"]
    domain = conn.lookupByName("test")
    assert domain.XMLDesc(2) == original
    assert (domain.isPersistent(), domain.isActive(), domain.autostart()) == (1, 1, 0)
    assert ledger.section("domains") == {}
    # It is somebody else's again.
    refused(setup, RefusedError, "foreign_domain", "absent", name="test")


def test_what_was_taken_over_goes_with_its_key(setup: Setup) -> None:
    run(setup, name="test", memory="2G", allow="foreign_domain")
    assert run(setup, "absent", name="test", allow="foreign_domain").domain is None
    assert setup[2].section("domains") == {}


def test_giving_back_keeps_passwords(setup: Setup) -> None:
    conn, _host, _ledger = setup
    tree = conn.lookupByName("test").XMLDesc(2)
    graphics = "<devices><graphics type='vnc' port='5901' passwd='geheim'/>"
    conn.defineXML(tree.replace("<devices>", graphics))
    run(setup, name="test", memory="2G", allow="foreign_domain")
    back = run(setup, "absent", name="test")
    assert "geheim" not in back.before + back.after + back.xml
    assert "geheim" in conn.lookupByName("test").XMLDesc(3)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"devices": [{"address": "0000:09:00.0"}]}, RefusedError, "no PCI device"),
        ({"devices": [{"address": BRIDGE}]}, RefusedError, "bridge"),
        ({"vcpu_pins": [{"vcpu": 0, "cpus": "4"}]}, HostStateError, "CPUs 4, which are not online: this host has 0-3"),
        ({"emulator_cpus": "0-99"}, HostStateError, "CPUs 4-99"),
        ({"hugepages": "1G", "memory_node": 0}, HostStateError, "needs 1 huge pages of 1G"),
    ],
)
def test_refusal_comes_before_the_first_write(
    setup: Setup, options: dict[str, Any], error: type[PassthroughError], said: str
) -> None:
    refused(setup, error, said, "running", **options)


def test_two_domains_and_one_device(setup: Setup) -> None:
    run(setup, "running", name="first", devices=[{"address": GPU}])
    refused(setup, RefusedError, "'first' is running with", devices=[{"address": GPU}])
    refused(setup, RefusedError, "IOMMU group 2", devices=[{"address": GPU_AUDIO}])
    run(setup, "stopped", name="first")
    assert run(setup, devices=[{"address": GPU}]).changed


def test_unready_device_stops_the_start_not_the_definition(setup: Setup) -> None:
    setup[1].function("0000:07:00.0", 7, "e1000e")
    refused(setup, RefusedError, "held by the driver e1000e", "running", devices=[{"address": "0000:07:00.0"}])
    assert run(setup, "present", devices=[{"address": "0000:07:00.0"}]).changed


def test_start_that_leaves_the_device_with_the_host_is_an_error(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manage, "judge_definition", _without_device_check)
    setup[1].function("0000:07:00.0", 7, "e1000e")
    conn, host, ledger = setup
    request = Request("demo", "running", spec_of(devices=[{"address": "0000:07:00.0"}]))
    with pytest.raises(HostStateError, match=r"0000:07:00\.0 in it is held by e1000e"):
        apply(conn, host.root, ledger, request, check_mode=False)


def _without_device_check(conn: Any, root: Any, ledger: Ledger, request: Request, existing: Any) -> Any:
    assert request.spec is not None
    return define(request.spec, existing, None)


def test_start_that_libvirt_refuses_names_the_log(setup: Setup) -> None:
    conn, _host, _ledger = setup
    run(setup)

    class Stubborn:
        """The domain, except that it does not start."""

        def __init__(self, domain: Any) -> None:
            self._domain = domain

        def __getattr__(self, name: str) -> Any:
            return getattr(self._domain, name)

        def create(self) -> None:
            self._domain.setMemory(-1)

    with pytest.raises(HostStateError, match=r"'demo' did not start: .*/var/log/libvirt/qemu/demo.log"):
        manage._switch_power(Stubborn(conn.lookupByName("demo")), Request("demo", "running"))


def test_guest_that_does_not_shut_down_keeps_running_without_force() -> None:
    deaf = SimpleNamespace(isActive=lambda: 1, shutdown=lambda: 0)
    with pytest.raises(HostStateError, match="force: true"):
        manage._shut_down(deaf, Request("demo", "stopped", shutdown_timeout=0))


def test_a_domain_that_nothing_defines_is_gone_once_it_is_shut_down(setup: Setup) -> None:
    passing = "<domain type='test'><name>passing</name><memory>1024</memory><os><type>hvm</type></os></domain>"
    setup[0].createXML(passing, 0)
    done = run(setup, "stopped", name="passing", allow="foreign_domain")
    assert [switch.after for switch in done.switches] == ["shut off"]
    assert done.domain is None


def test_passwords_survive_a_change(setup: Setup) -> None:
    conn, _host, _ledger = setup
    run(setup)
    tree = conn.lookupByName("demo").XMLDesc(2)
    graphics = "<graphics type='vnc' port='5901' passwd='geheim'/>"
    conn.defineXML(tree.replace("</devices>", f"{graphics}</devices>"))
    changed = run(setup, memory="2G")
    assert "geheim" not in changed.before + changed.after + changed.xml
    assert "geheim" in conn.lookupByName("demo").XMLDesc(3)

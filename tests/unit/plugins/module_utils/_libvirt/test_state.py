# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt import state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.domains import all_snapshots
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.resolve import Capabilities
from tests.unit.plugins.libvirt_host import FIXTURES, GPU, GPU_AUDIO, LibvirtHost


def no_program(argv: Sequence[str], cwd: str | None = None) -> CommandResult:
    raise AssertionError(f"{argv} is not needed")


class Systemctl:
    """Answers is-active for the units that it is told of."""

    def __init__(self, active: Sequence[str]) -> None:
        self.active = active
        self.asked: list[Sequence[str]] = []

    def __call__(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        self.asked.append(argv)
        words = ["active" if unit in self.active else "inactive" for unit in argv[2:]]
        return CommandResult(tuple(argv), 0 if "inactive" not in words else 3, "\n".join(words), "")


class LiveRoot(Root):
    """A tree that stands for the running host."""

    @property
    def is_live(self) -> bool:
        return True


def test_captured_tree_gives_definitions_from_files(host: LibvirtHost) -> None:
    host.write("etc/libvirt/qemu/gpu.xml", (FIXTURES / "hostdevs-inactive.xml").read_text())
    host.write("etc/libvirt/qemu/autostart/gpu.xml", "")
    host.write("etc/libvirt/qemu/broken.xml", "<domain>")
    host.write("etc/libvirt/qemu/networks/default.xml", "<network/>")
    found = state.read_domains_state(host.root, no_program, Ledger(), {"domains": [{"name": "gpu"}]})
    assert json.loads(json.dumps(found)) == found
    assert (found["available"], found["capabilities"], found["running"]) == (False, None, None)
    assert [(domain["name"], domain["autostart"], domain["state"]) for domain in found["domains"]] == [
        ("gpu", True, "unknown")
    ]
    assert [claim["address"] for claim in found["claims"]] == [GPU, GPU_AUDIO]


def test_nothing_wanted_asks_libvirt_nothing(host: LibvirtHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "DEFAULT_URI", "nonsense:///system")
    root = LiveRoot(str(host.base))
    assert state.read_domains_state(root, no_program, Ledger(), {})["available"]
    found = state.read_domains_state(root, no_program, Ledger(), {"domains": [{"name": "demo"}]})
    assert not found["available"]
    assert "nonsense" in found["reason"]


def test_live_host_tells_only_of_wanted_domains_and_of_all_claims(
    host: LibvirtHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, conn: Any
) -> None:
    monkeypatch.setattr(state, "_ask_libvirt", lambda _uri: (Capabilities("x86_64", ("qemu",)), all_snapshots(conn)))
    root = LiveRoot(str(host.base))
    found = state.read_domains_state(root, no_program, Ledger(), {"domains": [{"name": "other"}]})
    assert (found["available"], found["domains"]) == (True, [])
    # A reboot stops those as well that nobody asked for.
    assert found["running"] == sorted(domain.name() for domain in conn.listAllDomains() if domain.isActive()) != []


def test_empty_host_misses_everything_and_starts_no_program(tmp_path: Path) -> None:
    found = state.read_host_state(Root(str(tmp_path)), no_program, Ledger(), {})
    assert found["missing"] == ["qemu", "libvirt", "firmware", "python_libvirt"]
    assert (found["units"], found["disabled"], found["inactive"]) == ([], [], [])


@pytest.mark.parametrize(
    ("files", "units", "disabled"),
    [
        (
            ["usr/sbin/libvirtd", "lib/systemd/system/libvirtd.service"],
            ["libvirtd.socket", "virtlogd.socket"],
            ["libvirtd.socket", "virtlogd.socket"],
        ),
        (
            [
                "usr/sbin/libvirtd",
                "lib/systemd/system/libvirtd.service",
                "etc/systemd/system/multi-user.target.wants/libvirtd.service",
                "etc/systemd/system/sockets.target.wants/virtlogd.socket",
            ],
            ["libvirtd.socket", "virtlogd.socket"],
            [],
        ),
        (
            ["usr/sbin/virtqemud", "usr/lib/systemd/system/virtqemud.socket"],
            ["virtqemud.socket", "virtlogd.socket"],
            ["virtqemud.socket", "virtlogd.socket"],
        ),
        (
            [
                "usr/sbin/virtqemud",
                "usr/sbin/libvirtd",
                "usr/lib/systemd/system/virtqemud.socket",
                "usr/lib/systemd/system/libvirtd.service",
                "etc/systemd/system/multi-user.target.wants/libvirtd.service",
            ],
            ["libvirtd.socket", "virtlogd.socket"],
            ["virtlogd.socket"],
        ),
    ],
    ids=["one daemon, disabled", "one daemon, enabled", "one per driver", "both, the old one enabled"],
)
def test_layout_of_the_daemons(host: LibvirtHost, files: list[str], units: list[str], disabled: list[str]) -> None:
    for path in files:
        host.write(path, "")
    found = state.read_host_state(host.root, no_program, Ledger(), {})
    assert (found["units"], found["disabled"]) == (units, disabled)


def test_one_question_tells_which_units_are_inactive(host: LibvirtHost) -> None:
    host.write("usr/sbin/libvirtd", "")
    host.write("run/systemd/system/x", "")
    systemctl = Systemctl(["virtlogd.socket"])
    found = state.read_host_state(LiveRoot(str(host.base)), systemctl, Ledger(), {})
    assert found["inactive"] == ["libvirtd.socket"]
    assert len(systemctl.asked) == 1


@pytest.mark.parametrize("active", ["libvirtd.socket", "libvirtd.service"])
def test_an_idle_daemon_behind_its_socket_is_as_good_as_one_that_runs(host: LibvirtHost, active: str) -> None:
    host.write("usr/sbin/libvirtd", "")
    host.write("run/systemd/system/x", "")
    systemctl = Systemctl([active, "virtlogd.socket"])
    assert state.read_host_state(LiveRoot(str(host.base)), systemctl, Ledger(), {})["inactive"] == []


def test_distribution_is_read_from_its_file(host: LibvirtHost) -> None:
    host.write("etc/os-release", 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"')
    found = state.read_host_state(host.root, no_program, Ledger(), {})
    assert found["os"] == {"id": "rocky", "id_like": ["rhel", "centos", "fedora"], "version": "9.4"}

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.libvirt_host import decide
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Verdict
from tests.unit.plugins.planned_host import host_with

FACTS = {
    "os": {"id": "debian", "id_like": [], "version": "12"},
    "proxmox": False,
    "ostree": False,
    "missing": [],
    "units": ["libvirtd.service"],
    "disabled": [],
    "inactive": [],
}


def judged(wanted: dict[str, Any], **facts: Any) -> Verdict:
    return decide(wanted, host_with({"libvirt_host": {**FACTS, **facts}}), {})


def test_complete_host_is_in_sync() -> None:
    assert judged({}).status == "in_sync"


def test_what_is_missing_is_installed_without_a_reboot() -> None:
    verdict = judged({}, missing=["qemu", "firmware"], inactive=["libvirtd.service"])
    assert (verdict.status, verdict.reboot_required) == ("drift", False)
    assert [change.setting for change in verdict.changes] == ["QEMU", "UEFI firmware for guests", "libvirtd.service"]
    assert verdict.apply == {
        "family": "debian",
        "missing": ["qemu", "firmware"],
        "service": True,
        "enable": [],
        "start": ["libvirtd.service"],
    }


def test_switches_leave_their_part_alone() -> None:
    facts: dict[str, Any] = {"missing": ["qemu"], "disabled": ["libvirtd.service"]}
    assert [change.setting for change in judged({"packages": False}, **facts).changes] == ["libvirtd.service"]
    assert [change.setting for change in judged({"service": False}, **facts).changes] == ["QEMU"]


@pytest.mark.parametrize(
    ("name", "like", "family"),
    [
        ("ubuntu", ["debian"], "debian"),
        ("rocky", ["rhel", "centos", "fedora"], "redhat"),
        ("opensuse-leap", ["suse", "opensuse"], "suse"),
        ("arch", [], "arch"),
        ("gentoo", [], None),
    ],
)
def test_family(name: str, like: list[str], family: str) -> None:
    verdict = judged({}, os={"id": name, "id_like": like, "version": ""}, missing=["qemu"])
    assert verdict.apply["family"] == family
    assert (verdict.status == "refused") == (family is None)


@pytest.mark.parametrize(("fact", "said"), [("proxmox", "Proxmox"), ("ostree", "rpm-ostree")])
def test_hosts_whose_packages_are_not_ours(fact: str, said: str) -> None:
    refusals = judged({}, missing=["libvirt"], **{fact: True}).refusals
    assert said in refusals[0].reason
    assert judged({}, **{fact: True}).status == "in_sync"


@pytest.mark.parametrize("wanted", [{"package": True}, {"packages": "some"}])
def test_what_cannot_be_meant(wanted: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="libvirt_host"):
        judged(wanted)


def test_switches_may_come_as_words() -> None:
    assert judged({"packages": "no"}, missing=["libvirt"]).apply["missing"] == []

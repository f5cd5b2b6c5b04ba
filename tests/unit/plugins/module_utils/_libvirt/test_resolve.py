# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.resolve import (
    Capabilities,
    read_capabilities,
    resolve,
)
from tests.unit.plugins.libvirt_host import fixture, spec_of

KVM = Capabilities("x86_64", ("kvm", "qemu"), ("efi",))
TCG = Capabilities("x86_64", ("qemu",), None)
AUTO = {"virt_type": "auto", "cpu_mode": "auto", "firmware": None}


@pytest.mark.parametrize(
    ("capabilities", "options", "expected", "warns"),
    [
        (KVM, {}, ("kvm", "host-passthrough", "efi"), False),
        (TCG, {}, ("qemu", "maximum", "efi"), True),
        (KVM, {"virt_type": "qemu"}, ("qemu", "maximum", "efi"), False),
        (KVM, {"cpu_mode": "host-model"}, ("kvm", "host-model", "efi"), False),
        (KVM, {"kernel": "/k"}, ("kvm", "host-passthrough", "bios"), False),
        (KVM, {"kernel": "/k", "firmware": "efi"}, ("kvm", "host-passthrough", "efi"), False),
    ],
)
def test_what_auto_comes_to(capabilities: Capabilities, options: dict[str, Any], expected: Any, warns: bool) -> None:
    resolved = resolve(spec_of(**{**AUTO, **options}), capabilities, None)
    assert (resolved.spec.virt_type, resolved.spec.cpu_mode, resolved.spec.firmware) == expected
    assert bool(resolved.warnings) == warns


@pytest.mark.parametrize(("name", "firmware"), [("hostdevs-inactive.xml", "efi"), ("direct-boot-inactive.xml", "bios")])
def test_installed_guest_keeps_its_firmware(name: str, firmware: str) -> None:
    assert resolve(spec_of(firmware=None), KVM, fixture(name)).spec.firmware == firmware


@pytest.mark.parametrize(
    ("capabilities", "options", "said"),
    [
        (TCG, {"virt_type": "kvm"}, "virt_type is kvm"),
        (Capabilities("x86_64", ("kvm",), ()), {"firmware": "efi"}, "install the package ovmf"),
        (Capabilities("x86_64", ("test",)), {"virt_type": "auto"}, "it offers test"),
    ],
)
def test_what_the_host_cannot_do(capabilities: Capabilities, options: dict[str, Any], said: str) -> None:
    with pytest.raises(HostStateError, match=said):
        resolve(spec_of(**options), capabilities, None)


def test_capabilities_of_a_driver_that_knows_no_domain_capabilities(conn: Any) -> None:
    found = read_capabilities(conn)
    assert (found.virt_types, found.firmwares) == (("test",), None)
    assert Capabilities.from_json(found.to_json()) == found


def _connection_that_offers(best: str) -> Any:
    text = (
        f"<domainCapabilities><domain>{best}</domain><arch>x86_64</arch><os><enum name='firmware'>"
        "<value>efi</value></enum></os></domainCapabilities>"
    )
    return SimpleNamespace(getDomainCapabilities=lambda *_asked: text)


@pytest.mark.parametrize(("best", "types"), [("kvm", ("kvm", "qemu")), ("qemu", ("qemu",))])
def test_best_kind_of_guest_is_asked_for_once(best: str, types: tuple[str, ...]) -> None:
    assert read_capabilities(_connection_that_offers(best)) == Capabilities("x86_64", types, ("efi",))

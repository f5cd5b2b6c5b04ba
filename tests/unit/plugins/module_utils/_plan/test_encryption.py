# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.encryption import guard, host_keys
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Change, HostState, Verdict
from tests.unit.plugins.planned_host import host_with

GPU = Device(Address.parse("0000:01:00.0"), Identity("10de", "2204", "1458", "403b"), "0300", driver="nouveau")
HOST_GPU = dataclasses.replace(GPU, address=Address.parse("0000:00:02.0"), driver="i915")
ARGUMENTS = Verdict(changes=(Change("kernel arguments of iommu", None, "intel_iommu=on", after_reboot=True),))
IMAGE = Verdict(changes=(Change("image /boot/initrd.img-6.12", None, "rebuilt"),))
PAGES = Verdict(changes=(Change("2M pages of node 0", "0", "16"),))


def host(
    encrypted: str | None = "luks-1 is below", sealed: str | None = None, kernel: str = "6.1.0-37", **image: Any
) -> HostState:
    images = [{"kernel": kernel, "path": f"/boot/initrd.img-{kernel}", "display_drivers": [], **image}]
    facts = {"vfio": {"builtin_drivers": []}, "initramfs": {"images": images}}
    described = host_with(facts)
    encryption = {"encrypted": encrypted, "sealed": sealed}
    return dataclasses.replace(described, devices=(HOST_GPU, GPU), encryption=encryption)


@pytest.mark.parametrize("name", ["iommu", "hugepages", "initramfs"])
def test_a_sealed_root_refuses_whatever_a_boot_measures(name: str) -> None:
    verdicts = {name: IMAGE if name == "initramfs" else ARGUMENTS}
    guarded = guard(verdicts, host(sealed="a token is sealed to PCR 9"), {}, ())
    (refusal,) = guarded[name].refusals
    assert (refusal.device, refusal.allow) == (None, "tpm_sealed_root")
    assert "sealed to PCR 9" in refusal.reason
    assert guard(verdicts, host(sealed="a token is sealed to PCR 9"), {}, ["tpm_sealed_root"]) == verdicts
    assert guard(verdicts, host(), {}, ()) == verdicts


def test_what_no_boot_measures_and_what_is_in_sync_is_free() -> None:
    verdicts = {"hugepages": PAGES, "iommu": Verdict(pending_reboot=True)}
    assert guard(verdicts, host(sealed="sealed"), {}, ()) == verdicts


def test_an_encrypted_root_needs_a_display_for_its_prompt() -> None:
    verdicts, chosen = {"initramfs": IMAGE}, {"gpu": (GPU,)}
    (refusal,) = guard(verdicts, host(), chosen, ())["initramfs"].refusals
    assert (refusal.device, refusal.allow) == (str(GPU.address), "encrypted_root_console")
    assert "Put i915 into the initramfs" in refusal.reason
    assert guard(verdicts, host(display_drivers=["i915"]), chosen, ()) == verdicts
    assert guard(verdicts, host(), chosen, ["encrypted_root_console"]) == verdicts
    assert guard(verdicts, host(encrypted=None), chosen, ()) == verdicts
    # Before Linux 6.0 the firmware's framebuffer stays.
    assert guard(verdicts, host(kernel="5.15.0-91"), chosen, ()) == verdicts
    # Another device than a display takes nothing away, and without a change there is nothing to warn of.
    assert guard(verdicts, host(), {}, ()) == verdicts
    assert guard({"initramfs": Verdict()}, host(), chosen, ()) == {"initramfs": Verdict()}


def test_what_is_put_into_the_initramfs_is_the_module_that_shows_a_console_and_not_the_driver_of_the_bus() -> None:
    paravirtual = dataclasses.replace(HOST_GPU, driver="virtio-pci")
    described = dataclasses.replace(host(), devices=(paravirtual, GPU))
    (refusal,) = guard({"initramfs": IMAGE}, described, {"gpu": (GPU,)}, ())["initramfs"].refusals
    assert "Put virtio_gpu into the initramfs" in refusal.reason


def test_a_driver_that_is_built_in_needs_no_image() -> None:
    described = host()
    described = dataclasses.replace(described, facts={**described.facts, "vfio": {"builtin_drivers": ["i915"]}})
    assert guard({"initramfs": IMAGE}, described, {"gpu": (GPU,)}, ()) == {"initramfs": IMAGE}


def test_a_bus_that_is_built_in_shows_no_console() -> None:
    """Debian 13 has virtio_pci in the kernel, and virtio_gpu beside it as a module."""
    paravirtual = dataclasses.replace(HOST_GPU, driver="virtio-pci")
    facts = {**host().facts, "vfio": {"builtin_drivers": ["virtio-pci"]}}
    described = dataclasses.replace(host(), devices=(paravirtual, GPU), facts=facts)
    (refusal,) = guard({"initramfs": IMAGE}, described, {"gpu": (GPU,)}, ())["initramfs"].refusals
    assert "Put virtio_gpu into the initramfs" in refusal.reason


def test_a_key_that_permits_nothing_is_refused_by_name() -> None:
    assert host_keys(None) == ()
    assert host_keys(["tpm_sealed_root"]) == ("tpm_sealed_root",)
    with pytest.raises(InputError, match="plan_allow has no key 'storage': expected any of encrypted_root_console"):
        host_keys(["storage"])

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The method ``ids`` through the real modprobe, mkinitramfs and dracut, in a minute with trees in the cache."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import LEDGER_PATH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.vfio_bind import bind
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.modprobe import MODPROBE_PATH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import TABLE_PATH
from tests.integration.chroot.conftest import Chroot
from tests.integration.chroot.test_initramfs_chroot import HOOKS, NIC, Module, initramfs, listing, set_arguments

pytestmark = pytest.mark.chroot


def vfio_bind(chroot: Chroot, method: str, state: str = "present", *, trial_first: bool = False) -> Result:
    names = ("vendor_id", "device_id", "subsystem_vendor_id", "subsystem_device_id", "serial")
    device: dict[str, t.Any] = {"address": NIC, "allow": [], **dict.fromkeys(names)}
    common: dict[str, t.Any] = {"timing": "boot", "exclusive": False, "allow": [], "bootloader": "auto"}
    common["trial_first"] = trial_first
    module: t.Any = Module(False, devices=[device], state=state, method=method, **common)
    return bind(module, chroot.run, root=chroot.root, write=chroot.attribute, set_args=set_arguments)


@pytest.fixture(params=["debian12", "debian13"])
def chroot(request: pytest.FixtureRequest) -> Chroot:
    chosen: Chroot = request.getfixturevalue(request.param)
    if NIC not in chosen.natives:
        chosen.device(NIC)
    return chosen


def test_ids_are_in_the_image_and_vfio_pci_comes_first(chroot: Chroot) -> None:
    before = listing(chroot)
    hook = HOOKS[chroot.base.name]

    # From the other method, whose script must not stay behind.
    vfio_bind(chroot, "override")
    assert initramfs(chroot).changed
    assert vfio_bind(chroot, "ids").data["initramfs_stale"]
    (image,) = initramfs(chroot).data["images"]
    assert image["rebuilt"]
    proven = "\n".join(image["proven"])
    for expected in (MODPROBE_PATH, hook, "module vfio_pci", "module vfio_iommu_type1"):
        assert expected in proven
    assert not vfio_bind(chroot, "ids").data["initramfs_stale"]

    held = listing(chroot, [MODPROBE_PATH.lstrip("/"), hook])
    assert held.contents[MODPROBE_PATH.lstrip("/")] == (chroot.base / MODPROBE_PATH.lstrip("/")).read_bytes()
    assert b"modprobe -q vfio-pci" in held.contents[hook]
    assert TABLE_PATH.lstrip("/") not in held.names

    # What the real modprobe would load for the card's own driver, in its order.
    steps = chroot.output("modprobe", "-S", chroot.kernel, "--show-depends", "e1000e").splitlines()
    loaded = {line.split("/")[-1].split(".ko")[0]: number for number, line in enumerate(steps)}
    assert loaded["vfio-pci"] < loaded["e1000e"]
    assert "ids=8086:10d3" in steps[loaded["vfio-pci"]]

    assert vfio_bind(chroot, "auto", "absent").data["initramfs_stale"]
    assert initramfs(chroot).changed
    assert listing(chroot).names == before.names
    assert not (chroot.base / LEDGER_PATH.lstrip("/")).exists()

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of modprobe.d that wait for a commit, through the real mkinitramfs, dracut, modprobe and GRUB's tools."""

from __future__ import annotations

import shutil
import typing as t

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._held_back import SECTION
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.state import read_host
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import Listing, read_image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.staged import staged_path
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.vfio_options import change
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.decision import Plan, make_plan
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    DRIFT,
    IN_SYNC,
    REFUSED,
    HostState,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.modprobe import MODPROBE_PATH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.options import MODPROBE_PATH as OPTIONS_PATH
from tests.integration.chroot.conftest import Chroot
from tests.integration.chroot.test_boot_trial_chroot import NORMAL, Machine, prepared
from tests.integration.chroot.test_initramfs_chroot import NIC, Module, builds, initramfs, listing
from tests.integration.chroot.test_vfio_methods_chroot import vfio_bind

if t.TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.chroot

FILES = (MODPROBE_PATH, OPTIONS_PATH)
OTHERS = "/boot/others"
BUILD = {
    "debian12": ("mkinitramfs", "-o", OTHERS, "{}"),
    "debian13": ("env", "NO_POST_UPDATE_HOOKS=1", "dracut", "--force", "--quiet", OTHERS, "{}"),
}


@pytest.fixture(params=["debian12", "debian13"])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    chroot: Chroot = request.getfixturevalue(request.param)
    if NIC not in chroot.natives:
        chroot.device(NIC)
    found = prepared(chroot)
    before = listing(chroot)
    yield found
    found.roll_back()
    vfio_options(chroot, state="absent")
    vfio_bind(chroot, "auto", "absent")
    initramfs(chroot)
    assert listing(chroot).names == before.names
    shutil.rmtree(chroot.base / "var/lib/virtfleet-passthrough", ignore_errors=True)


def vfio_options(chroot: Chroot, **params: t.Any) -> Result:
    defaults: dict[str, t.Any] = {"state": "present", "resizable_bars": [], "resize_now": False, "xorg_host_gpu": None}
    module: t.Any = Module(False, **{**defaults, "bootloader": "auto", "trial_first": True, **params})
    return change(module, chroot.run, chroot.root, chroot.attribute)


def planned(machine: Machine, **options: t.Any) -> Plan:
    """What the controller decides for the host as it is now."""
    entries = [{"name": "nic", "match": {"address": NIC}, "allow": ["no_reset"]}]
    wanted = {"vfio": {"devices": entries, "method": "ids"}, "vfio_options": options, "initramfs": {}}
    state = read_host(machine.chroot.root, machine.run, wanted, trial_deadline=600)
    return make_plan(wanted, HostState.from_json(state), boot={"reboot": True})


def held(machine: Machine, value: str, driver: str | None) -> None:
    """What the kernel has made of the boot."""
    machine.chroot.write("/sys/module/kvm/parameters/ignore_msrs", f"{value}\n")
    link = machine.chroot.base / f"sys/bus/pci/devices/{NIC}/driver"
    link.unlink(missing_ok=True)
    if driver is not None:
        machine.chroot.load(driver)
        link.unlink(missing_ok=True)
        link.symlink_to(f"../../drivers/{driver}")


def test_the_plan_before_within_and_after_the_trial(machine: Machine) -> None:
    chroot = machine.chroot
    wanted: dict[str, t.Any] = {"ignore_msrs": True}
    held(machine, "N", "e1000e")
    before = planned(machine, **wanted)
    assert (before.status, before.reboot.trial) == (DRIFT, True)
    assert not [text for text in before.reboot.warnings if "old boot entry too" in text]
    shown = [change for verdict in before.verdicts.values() for change in verdict.changes]
    assert {f"file {path}" for path in FILES} <= {change.setting for change in shown}

    vfio_options(chroot, **wanted)
    vfio_bind(chroot, "ids", trial_first=True)
    staged = initramfs(chroot, staged=True).data["staged"]
    machine.boot(machine.arm(**staged).record.line, 2)
    # Lost, and back on the old entry.
    machine.boot([*NORMAL, "panic=15"], 3)
    again = planned(machine, **wanted)
    assert (again.status, again.reboot.trial) == (DRIFT, True)
    assert again.verdicts["vfio_options"].changes == before.verdicts["vfio_options"].changes
    assert not vfio_options(chroot, **wanted).changed

    armed = machine.arm(**staged)
    machine.boot(armed.record.line, 4)
    held(machine, "N", "vfio-pci")
    assert planned(machine, **wanted).once_kept == REFUSED
    held(machine, "Y", "e1000e")
    assert planned(machine, **wanted).once_kept == REFUSED
    held(machine, "Y", "vfio-pci")
    tried = planned(machine, **wanted)
    assert (tried.once_kept, tried.status) == (IN_SYNC, DRIFT), tried.to_json()
    machine.commit()
    assert planned(machine, **wanted).status == IN_SYNC
    # What takes an option away again is said to count at once.
    (warning,) = [text for text in planned(machine).reboot.warnings if "old boot entry too" in text]
    assert OPTIONS_PATH in warning
    held(machine, "N", "e1000e")


def content(chroot: Chroot, path: str) -> Listing:
    return read_image(chroot.root, chroot.run, path, [name.lstrip("/") for name in FILES])


def built_by_others(chroot: Chroot) -> Listing:
    """As a package does that brings a kernel or a driver."""
    chroot.output(*(word.format(chroot.kernel) for word in BUILD[chroot.base.name]))
    found = content(chroot, OTHERS)
    (chroot.base / OTHERS.lstrip("/")).unlink()
    return found


def options_of(chroot: Chroot, module: str) -> str:
    """With what the real modprobe would load it in the running boot."""
    return chroot.output("modprobe", "-S", chroot.kernel, "--show-depends", module).splitlines()[-1]


def test_only_the_image_on_trial_has_what_waits_and_it_is_right_once_kept(machine: Machine) -> None:
    chroot = machine.chroot
    etc = chroot.base / "etc/modprobe.d"
    (etc / "site.conf").write_text("options loop max_loop=8\n")
    names = sorted(path.name for path in etc.iterdir())

    vfio_options(chroot, ignore_msrs=True, disable_vga=True)
    assert vfio_bind(chroot, "ids", trial_first=True).data["initramfs_stale"]
    assert not vfio_bind(chroot, "ids", trial_first=True).changed
    staged = initramfs(chroot, staged=True).data["staged"]
    assert staged == {chroot.kernel: staged_path(chroot.kernel)}
    assert sorted(path.name for path in etc.iterdir()) == names
    assert not list((chroot.base / "var/tmp").glob("virtfleet*"))

    tried = content(chroot, staged[chroot.kernel])
    assert set(Ledger.read(chroot.root).section(SECTION)) == set(FILES)
    assert {name.lstrip("/") for name in FILES} == set(tried.contents)
    assert "etc/modprobe.d/site.conf" in tried.names or chroot.base.name == "debian13"
    # The old entry must come back to an image without them, whoever builds it anew meanwhile.
    assert built_by_others(chroot).contents == {}
    armed = machine.arm(**staged)
    assert "ignore_msrs" not in options_of(chroot, "kvm")

    machine.boot(armed.record.line, 2)
    assert "ignore_msrs=1" in options_of(chroot, "kvm")
    assert "disable_vga=1" in options_of(chroot, "vfio-pci")
    machine.commit()
    machine.boot(machine.lines()[0], 3)
    assert "ignore_msrs=1" in options_of(chroot, "kvm")
    for path in FILES:
        assert (chroot.base / path.lstrip("/")).read_bytes() == tried.contents[path.lstrip("/")]
    kept = content(chroot, f"/boot/{chroot.image.name}")
    assert (kept.names, kept.contents) == (tried.names, tried.contents)
    chroot.commands.clear()
    assert not initramfs(chroot).changed
    assert builds(chroot) == 0
    afterwards = built_by_others(chroot)
    assert (afterwards.names, afterwards.contents) == (tried.names, tried.contents)
    (etc / "site.conf").unlink()


def test_where_there_is_no_directory_yet_none_is_left(machine: Machine) -> None:
    chroot = machine.chroot
    etc = chroot.base / "etc/modprobe.d"
    shutil.move(etc, etc.with_name("kept"))
    try:
        vfio_bind(chroot, "ids", trial_first=True)
        staged = initramfs(chroot, staged=True).data["staged"]
        assert MODPROBE_PATH.lstrip("/") in content(chroot, staged[chroot.kernel]).contents
        assert not etc.exists()
    finally:
        shutil.move(etc.with_name("kept"), etc)

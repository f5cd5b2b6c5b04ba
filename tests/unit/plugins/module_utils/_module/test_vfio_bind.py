# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _held_back
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.writer import ArgumentsChange
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult, Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    InputError,
    RefusedError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.vfio_bind import SetArguments, bind
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState, Verdict
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.vfio import decide
from ansible_collections.virtfleet.passthrough.plugins.module_utils._this_boot import TAKEN_BACK_PATH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import (
    DRACUT_HOOK_PATH,
    HOOK_PATH,
    INIT_TOP_PATH,
    SCRIPT_PATH,
    UDEV_RULE_PATH,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.modprobe import MODPROBE_PATH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.state import read_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import TABLE_PATH, Table
from tests.unit.plugins.fake_kernel import RELEASE, FakeKernel
from tests.unit.plugins.planned_host import IOMMU_ON

FIRST, TWIN, PORT = "0000:01:00.0", "0000:02:00.0", "0000:00:02.0"


class Module:
    """What the body uses of AnsibleModule."""

    def __init__(self, params: dict[str, t.Any], check_mode: bool) -> None:
        self.params = params
        self.check_mode = check_mode

    def log(self, _message: str) -> None:
        """Not looked at."""


def set_arguments(
    _root: Root, _run: Runner, ledger: Ledger, owner: str, args: t.Sequence[str], check_mode: bool
) -> ArgumentsChange:
    """A boot loader that takes everything."""
    section = ledger.section("kernel_args")
    changed = section.get(owner, []) != list(args)
    if changed and not check_mode:
        section[owner] = list(args)
        if not args:
            del section[owner]
        ledger.save()
    return ArgumentsChange(changed, {}, ({"before": "", "after": " ".join(args)},) if changed else ())


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return host(tmp_path)


def host(base: Path, **options: str) -> FakeKernel:
    kernel = FakeKernel(base, **options)
    kernel.device(PORT, "pcieport", class_code="060400", bridge=True, group=9)
    kernel.device(FIRST, group=1)
    kernel.device(TWIN, group=2)
    kernel.write("/usr/sbin/mkinitramfs", "")
    kernel.write(f"/boot/vmlinuz-{RELEASE}", "")
    (base / "var/lib").mkdir(parents=True)
    return kernel


def call(
    kernel: FakeKernel,
    *devices: t.Any,
    check: bool = False,
    set_args: SetArguments = set_arguments,
    **params: t.Any,
) -> Result:
    names = ("vendor_id", "device_id", "subsystem_vendor_id", "subsystem_device_id", "serial")
    empty: dict[str, t.Any] = {**dict.fromkeys(names), "allow": []}
    entries = [{**empty, **({"address": one} if isinstance(one, str) else one)} for one in devices]
    defaults = {"state": "present", "timing": "boot", "method": "auto", "exclusive": False, "allow": []}
    defaults["bootloader"] = "auto"
    defaults["trial_first"] = False
    module: t.Any = Module({"devices": entries, **defaults, **params}, check)
    return bind(module, kernel.run, root=kernel.root, write=kernel.attribute, set_args=set_args)


def snapshot(kernel: FakeKernel) -> dict[str, t.Any]:
    """Every file and link below the tree, with what it holds."""
    found: dict[str, t.Any] = {}
    for directory, names, files in os.walk(kernel.base):
        for name in (*names, *files):
            path = Path(directory) / name
            relative = str(path.relative_to(kernel.base))
            if path.is_symlink():
                found[relative] = path.readlink()
            else:
                found[relative] = path.read_bytes() if path.is_file() else None
    found.pop("run", None)
    found.pop("run/virtfleet-passthrough.lock", None)
    return found


def table(kernel: FakeKernel) -> str:
    return (kernel.base / TABLE_PATH.lstrip("/")).read_text()


def statuses(result: Result) -> dict[str, str]:
    return {entry["address"]: entry["status"] for entry in result.data["devices"]}


def test_configured_for_the_next_boot(kernel: FakeKernel) -> None:
    result = call(kernel, "1:0.0")
    assert result.changed
    assert statuses(result) == {FIRST: "pending_reboot"}
    assert result.data["reboot_required"]
    assert result.data["kernel_args"] == ["virtfleet_passthrough.generation=1"]
    assert table(kernel) == f"generation 1\n{FIRST} 8086 10d3 8086 0000 -\n"
    assert (kernel.base / INIT_TOP_PATH.lstrip("/")).stat().st_mode & 0o777 == 0o755
    assert not (kernel.base / DRACUT_HOOK_PATH.lstrip("/")).exists()
    assert 'generation}=="1", KERNEL==' in (kernel.base / UDEV_RULE_PATH.lstrip("/")).read_text()
    ledger = Ledger.read(kernel.root)
    assert ledger.generation == 1
    assert ledger.section("devices")[FIRST]["native_driver"] == "e1000e"
    # Nothing moves now.
    assert kernel.writes == []
    assert kernel.driver(FIRST) == "e1000e"


def test_a_second_run_changes_nothing(kernel: FakeKernel) -> None:
    call(kernel, FIRST)
    before = snapshot(kernel)
    result = call(kernel, FIRST)
    assert not result.changed
    assert result.diff == ()
    assert snapshot(kernel) == before


@pytest.mark.parametrize("timing", ["boot", "now", "both"])
def test_check_mode_writes_nothing_and_predicts(kernel: FakeKernel, timing: str) -> None:
    before = snapshot(kernel)
    foretold = call(kernel, FIRST, timing=timing, check=True)
    assert snapshot(kernel) == before
    assert kernel.writes == []
    assert call(kernel, FIRST, timing=timing) == foretold
    bound = snapshot(kernel)
    foretold = call(kernel, FIRST, timing=timing, state="absent", check=True)
    assert snapshot(kernel) == bound
    assert call(kernel, FIRST, timing=timing, state="absent") == foretold


@pytest.mark.parametrize("timing", ["boot", "now", "both"])
def test_absent_leaves_no_trace(kernel: FakeKernel, timing: str) -> None:
    before = snapshot(kernel)
    call(kernel, FIRST, timing=timing)
    assert call(kernel, FIRST, timing=timing, state="absent").changed
    after = snapshot(kernel)
    # Loading vfio-pci is no trace on a disk.
    assert {path: held for path, held in after.items() if "vfio-pci" not in path} == before
    assert not call(kernel, FIRST, timing=timing, state="absent").changed


def test_generation_counts_up_with_the_list(kernel: FakeKernel) -> None:
    call(kernel, FIRST)
    result = call(kernel, TWIN)
    assert result.data["kernel_args"] == ["virtfleet_passthrough.generation=2"]
    assert [line.split()[0] for line in table(kernel).splitlines()] == ["generation", FIRST, TWIN, "generation", FIRST]


def test_exclusive_releases_what_left_the_list(kernel: FakeKernel) -> None:
    call(kernel, FIRST)
    call(kernel, TWIN, exclusive=True)
    assert [line.split()[0] for line in table(kernel).splitlines()] == ["generation", TWIN, "generation", FIRST]
    assert list(Ledger.read(kernel.root).section("devices")) == [TWIN]
    call(kernel, exclusive=True)
    assert not (kernel.base / TABLE_PATH.lstrip("/")).exists()
    assert Ledger.read(kernel.root).section("devices") == {}


def test_after_the_boot_it_is_bound(kernel: FakeKernel) -> None:
    call(kernel, FIRST)
    kernel.boot("root=/dev/vda1 virtfleet_passthrough.generation=1")
    call(kernel, FIRST, timing="now")
    result = call(kernel, FIRST)
    assert not result.changed
    assert statuses(result) == {FIRST: "bound"}
    assert result.data["devices"][0]["native_driver"] == "e1000e"
    assert not result.data["reboot_required"]


def test_a_reboot_that_was_missed_is_not_forgotten(kernel: FakeKernel) -> None:
    call(kernel, FIRST)
    result = call(kernel, FIRST)
    assert not result.changed
    assert result.data["reboot_required"]


def test_now_moves_one_of_two_twins(kernel: FakeKernel) -> None:
    result = call(kernel, FIRST, timing="now")
    assert statuses(result) == {FIRST: "bound"}
    assert not result.data["reboot_required"]
    assert result.data["kernel_args"] == []
    assert (kernel.driver(FIRST), kernel.driver(TWIN)) == ("vfio-pci", "e1000e")
    assert not (kernel.base / TABLE_PATH.lstrip("/")).exists()


def test_released_for_the_next_boot_only_it_waits(kernel: FakeKernel) -> None:
    call(kernel, FIRST, timing="both")
    kernel.boot("virtfleet_passthrough.generation=1")
    result = call(kernel, FIRST, state="absent")
    assert statuses(result) == {FIRST: "pending_reboot"}
    assert result.data["reboot_required"]
    assert kernel.driver(FIRST) == "vfio-pci"
    # Later it can still be given back at once.
    assert call(kernel, FIRST, state="absent", timing="now").changed
    assert kernel.driver(FIRST) == "e1000e"


def test_what_somebody_else_gave_to_vfio_pci_is_not_ours_to_take_back(kernel: FakeKernel) -> None:
    kernel.attribute(f"/sys/bus/pci/devices/{FIRST}/driver_override", "vfio-pci")
    kernel.attribute("/sys/bus/pci/drivers/e1000e/unbind", FIRST)
    kernel.load("vfio-pci")
    assert not call(kernel, FIRST, state="absent", timing="both").changed
    assert kernel.driver(FIRST) == "vfio-pci"


REFUSED: list[tuple[t.Any, dict[str, t.Any], str]] = [
    ("0000:07:00.0", {}, "there is no device at 0000:07:00.0"),
    (PORT, {"allow": ["configured_nic"]}, "is a bridge"),
    ({"address": FIRST, "device_id": "100e"}, {}, "is 8086:10d3 .* now, expected device_id 100e"),
    ({"address": FIRST, "subsystem_vendor_id": "1af4"}, {}, "expected subsystem_vendor_id 1af4"),
    ({"address": FIRST, "serial": "a0369fffff123456"}, {}, "expected serial"),
]


@pytest.mark.parametrize(("device", "params", "reason"), REFUSED)
@pytest.mark.parametrize("timing", ["boot", "now", "both"])
def test_refused_before_the_first_write(
    kernel: FakeKernel, device: t.Any, params: dict[str, t.Any], reason: str, timing: str
) -> None:
    before = snapshot(kernel)
    with pytest.raises(RefusedError, match=reason):
        call(kernel, TWIN, device, timing=timing, **params)
    assert snapshot(kernel) == before


def test_identity_may_be_written_in_any_notation(kernel: FakeKernel) -> None:
    assert call(kernel, {"address": FIRST, "vendor_id": "0x8086", "device_id": "10D3"}).changed


@pytest.mark.parametrize("digits", ["10d", "10d3f", "e1000e", ""])
def test_a_malformed_id_is_no_identity(kernel: FakeKernel, digits: str) -> None:
    with pytest.raises(InputError, match="expected four hexadecimal digits"):
        call(kernel, {"address": FIRST, "device_id": digits})


def test_another_card_at_a_configured_address_is_not_taken_over(kernel: FakeKernel) -> None:
    call(kernel, FIRST)
    uevent = kernel.base / f"sys/bus/pci/devices/{FIRST}/uevent"
    uevent.write_text(uevent.read_text().replace("10D3", "100E"))
    with pytest.raises(RefusedError, match=r"is 8086:100e .* now, it was given away as 8086:10d3") as caught:
        call(kernel, FIRST)
    assert caught.value.allow == "changed_identity"
    assert call(kernel, {"address": FIRST, "allow": ["changed_identity"]}).changed
    assert "100e" in table(kernel)


def test_inputs_that_cannot_be_meant(kernel: FakeKernel) -> None:
    with pytest.raises(InputError, match="twice"):
        call(kernel, FIRST, "1:0.0")
    with pytest.raises(InputError, match="devices is empty"):
        call(kernel)
    with pytest.raises(InputError, match="exclusive"):
        call(kernel, FIRST, state="absent", exclusive=True)


def test_a_display_moves_at_boot_or_by_consent(kernel: FakeKernel) -> None:
    kernel.device("0000:03:00.0", "nouveau", class_code="030000", group=3)
    kernel.device("0000:04:00.0", "i915", class_code="030000", group=4)
    with pytest.raises(RefusedError, match="use timing=boot") as caught:
        call(kernel, "0000:03:00.0", timing="now")
    assert caught.value.allow == "runtime_gpu"
    assert call(kernel, "0000:03:00.0").changed
    assert call(kernel, {"address": "0000:03:00.0", "allow": ["runtime_gpu"]}, timing="now").changed


def test_a_kernel_without_vfio_pci(tmp_path: Path) -> None:
    kernel = host(tmp_path, vfio="missing")
    with pytest.raises(RefusedError, match=f"kernel {RELEASE} has no driver vfio-pci"):
        call(kernel, FIRST)


def test_a_host_without_an_initramfs_generator(kernel: FakeKernel) -> None:
    (kernel.base / "usr/sbin/mkinitramfs").unlink()
    with pytest.raises(HostStateError, match=r"Looked for: initramfs-tools \(/usr/sbin/mkinitramfs\), dracut"):
        call(kernel, FIRST)
    assert call(kernel, FIRST, timing="now").changed


def test_both_generators_get_their_files(kernel: FakeKernel) -> None:
    kernel.write("/usr/bin/dracut", "")
    call(kernel, FIRST)
    assert (kernel.base / DRACUT_HOOK_PATH.lstrip("/")).exists()
    assert (kernel.base / INIT_TOP_PATH.lstrip("/")).exists()


def test_a_mate_in_the_group_blocks_until_it_goes_too(kernel: FakeKernel) -> None:
    kernel.device("0000:01:00.1", "snd_hda_intel", class_code="040300", group=1)
    with pytest.raises(RefusedError, match=r"not viable. Select 0000:01:00\.1 too"):
        call(kernel, FIRST)
    assert call(kernel, FIRST, "0000:01:00.1").changed


def test_a_file_of_somebody_else_is_not_overwritten(kernel: FakeKernel) -> None:
    kernel.write(INIT_TOP_PATH, "mine\n")
    before = snapshot(kernel)
    with pytest.raises(RefusedError, match="was not written by virtfleet"):
        call(kernel, FIRST)
    assert snapshot(kernel) == before


def test_a_failed_move_writes_nothing_for_the_next_boot(kernel: FakeKernel) -> None:
    kernel.fail["e1000e/unbind"] = 16
    with pytest.raises(HostStateError):
        call(kernel, FIRST, timing="both")
    assert not (kernel.base / TABLE_PATH.lstrip("/")).exists()
    assert Ledger.read(kernel.root).section("kernel_args") == {}
    assert kernel.driver(FIRST) == "e1000e"


def read(kernel: FakeKernel, method: str) -> HostState:
    """The host as the plan reads it, with a boot loader that has taken what the ledger names."""
    ledger = Ledger.read(kernel.root)
    arguments = ["ro", *ledger.section("kernel_args").get("vfio", [])]
    running = (kernel.root.read_text("/proc/cmdline") or "").split()
    entry = {"kernel": RELEASE, "title": "Debian", "args": arguments, "default": True, "rescue": False, "managed": True}
    return HostState(
        kernel_release=RELEASE,
        cpu_vendor="GenuineIntel",
        boot_id=kernel.root.read_word("/proc/sys/kernel/random/boot_id") or "",
        devices=read_devices(kernel.root, ledger),
        iommu=dict(IOMMU_ON),
        boot={
            "running": running,
            "next_boot": arguments,
            "entries": [entry],
            "bootloader": "grub",
            "reason": None,
            "intact": True,
            "obstacle": None,
        },
        dependencies=(),
        ledger=ledger,
        facts={"vfio": read_state(kernel.root, kernel.run, ledger, {"devices": [], "method": method})},
    )


def judged(kernel: FakeKernel, *addresses: str, method: str = "auto") -> Verdict:
    state = read(kernel, method)
    chosen = tuple(device for device in state.devices if str(device.address) in addresses)
    entries = [{"name": "nic", "match": {}}] if addresses else []
    return decide({"devices": entries, "method": method}, state, {"nic": chosen} if addresses else {})


@pytest.mark.parametrize("addresses", [(FIRST,), (FIRST, TWIN)])
def test_plan_and_writer_agree(kernel: FakeKernel, addresses: tuple[str, ...]) -> None:
    """What the plan foretells the module does, and the plan has nothing to add; the same on the way back."""
    verdict = judged(kernel, *addresses)
    assert verdict.status == "drift"
    result = call(kernel, *verdict.apply["devices"], exclusive=True)
    assert result.changed
    assert result.data["kernel_args"] == verdict.apply["kernel_args"]
    assert result.data["reboot_required"] == verdict.reboot_required
    assert judged(kernel, *addresses).status == "pending_reboot"
    call(kernel, *verdict.apply["devices"], timing="now")
    kernel.boot(f"ro {verdict.apply['kernel_args'][0]}")
    assert judged(kernel, *addresses).status == "in_sync"
    assert not call(kernel, *verdict.apply["devices"], exclusive=True).changed
    assert judged(kernel).status == "drift"
    assert call(kernel, exclusive=True).changed
    assert judged(kernel).status == "pending_reboot"
    kernel.boot("ro")
    assert judged(kernel).status == "in_sync"


def test_moved_at_once_the_boot_that_it_is_configured_for_is_still_to_come(kernel: FakeKernel) -> None:
    result = call(kernel, FIRST, timing="both")
    assert statuses(result) == {FIRST: "bound"}
    assert result.data["reboot_required"]


@pytest.mark.parametrize("timing", ["boot", "both"])
def test_a_boot_loader_that_cannot_take_the_argument_stops_before_the_first_write(
    kernel: FakeKernel, timing: str
) -> None:
    def refuse(
        _root: Root, _run: Runner, _ledger: Ledger, owner: str, args: t.Sequence[str], check_mode: bool
    ) -> ArgumentsChange:
        raise RefusedError(f"{owner} cannot have {args}, check mode or not: {check_mode}")

    before = snapshot(kernel)
    with pytest.raises(RefusedError, match="vfio cannot have"):
        call(kernel, FIRST, timing=timing, set_args=refuse)
    assert snapshot(kernel) == before
    assert kernel.writes == []


def test_what_somebody_else_holds_waits_for_no_boot(kernel: FakeKernel) -> None:
    call(kernel, TWIN)
    kernel.boot("ro virtfleet_passthrough.generation=1")
    call(kernel, TWIN, timing="now")
    kernel.attribute(f"/sys/bus/pci/devices/{FIRST}/driver_override", "vfio-pci")
    kernel.attribute("/sys/bus/pci/drivers/e1000e/unbind", FIRST)
    kernel.attribute("/sys/bus/pci/drivers_probe", FIRST)
    assert kernel.driver(FIRST) == "vfio-pci"
    for timing in ("boot", "both"):
        result = call(kernel, FIRST, state="absent", timing=timing)
        assert (result.changed, result.data["reboot_required"]) == (False, False)
        assert statuses(result) == {FIRST: "not_configured"}
    assert kernel.driver(FIRST) == "vfio-pci"


def test_a_number_that_still_runs_is_not_given_out_again(kernel: FakeKernel) -> None:
    kernel.boot("ro virtfleet_passthrough.generation=5")
    assert judged(kernel, FIRST).apply["kernel_args"] == ["virtfleet_passthrough.generation=6"]
    assert call(kernel, FIRST).data["kernel_args"] == ["virtfleet_passthrough.generation=6"]


@pytest.mark.parametrize("where", ["device", "all"])
def test_a_key_that_permits_nothing_is_named(kernel: FakeKernel, where: str) -> None:
    keys = ["management-nic"]
    device = {"address": FIRST, "allow": keys} if where == "device" else FIRST
    with pytest.raises(InputError, match="no key 'management-nic': expected any of bmc, "):
        call(kernel, device, allow=keys if where == "all" else [])


def test_the_boot_loader_that_is_named_is_the_one_that_is_read(kernel: FakeKernel) -> None:
    with pytest.raises(InputError, match="bootloader=extlinux, but there is no sign of it"):
        call(kernel, FIRST, bootloader="extlinux")


def host_of_models(base: Path, **options: str) -> FakeKernel:
    """Two cards of different models, so that ids tell them apart."""
    kernel = FakeKernel(base, **options)
    kernel.device(PORT, "pcieport", ids="8086:0151", class_code="060400", bridge=True, group=9)
    kernel.device(FIRST, group=1)
    kernel.device(TWIN, "igb", ids="8086:1533", group=2)
    kernel.write("/usr/sbin/mkinitramfs", "")
    kernel.write("/usr/sbin/driverctl", "")
    kernel.write("/usr/lib/udev/rules.d/05-driverctl.rules", "")
    kernel.write(f"/boot/vmlinuz-{RELEASE}", "")
    kernel.write("/proc/sys/kernel/random/boot_id", "first\n")
    for directory in ("var/lib", "etc/modprobe.d"):
        (base / directory).mkdir(parents=True)
    return kernel


@pytest.fixture
def models(tmp_path: Path) -> FakeKernel:
    return host_of_models(tmp_path)


# By method: the files beside those of the initramfs generator.
FILES = {
    "override": {SCRIPT_PATH, TABLE_PATH, UDEV_RULE_PATH, HOOK_PATH, INIT_TOP_PATH},
    "ids": {MODPROBE_PATH, HOOK_PATH, INIT_TOP_PATH},
    "driverctl": {f"/etc/driverctl.d/pci-{FIRST}"},
}


def owned(kernel: FakeKernel) -> set[str]:
    files = set(Ledger.read(kernel.root).section("files"))
    assert all(kernel.root.exists(path) for path in files)
    return files


def test_ids_in_modprobe_d(models: FakeKernel) -> None:
    result = call(models, FIRST, method="ids")
    assert statuses(result) == {FIRST: "pending_reboot"}
    assert (result.data["kernel_args"], result.data["reboot_required"]) == ([], True)
    text = (models.root.read_text(MODPROBE_PATH) or "").splitlines()[1:]
    assert text == ["options vfio-pci ids=8086:10d3", "softdep e1000e pre: vfio-pci"]
    assert "modprobe -q vfio-pci" in (models.root.read_text(INIT_TOP_PATH) or "")
    assert models.writes == []


def test_ids_on_the_command_line_of_a_kernel_that_has_vfio_pci_built_in(tmp_path: Path) -> None:
    kernel = host_of_models(tmp_path, vfio="builtin")
    # No image is needed, and so no generator.
    (tmp_path / "usr/sbin/mkinitramfs").unlink()
    result = call(kernel, TWIN, FIRST, method="ids")
    assert result.data["kernel_args"] == ["vfio-pci.ids=8086:10d3,8086:1533"]
    assert owned(kernel) == set()
    assert call(kernel, FIRST, TWIN, method="ids").changed is False
    result = call(kernel, TWIN, FIRST, state="absent")
    assert (result.changed, result.data["kernel_args"]) == (True, [])


def test_driverctl_gets_its_file_and_nothing_happens_now(models: FakeKernel) -> None:
    result = call(models, FIRST, method="driverctl")
    assert (result.data["kernel_args"], result.data["initramfs_stale"]) == ([], False)
    assert models.root.read_text(f"/etc/driverctl.d/pci-{FIRST}") == "vfio-pci\n"
    assert (models.writes, models.commands) == ([], [])


@pytest.mark.parametrize("first", FILES)
@pytest.mark.parametrize("second", FILES)
def test_another_method_takes_the_files_of_the_first_away(models: FakeKernel, first: str, second: str) -> None:
    before = snapshot(models)
    call(models, FIRST, method=first)
    assert owned(models) == FILES[first]
    foretold = call(models, FIRST, method=second, check=True)
    result = call(models, FIRST, method=second)
    assert result == foretold
    assert result.changed == (first != second)
    assert owned(models) == FILES[second]
    assert not call(models, FIRST, method=second).changed
    # Given back without a word about the method.
    assert call(models, FIRST, state="absent").changed
    assert snapshot(models) == before


@pytest.mark.parametrize("method", FILES)
def test_all_devices_of_a_host_have_one_method(models: FakeKernel, method: str) -> None:
    call(models, TWIN, method="ids")
    result = call(models, FIRST, method=method)
    assert statuses(result) == {FIRST: "pending_reboot"}
    boots = {address: record.get("boot") for address, record in Ledger.read(models.root).section("devices").items()}
    expected = None if method == "override" else {"method": method, "boot_id": "first"}
    assert boots == {FIRST: expected, TWIN: expected}


@pytest.mark.parametrize("method", FILES)
def test_absent_keeps_the_method_of_the_others(models: FakeKernel, method: str) -> None:
    call(models, FIRST, TWIN, method=method)
    call(models, TWIN, state="absent")
    assert owned(models) == FILES[method]
    assert not call(models, FIRST, method=method).changed


def test_ids_that_another_card_has_are_refused(kernel: FakeKernel) -> None:
    before = snapshot(kernel)
    with pytest.raises(RefusedError, match=f"{TWIN} has the ids of {FIRST} .8086:10d3., so vfio-pci would take it too"):
        call(kernel, FIRST, method="ids")
    assert snapshot(kernel) == before


def test_one_of_two_held_twins_cannot_be_given_back_by_ids(models: FakeKernel) -> None:
    models.device("0000:03:00.0", group=3)
    call(models, FIRST, "0000:03:00.0", method="ids")
    before = snapshot(models)
    with pytest.raises(RefusedError, match=f"{FIRST} has the ids of 0000:03:00.0"):
        call(models, FIRST, state="absent")
    assert snapshot(models) == before
    assert call(models, FIRST, "0000:03:00.0", state="absent").changed


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        ("/etc/modprobe.d/vfio.conf", "options vfio-pci ids=10de:1\n", "vfio.conf has 'ids=10de:1' for vfio-pci"),
        ("/proc/cmdline", "ro vfio-pci.ids=10de:2\n", "the kernel command line has 'vfio-pci.ids=10de:2'"),
    ],
)
def test_a_second_list_of_ids_would_win(models: FakeKernel, path: str, text: str, reason: str) -> None:
    models.write(path, text)
    with pytest.raises(RefusedError, match=reason):
        call(models, FIRST, method="ids")
    assert call(models, FIRST).changed


def test_driverctl_that_is_not_there(models: FakeKernel) -> None:
    (models.base / "usr/lib/udev/rules.d/05-driverctl.rules").unlink()
    with pytest.raises(RefusedError, match="install its package, or use method=override"):
        call(models, FIRST, method="driverctl")


def test_driverctl_takes_a_display_from_its_driver_only_by_consent(models: FakeKernel) -> None:
    models.device("0000:03:00.0", "amdgpu", ids="1002:73bf", class_code="030000", group=3)
    models.device("0000:04:00.0", "i915", ids="8086:4680", class_code="030000", group=4)
    with pytest.raises(RefusedError, match="in every boot, which often fails") as caught:
        call(models, "0000:03:00.0", method="driverctl")
    assert caught.value.allow == "runtime_gpu"
    assert call(models, {"address": "0000:03:00.0", "allow": ["runtime_gpu"]}, method="driverctl").changed


def test_what_speaks_against_a_method_keeps_nobody_from_giving_devices_back(models: FakeKernel) -> None:
    models.device("0000:03:00.0", "amdgpu", ids="1002:73bf", class_code="030000", group=3)
    models.device("0000:04:00.0", "i915", ids="8086:4680", class_code="030000", group=4)
    display = {"address": "0000:03:00.0", "allow": ["runtime_gpu"]}
    call(models, FIRST, display, method="driverctl")
    (models.base / "usr/sbin/driverctl").unlink()
    assert call(models, "0000:03:00.0", state="absent").changed
    assert owned(models) == FILES["driverctl"]
    assert call(models, FIRST, state="absent").changed
    call(models, FIRST, TWIN, method="ids")
    models.write("/etc/modprobe.d/vfio.conf", "options vfio-pci ids=10de:1\n")
    assert call(models, FIRST, state="absent").changed


def test_a_file_that_driverctl_wrote_for_somebody_else_stays(models: FakeKernel) -> None:
    models.write(f"/etc/driverctl.d/pci-{FIRST}", "uio_pci_generic\n")
    models.write(f"/etc/driverctl.d/pci-{TWIN}", "uio_pci_generic\n")
    before = snapshot(models)
    with pytest.raises(RefusedError, match="was not written by virtfleet"):
        call(models, FIRST, method="driverctl")
    assert snapshot(models) == before
    assert judged(models, method="driverctl").status == "in_sync"


def test_given_back_now_past_the_ids(models: FakeKernel) -> None:
    call(models, FIRST, method="ids")
    models.ids.add("8086:10d3")
    models.attribute("/sys/bus/pci/drivers/e1000e/unbind", FIRST)
    models.load("vfio-pci")
    assert statuses(call(models, FIRST, method="ids")) == {FIRST: "bound"}
    result = call(models, FIRST, state="absent", timing="both")
    assert (statuses(result), result.data["reboot_required"]) == ({FIRST: "not_configured"}, False)
    assert (models.driver(FIRST), models.override(FIRST)) == ("e1000e", None)


@pytest.mark.parametrize("method", FILES)
def test_plan_and_writer_agree_on_every_method(models: FakeKernel, method: str) -> None:
    verdict = judged(models, FIRST, method=method)
    assert (verdict.status, verdict.apply["method"]) == ("drift", method)
    paths = {change.setting.partition(" ")[2] for change in verdict.changes if change.setting.startswith("file ")}
    result = call(models, *verdict.apply["devices"], exclusive=True, method=verdict.apply["method"])
    assert owned(models) == paths == FILES[method]
    assert result.data["kernel_args"] == verdict.apply["kernel_args"]
    assert judged(models, FIRST, method=method).status == "pending_reboot"
    other = next(name for name in FILES if name != method)
    change = judged(models, FIRST, method=other).changes[0]
    assert (change.setting, change.before, change.after) == ("method", method, other)
    # A boot that did not do it is not asked for again.
    models.write("/proc/sys/kernel/random/boot_id", "second\n")
    models.boot(" ".join(["ro", *verdict.apply["kernel_args"]]))
    missed = judged(models, FIRST, method=method)
    assert missed.status == "refused"
    assert ("Use vfio_method: override" in missed.refusals[0].reason) == (method != "override")
    call(models, *verdict.apply["devices"], timing="now")
    assert judged(models, FIRST, method=method).status == "in_sync"
    release = judged(models, method=method)
    assert release.changes[0].setting == f"release {FIRST}"
    assert call(models, exclusive=True, method=method).changed
    assert owned(models) == set()


@pytest.mark.parametrize("method", FILES)
@pytest.mark.parametrize("named", [True, False])
def test_what_was_given_back_for_the_next_boot_is_not_forgotten(models: FakeKernel, method: str, named: bool) -> None:
    """Lesson 6: the run after the one that changed something says the same."""
    release: dict[str, t.Any] = {"state": "absent"} if named else {"exclusive": True}
    devices = (FIRST,) if named else ()
    arguments = call(models, FIRST, method=method, timing="both").data["kernel_args"]
    models.boot(" ".join(["ro", *arguments]))
    foretold = call(models, *devices, method=method, check=True, **release)
    assert not (models.base / TAKEN_BACK_PATH.lstrip("/")).exists()
    assert call(models, *devices, method=method, **release) == foretold
    assert foretold.data["reboot_required"]
    again = call(models, *devices, method=method, **release)
    assert (again.changed, again.data["reboot_required"]) == (False, True)
    assert judged(models, method=method).status == "pending_reboot"
    # At once is still possible, and then nothing waits.
    noted = (models.base / TAKEN_BACK_PATH.lstrip("/")).read_text()
    assert call(models, *devices, method=method, timing="now", **release).changed
    assert models.driver(FIRST) == "e1000e"
    assert not (models.base / TAKEN_BACK_PATH.lstrip("/")).exists()
    # A /run of another boot tells nothing.
    models.write(TAKEN_BACK_PATH, noted)
    models.write("/proc/sys/kernel/random/boot_id", "second\n")
    assert read_state(models.root, models.run, Ledger.read(models.root), {})["taken_back"] == []


def test_a_network_interface_is_kept_for_its_return(kernel: FakeKernel) -> None:
    kernel.interface("eth1", (kernel.base / f"sys/bus/pci/devices/{FIRST}").resolve())
    had = {"ifname": "eth1", "mtu": 9000, "flags": ["UP"], "addr_info": [{"local": "192.0.2.5", "prefixlen": 24}]}
    back = {"ifname": "eth1", "mtu": 9000, "flags": ["UP"], "addr_info": []}
    told: list[tuple[str, ...]] = []
    modprobe = kernel.run

    def run(argv: t.Sequence[str], cwd: str | None = None) -> CommandResult:
        if argv[0] != "/sbin/ip":
            return modprobe(argv, cwd)
        told.append(tuple(argv[1:]))
        shown = back if kernel.driver(FIRST) == "e1000e" and "network" in str(records) else had
        return CommandResult(tuple(argv), 0, json.dumps([shown]), "")

    kernel.run = run  # type: ignore[method-assign]  # the programs of this one host
    records: dict[str, t.Any] = {}
    foretold = call(kernel, FIRST, timing="now", check=True)
    assert call(kernel, FIRST, timing="now") == foretold
    records = Ledger.read(kernel.root).section("devices")
    assert records[FIRST]["network"] == [
        {"name": "eth1", "mtu": 9000, "up": True, "master": None, "addresses": ["192.0.2.5/24"]}
    ]
    assert not call(kernel, FIRST, timing="now").changed
    told.clear()
    result = call(kernel, FIRST, state="absent", timing="now")
    assert ("address", "add", "192.0.2.5/24", "dev", "eth1") in told
    # This host does not do it, which is said.
    assert result.warnings == (f"eth1 of {FIRST} is back without address 192.0.2.5/24: set that by hand",)
    assert Ledger.read(kernel.root).section("devices") == {}


VARIANT = "mlx5_vfio_pci"


def move(kernel: FakeKernel, address: str, driver: str) -> None:
    """What somebody else does to a device, such as libvirt when a guest starts."""
    kernel.load(driver)
    kernel.attribute(f"/sys/bus/pci/devices/{address}/driver_override", driver)
    kernel.attribute(f"/sys/bus/pci/drivers/{kernel.driver(address)}/unbind", address)
    kernel.attribute("/sys/bus/pci/drivers_probe", address)
    assert kernel.driver(address) == driver


def guest_with_variant(kernel: FakeKernel, address: str) -> None:
    (kernel.base / "sys/module/vfio_pci_core/holders" / VARIANT).mkdir(parents=True)
    move(kernel, address, VARIANT)


def test_a_device_on_a_variant_of_vfio_pci_is_bound(kernel: FakeKernel) -> None:
    call(kernel, FIRST, timing="both")
    guest_with_variant(kernel, FIRST)
    kernel.writes.clear()
    again = call(kernel, FIRST, timing="both")
    assert (again.changed, statuses(again), kernel.writes) == (False, {FIRST: "bound"}, [])
    assert again.data["devices"][0]["driver"] == VARIANT


def test_a_device_on_a_variant_goes_back_to_its_own_driver(kernel: FakeKernel) -> None:
    call(kernel, FIRST, timing="both")
    guest_with_variant(kernel, FIRST)
    call(kernel, FIRST, state="absent", timing="both")
    assert kernel.driver(FIRST) == "e1000e"


def test_another_driver_of_a_similar_name_is_no_variant(kernel: FakeKernel) -> None:
    call(kernel, FIRST)
    move(kernel, FIRST, "not_vfio_pci")
    assert statuses(call(kernel, FIRST)) == {FIRST: "pending_reboot"}


def test_the_command_line_can_be_left_to_a_boot_on_trial(kernel: FakeKernel) -> None:
    call(kernel, FIRST)
    result = call(kernel, FIRST, TWIN, trial_first=True)
    assert result.changed
    assert result.data["kernel_args"] == ["virtfleet_passthrough.generation=2"]
    assert table(kernel).startswith("generation 2\n")
    # The default entry goes on with what it was made for.
    ledger = Ledger.read(kernel.root)
    assert ledger.section("kernel_args") == {"vfio": ["virtfleet_passthrough.generation=1"]}
    assert not call(kernel, FIRST, TWIN, trial_first=True).changed
    assert call(kernel, FIRST, TWIN).changed


def test_a_line_that_is_left_to_others_is_checked_all_the_same(kernel: FakeKernel) -> None:
    def refuse(*_args: t.Any, **_more: t.Any) -> ArgumentsChange:
        raise RefusedError("the line would be too long")

    before = snapshot(kernel)
    with pytest.raises(RefusedError, match="too long"):
        call(kernel, FIRST, set_args=refuse, trial_first=True)
    assert snapshot(kernel) == before


def test_the_devices_of_the_default_entry_stay_in_the_table_through_every_trial(kernel: FakeKernel) -> None:
    call(kernel, FIRST)
    call(kernel, TWIN, exclusive=True, trial_first=True)
    # That trial was not kept, and the next one wants something else.
    call(kernel, FIRST, TWIN, exclusive=True, trial_first=True)
    written = Table.parse(table(kernel))
    assert (written.generation, len(written.entries)) == (3, 2)
    assert written.earlier == Table(1, {Address.parse(FIRST): written.entries[Address.parse(FIRST)]})
    kept = table(kernel)
    # It is committed: the table stays, or every image would have to be built anew.
    call(kernel, FIRST, TWIN, exclusive=True)
    assert table(kernel) == kept
    assert not call(kernel, FIRST, TWIN, exclusive=True).changed


def test_a_list_that_was_tried_and_not_kept_is_taken_back_without_a_reboot(kernel: FakeKernel) -> None:
    call(kernel, FIRST)
    first = table(kernel)
    kernel.boot("root=/dev/vda1 virtfleet_passthrough.generation=1")
    call(kernel, FIRST, timing="now")
    call(kernel, FIRST, TWIN, exclusive=True, trial_first=True)
    result = call(kernel, FIRST, exclusive=True)
    assert result.changed
    assert table(kernel) == first
    assert (result.data["kernel_args"], result.data["reboot_required"]) == (
        ["virtfleet_passthrough.generation=1"],
        False,
    )
    # The number that was tried is not given to another list.
    call(kernel, TWIN, exclusive=True)
    assert table(kernel).startswith("generation 3\n")


def waiting(kernel: FakeKernel) -> set[str]:
    return set(_held_back.read_held(Ledger.read(kernel.root)))


def settings(verdict: Verdict) -> list[str]:
    return [change.setting for change in verdict.changes]


def kept(kernel: FakeKernel) -> None:
    """The end of a trial, whose image has bound the device."""
    with locked(kernel.root) as ledger:
        _held_back.keep(kernel.root, ledger, list(_held_back.read_held(ledger)))


def test_ids_wait_for_the_end_of_a_trial_and_all_else_is_there(models: FakeKernel) -> None:
    before = snapshot(models)
    foretold = call(models, FIRST, method="ids", trial_first=True, check=True)
    assert snapshot(models) == before
    result = call(models, FIRST, method="ids", trial_first=True)
    assert (result.changed, result.diff) == (True, foretold.diff)
    assert (owned(models), waiting(models)) == ({HOOK_PATH, INIT_TOP_PATH}, {MODPROBE_PATH})
    assert not models.root.exists(MODPROBE_PATH)
    assert result.data["initramfs_stale"]
    assert not call(models, FIRST, method="ids", trial_first=True).changed
    # The other methods ask for the generation, or cannot wait.
    assert call(models, FIRST, method="override", trial_first=True).changed
    assert (owned(models), waiting(models)) == (FILES["override"], set())
    call(models, FIRST, method="driverctl", trial_first=True)
    assert (owned(models), waiting(models)) == (FILES["driverctl"], set())


def test_ids_that_wait_are_drift_until_they_are_kept(models: FakeKernel) -> None:
    first = judged(models, FIRST, method="ids")
    assert (first.status, first.reboot_required, first.outlasts) == ("drift", True, ())
    call(models, FIRST, method="ids", trial_first=True)
    again = judged(models, FIRST, method="ids")
    assert settings(again) == [f"file {MODPROBE_PATH}"]
    # Or the next run would order no reboot, and so no trial.
    assert (again.status, again.reboot_required, again.outlasts) == ("drift", True, ())
    kept(models)
    assert not judged(models, FIRST, method="ids").changes
    assert not call(models, FIRST, method="ids").changed


def test_one_more_device_waits_and_one_less_cannot(models: FakeKernel) -> None:
    call(models, FIRST, method="ids")
    assert judged(models, FIRST, TWIN, method="ids").outlasts == ()
    call(models, FIRST, TWIN, method="ids", trial_first=True)
    assert waiting(models) == {MODPROBE_PATH}
    assert "ids=8086:10d3\n" in (models.root.read_text(MODPROBE_PATH) or "")
    assert judged(models, FIRST, TWIN, method="ids").reboot_required
    # Back to what is there: nothing waits, and nothing was written.
    verdict = judged(models, FIRST, method="ids")
    assert f"file {MODPROBE_PATH}" in settings(verdict)
    call(models, FIRST, method="ids", exclusive=True, trial_first=True)
    assert waiting(models) == set()
    assert judged(models, FIRST, method="ids").status == "pending_reboot"

    call(models, FIRST, TWIN, method="ids")
    assert judged(models, TWIN, method="ids").outlasts == (MODPROBE_PATH,)
    call(models, TWIN, method="ids", exclusive=True, trial_first=True)
    assert (waiting(models), "ids=8086:1533" in (models.root.read_text(MODPROBE_PATH) or "")) == (set(), True)
    assert judged(models, method="ids").outlasts == (MODPROBE_PATH,)
    assert judged(models, TWIN, method="driverctl").outlasts == (f"/etc/driverctl.d/pci-{TWIN}", MODPROBE_PATH)


@pytest.mark.parametrize("trial_first", [False, True])
def test_devices_that_nobody_wants_any_more_wait_for_nothing(models: FakeKernel, trial_first: bool) -> None:
    before = snapshot(models)
    call(models, FIRST, method="ids", trial_first=True)
    verdict = judged(models, method="ids")
    assert {f"release {FIRST}", f"file {MODPROBE_PATH}"} <= set(settings(verdict))
    call(models, exclusive=True, method="ids", trial_first=trial_first)
    assert snapshot(models) == before


def test_without_a_trial_what_waited_is_written(models: FakeKernel) -> None:
    call(models, FIRST, method="ids", trial_first=True)
    foretold = call(models, FIRST, method="ids", check=True)
    result = call(models, FIRST, method="ids")
    assert (result.changed, result.diff) == (foretold.changed, foretold.diff) == (True, result.diff)
    assert (owned(models), waiting(models)) == (FILES["ids"], set())


def test_what_waits_for_a_boot_is_none_of_the_running_systems_business(models: FakeKernel) -> None:
    call(models, FIRST, method="ids", trial_first=True)
    call(models, TWIN, timing="now")
    assert waiting(models) == {MODPROBE_PATH}
    assert not models.root.exists(MODPROBE_PATH)


def test_a_file_of_somebody_else_is_refused_before_ids_wait(models: FakeKernel) -> None:
    models.write(MODPROBE_PATH, "options vfio-pci nointxmask=1\n")
    before = snapshot(models)
    with pytest.raises(RefusedError, match="was not written by"):
        call(models, FIRST, method="ids", trial_first=True)
    assert snapshot(models) == before

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    DRIFT,
    IN_SYNC,
    PENDING_REBOOT,
    REFUSED,
    HostState,
    Verdict,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.vfio_options import decide, target_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.options import (
    MODPROBE_PATH,
    MODULES_LOAD_PATH,
    PARAMETERS,
    PATHS,
    RULE_PATH,
    SCRIPT_PATH,
    XORG_PATH,
    Options,
    files,
)
from tests.unit.plugins.planned_host import IOMMU_ON, host_with

GPU = Device(Address.parse("0b:00.0"), Identity("10de", "1e84", "1043", "86a4"), "0300")
GPU_USB = dataclasses.replace(GPU, address=Address.parse("0b:00.2"), class_code="0c03")
HOST_GPU = Device(Address.parse("0a:00.0"), Identity("8086", "56a0", "8086", "1020"), "0300", boot_vga=True)
NIC = Device(Address.parse("01:00.0"), Identity("8086", "10d3", "8086", "0000"), "0200")
AMD = dataclasses.replace(GPU, identity=Identity("1002", "73bf", "1043", "04f0"), reset_methods=("bus",))
KERNELS = ("6.12.48-amd64", "6.1.0-amd64")
ALL_KNOWN = {
    parameter.module: {
        "kind": "module",
        "parameters": [one.name for group in PARAMETERS.values() for one in group if one.module == parameter.module],
    }
    for group in PARAMETERS.values()
    for parameter in group
} | {name: {"kind": "module", "parameters": None} for name in ("i2c_nvidia_gpu", "vendor_reset")}
BARS = {str(GPU.address): {"0": {"size": 256 << 20, "allowed": [8, 13, 14]}}}
BAR = {"resizable_bars": [{"device": "gpu", "bar": 0, "size": "16G"}]}


def facts(**changes: Any) -> dict[str, Any]:
    return {
        "managed": True,
        "wanted": {},
        "files": dict.fromkeys(PATHS),
        "modules": {kernel: dict(ALL_KNOWN) for kernel in KERNELS},
        "running": {},
        "vendor_reset_loaded": False,
        "directives": [],
        "bars": {},
        "bar_messages": {},
        "since_boot": list(PATHS),
        "image_since_boot": False,
        "taken_back": {},
        **changes,
    }


def host(
    *,
    devices: tuple[Device, ...] = (GPU, HOST_GPU, NIC),
    iommu: Mapping[str, Any] | None = None,
    kernel_release: str = KERNELS[0],
    running: str = "ro quiet",
    entries: tuple[str, ...] = ("ro quiet",),
    ledger: Mapping[str, Any] | None = None,
    **changes: Any,
) -> HostState:
    state = host_with(
        {"vfio_options": facts(**changes)},
        kernel_release=kernel_release,
        running=running,
        entries=entries,
        ledger=ledger,
    )
    return dataclasses.replace(state, devices=devices, iommu={**IOMMU_ON, **(iommu or {})})


def after_writing(wanted: Mapping[str, Any], selected: Mapping[str, tuple[Device, ...]], **changes: Any) -> HostState:
    """A host on which everything wanted was written."""
    present = target_files(host(wanted=wanted, **changes), selected)
    records = {path: {"owner": "vfio_options", "written": sha256, "content": ""} for path, sha256 in present.items()}
    files = {**dict.fromkeys(PATHS), **present}
    return host(ledger={"files": records}, files=files, wanted=wanted, **changes)


def with_values(state: HostState, values: Mapping[str, str]) -> HostState:
    """The same host, with modules loaded that run with these values."""
    return dataclasses.replace(state, facts={"vfio_options": {**state.facts["vfio_options"], "running": values}})


def judged(wanted: Mapping[str, Any], state: HostState, *selected: Device) -> Verdict:
    return decide(wanted, state, {"gpu": selected} if selected else {})


def reasons(verdict: Verdict) -> list[str]:
    return [refusal.reason for refusal in verdict.refusals]


def with_modules(**changes: Mapping[str, Any]) -> dict[str, Any]:
    return {kernel: {**ALL_KNOWN, **changes} for kernel in KERNELS}


def test_nothing_wanted_is_in_sync() -> None:
    assert judged({}, host()).status == IN_SYNC
    assert judged({"disable_vga": False, "resizable_bars": []}, host()).status == IN_SYNC


def test_every_switch_has_its_lines() -> None:
    verdict = judged(dict.fromkeys(PARAMETERS, True), host(iommu={"interrupt_remapping": False}))
    (change,) = verdict.changes
    assert change.setting == f"file {MODPROBE_PATH}"
    assert (change.after or "").split("; ") == [
        "options vfio_pci disable_vga=1",
        "options vfio_pci disable_idle_d3=1",
        "options snd_hda_core gpu_bind=0",
        "options snd_hda_codec_hdmi enable_acomp=n",
        "options kvm ignore_msrs=1",
        "options kvm report_ignored_msrs=0",
        "options vfio_iommu_type1 allow_unsafe_interrupts=1",
    ]
    # No module is loaded, so all of them get it without a reboot.
    assert not verdict.reboot_required
    assert verdict.apply["disable_vga"]
    assert verdict.apply["kernel_args"] == []


def test_three_states() -> None:
    wanted = {"disable_vga": True}
    verdict = judged(wanted, host())
    assert verdict.status == DRIFT
    assert judged(wanted, after_writing(wanted, {})).status == IN_SYNC


def test_a_loaded_module_keeps_its_value_until_the_reboot() -> None:
    wanted = {"disable_vga": True}
    written = after_writing(wanted, {})
    assert judged(wanted, with_values(written, {"vfio_pci.disable_vga": "N"})).status == PENDING_REBOOT
    assert judged(wanted, with_values(written, {"vfio_pci.disable_vga": "Y"})).status == IN_SYNC
    # What is not wanted any more still runs, and goes with the reboot.
    verdict = judged({}, with_values(written, {"vfio_pci.disable_vga": "Y"}))
    assert [(change.setting, change.after) for change in verdict.changes] == [(f"file {MODPROBE_PATH}", None)]
    assert verdict.reboot_required
    assert not judged({}, with_values(written, {"vfio_pci.disable_vga": "N"})).reboot_required


def test_an_option_that_no_kernel_knows_is_refused() -> None:
    unknown = with_modules(vfio_pci={"kind": "module", "parameters": ["ids"]})
    (reason,) = reasons(judged({"disable_vga": True}, host(modules=unknown)))
    assert reason.startswith("disable_vga would do nothing: kernel 6.12.48-amd64 has no parameter disable_vga in its ")
    missing = with_modules(kvm={"kind": "missing", "parameters": []})
    (reason,) = reasons(judged({"ignore_msrs": True}, host(modules=missing)))
    assert "has no module kvm" in reason


def test_an_option_that_one_kernel_lacks_is_a_warning() -> None:
    # Debian 12: snd_hda_core has no gpu_bind there.
    modules = with_modules()
    modules["6.1.0-amd64"]["snd_hda_core"] = {"kind": "module", "parameters": []}
    verdict = judged({"audio_unlink": True}, host(modules=modules))
    assert verdict.status == DRIFT
    (warning,) = verdict.warnings
    assert warning.startswith("audio_unlink: kernel 6.1.0-amd64 has no parameter gpu_bind in its module snd_hda_core")


def test_what_could_not_be_checked_is_said() -> None:
    unknown = with_modules(kvm={"kind": "module", "parameters": None})
    assert "modinfo gave no answer" in judged({"ignore_msrs": True}, host(modules=unknown)).warnings[0]
    assert "no kernel with modules" in judged({"ignore_msrs": True}, host(modules={})).warnings[0]


def test_a_built_in_module_is_told_on_the_command_line() -> None:
    builtin = with_modules(vfio_pci={"kind": "builtin", "parameters": ["disable_vga"]})
    verdict = judged({"disable_vga": True}, host(modules=builtin))
    assert verdict.apply["kernel_args"] == ["vfio_pci.disable_vga=1"]
    assert [change.setting for change in verdict.changes] == [
        f"file {MODPROBE_PATH}",
        "kernel arguments of vfio_options",
    ]
    assert verdict.reboot_required


@pytest.mark.parametrize("kind", ["module", "builtin"])
def test_somebody_elses_word_on_the_command_line(kind: str) -> None:
    modules = with_modules(vfio_pci={"kind": kind, "parameters": ["disable_vga"]})
    (reason,) = reasons(judged({"disable_vga": True}, host(modules=modules, entries=("ro vfio-pci.disable_vga=0",))))
    assert "contradicts 'vfio-pci.disable_vga=0'" in reason
    assert judged({"disable_vga": True}, host(entries=("ro vfio-pci.disable_vga=1",))).status == DRIFT


def test_somebody_elses_line_in_modprobe_d() -> None:
    line = {"command": "options", "module": "vfio_pci", "rest": "disable_vga=0", "path": "/etc/modprobe.d/site.conf"}
    (reason,) = reasons(judged({"disable_vga": True}, host(directives=[line])))
    assert reason.startswith(
        "'options vfio_pci disable_vga=1' contradicts 'options vfio_pci disable_vga=0' in /etc/modprobe.d/site.conf"
    )
    assert judged({"disable_vga": True}, host(directives=[{**line, "rest": "disable_vga=y"}])).status == DRIFT
    replaced = {**line, "command": "install", "rest": "/bin/true"}
    assert "replaces the loading of vfio_pci" in judged({"disable_vga": True}, host(directives=[replaced])).warnings[0]


@pytest.mark.parametrize(
    ("remapping", "status", "words"),
    [
        (True, REFUSED, "remaps interrupts, so nothing needs it"),
        (False, DRIFT, "a guest with a device can send any interrupt"),
        (None, DRIFT, "whether it is needed at all shows after the reboot"),
    ],
)
def test_unsafe_interrupts_only_where_nothing_else_works(remapping: bool | None, status: str, words: str) -> None:
    verdict = judged({"unsafe_interrupts": True}, host(iommu={"interrupt_remapping": remapping}))
    assert verdict.status == status
    assert words in " ".join((*reasons(verdict), *verdict.warnings))


def test_vendor_reset() -> None:
    verdict = judged({"vendor_reset": True}, host())
    assert [(change.setting, change.after) for change in verdict.changes] == [
        (f"file {MODULES_LOAD_PATH}", "vendor_reset")
    ]
    wanted = {"vendor_reset": True}
    assert judged(wanted, after_writing(wanted, {})).status == PENDING_REBOOT
    assert judged(wanted, after_writing(wanted, {}, vendor_reset_loaded=True)).status == IN_SYNC


def test_vendor_reset_is_refused_without_its_module_or_beside_a_patch() -> None:
    modules = with_modules()
    modules["6.1.0-amd64"]["vendor_reset"] = {"kind": "missing", "parameters": []}
    (reason,) = reasons(judged({"vendor_reset": True}, host(modules=modules)))
    assert "no module vendor-reset for kernel 6.1.0-amd64" in reason
    (reason,) = reasons(judged({"vendor_reset": True, "kernel_has_amd_reset_patch": True}, host()))
    assert "both together do harm" in reason


def test_vendor_reset_that_the_kernel_does_not_use() -> None:
    verdict = judged({"vendor_reset": True}, host(devices=(AMD,)), AMD)
    assert "0000:0b:00.0 is reset by bus" in verdict.warnings[0]
    used = dataclasses.replace(AMD, reset_methods=("device_specific", "bus"))
    assert judged({"vendor_reset": True}, host(devices=(used,)), used).warnings == ()


def test_amdgpu_beside_an_amd_card_for_guests() -> None:
    held = dataclasses.replace(AMD, driver="vfio-pci")
    other = dataclasses.replace(HOST_GPU, driver="amdgpu")
    assert "ATIF" in judged({}, host(devices=(held, other)), held).warnings[0]
    assert judged({}, host(devices=(held, HOST_GPU)), held).warnings == ()


@pytest.mark.parametrize(
    ("wanted", "devices", "selected", "written"),
    [
        ({}, (GPU, GPU_USB), GPU, True),
        ({}, (GPU,), GPU, False),
        ({}, (GPU, GPU_USB, NIC), NIC, False),
        ({}, (AMD, dataclasses.replace(GPU_USB, identity=AMD.identity)), AMD, False),
        ({"blacklist_i2c_nvidia_gpu": "auto"}, (GPU, GPU_USB), GPU_USB, True),
        ({"blacklist_i2c_nvidia_gpu": False}, (GPU, GPU_USB), GPU, False),
        ({"blacklist_i2c_nvidia_gpu": "true"}, (NIC,), NIC, True),
    ],
)
def test_the_driver_of_usb_c_on_nvidia_cards(
    wanted: dict[str, Any], devices: tuple[Device, ...], selected: Device, written: bool
) -> None:
    verdict = judged(wanted, host(devices=devices), selected)
    assert [change.after for change in verdict.changes] == (["blacklist i2c_nvidia_gpu"] if written else [])


def test_blacklisting_what_is_built_in() -> None:
    builtin = with_modules(i2c_nvidia_gpu={"kind": "builtin", "parameters": None})
    assert "blacklisting does nothing" in judged({"blacklist_i2c_nvidia_gpu": True}, host(modules=builtin)).warnings[0]


def test_a_resizable_bar() -> None:
    verdict = judged(BAR, host(bars=BARS), GPU, NIC)
    assert [change.setting for change in verdict.changes] == [f"file {RULE_PATH}", f"file {SCRIPT_PATH}"]
    assert verdict.reboot_required
    assert verdict.apply["resizable_bars"] == [{"address": "0000:0b:00.0", "bar": 0, "size": "16G"}]
    selected = {"gpu": (GPU, NIC)}
    assert decide(BAR, after_writing(BAR, selected, bars=BARS), selected).status == PENDING_REBOOT
    large = {str(GPU.address): {"0": {"size": 16 << 30, "allowed": [14]}}}
    assert decide(BAR, after_writing(BAR, selected, bars=large), selected).status == IN_SYNC


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bars": BARS, "kernel_release": "6.0.12"}, "kernel 6.0.12 cannot resize BARs"),
        ({}, "no function of 'gpu' has a resizable BAR 0"),
        (
            {"bars": {str(GPU.address): {"0": {"size": 1, "allowed": [6, 7, 8]}}}},
            "BAR 0 of 0000:0b:00.0 cannot have 16G: the device offers 64M, 128M, 256M",
        ),
        (
            {"bars": BARS, "bar_messages": {"0000:0b:00.0 0": "not resized: the driver nouveau holds the device"}},
            "has 256M, and 16G was tried in this boot: not resized: the driver nouveau holds the device. Another boot",
        ),
    ],
)
def test_a_bar_that_will_not_get_its_size(changes: dict[str, Any], reason: str) -> None:
    verdict = judged(BAR, host(**changes), GPU)
    assert reason in reasons(verdict)[0]
    assert verdict.refusals[0].device == "0000:0b:00.0"


def test_a_bar_that_is_named_twice() -> None:
    twice = {"resizable_bars": [*BAR["resizable_bars"], *BAR["resizable_bars"]]}
    assert "twice" in reasons(judged(twice, host(bars=BARS), GPU))[0]


def test_the_hosts_gpu_for_xorg() -> None:
    for wanted in ({"address": "0a:00.0"}, {"match": {"boot_vga": True}}):
        verdict = judged({"xorg_host_gpu": wanted}, host(), GPU)
        assert [change.setting for change in verdict.changes] == [f"file {XORG_PATH}"]
        assert not verdict.reboot_required
        assert verdict.apply["xorg_host_gpu"] == {"address": "0000:0a:00.0", "driver": "modesetting"}


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"address": "0b:00.0"}, "0000:0b:00.0 is for guests"),
        ({"address": "01:00.0"}, "0000:01:00.0 is no display device"),
        ({"match": {"class": "0300"}}, "matches 2 devices"),
        ({"address": "0f:00.0"}, "matches no device"),
    ],
)
def test_what_is_not_the_hosts_gpu(wanted: dict[str, Any], reason: str) -> None:
    assert reason in reasons(judged({"xorg_host_gpu": wanted}, host(), GPU))[0]


def test_files_of_others_in_the_way() -> None:
    wanted = {"disable_vga": True}
    state = host(files={**dict.fromkeys(PATHS), MODPROBE_PATH: digest(b"theirs")})
    assert "was not written by virtfleet.passthrough" in reasons(judged(wanted, state))[0]


def test_the_files_of_an_unmanaged_component_are_those_that_are_there() -> None:
    records = {MODPROBE_PATH: {"owner": "vfio_options", "written": "abc"}}
    state = host(managed=False, ledger={"files": records}, files={**dict.fromkeys(PATHS), MODPROBE_PATH: "abc"})
    assert target_files(state, {}) == {MODPROBE_PATH: "abc"}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"vga": True}, "unknown key vga"),
        ({"disable_vga": "maybe"}, "vfio_disable_vga is 'maybe'"),
        ({"resizable_bars": "gpu"}, "expected a list"),
        ({"resizable_bars": [{"device": "gpu", "bar": 0}]}, "expected bar, device, size"),
        ({"resizable_bars": [{"device": "gpu", "bar": 7, "size": "1G"}]}, "0 to 5"),
        ({"resizable_bars": [{"device": "gpu", "bar": 0, "size": "3G"}]}, "power of two"),
        ({"xorg_host_gpu": {"driver": "modesetting"}}, "expected address or match, and driver"),
        ({"xorg_host_gpu": {"address": "0a:00.0", "driver": 'a"b'}}, "name of an Xorg driver"),
    ],
)
def test_what_cannot_be_meant(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        judged(wanted, host(bars=BARS), GPU)


@pytest.mark.parametrize(
    ("since_boot", "image_since_boot", "status"),
    [([MODPROBE_PATH], False, PENDING_REBOOT), ([], True, PENDING_REBOOT), ([], False, REFUSED)],
)
def test_a_boot_that_did_not_bring_an_option_is_not_repeated(
    since_boot: list[str], image_since_boot: bool, status: str
) -> None:
    wanted = {"ignore_msrs": True}
    state = with_values(
        after_writing(wanted, {}, since_boot=since_boot, image_since_boot=image_since_boot), {"kvm.ignore_msrs": "N"}
    )
    verdict = judged(wanted, state)
    assert (verdict.status, verdict.reboot_required) == (status, status == PENDING_REBOOT)
    if status == REFUSED:
        assert "kvm.ignore_msrs is N instead of 1 although this boot was made with" in reasons(verdict)[0]


def test_vendor_reset_that_a_boot_did_not_load() -> None:
    wanted = {"vendor_reset": True}
    verdict = judged(wanted, after_writing(wanted, {}, since_boot=[]))
    assert (verdict.status, verdict.reboot_required) == (REFUSED, False)
    assert "journalctl -b -u systemd-modules-load" in reasons(verdict)[0]


@pytest.mark.parametrize(
    ("noted", "running", "present", "status"),
    [
        ({"kvm.ignore_msrs": "1"}, {"kvm.ignore_msrs": "Y"}, {}, PENDING_REBOOT),
        ({"kvm.ignore_msrs": "1"}, {"kvm.ignore_msrs": "N"}, {}, IN_SYNC),
        ({"kvm.ignore_msrs": "1"}, {}, {}, IN_SYNC),
        ({MODULES_LOAD_PATH: None}, {}, {"vendor_reset_loaded": True}, PENDING_REBOOT),
        ({MODULES_LOAD_PATH: None}, {}, {}, IN_SYNC),
        ({RULE_PATH: None}, {}, {}, PENDING_REBOOT),
    ],
)
def test_what_was_taken_back_waits_for_a_boot_without_it(
    noted: dict[str, Any], running: dict[str, str], present: dict[str, Any], status: str
) -> None:
    assert judged({}, with_values(host(taken_back=noted, **present), running)).status == status


def test_what_is_wanted_again_waits_for_nothing() -> None:
    wanted = {"ignore_msrs": True}
    state = with_values(after_writing(wanted, {}, taken_back={"kvm.ignore_msrs": "1"}), {"kvm.ignore_msrs": "Y"})
    assert judged(wanted, state).status == IN_SYNC


def options_file(*switches: str) -> tuple[str, str]:
    """Its content as the ledger keeps it, and its digest."""
    (file,) = files(Options(switches=switches))
    return base64.b64encode(file.content).decode(), digest(file.content)


def written(*switches: str) -> dict[str, Any]:
    """The facts and the ledger of a host on which these were written."""
    content, sha256 = options_file(*switches)
    record = {"owner": "vfio_options", "written": sha256, "content": content}
    return {"files": {**dict.fromkeys(PATHS), MODPROBE_PATH: sha256}, "ledger": {"files": {MODPROBE_PATH: record}}}


def held_back(*switches: str) -> dict[str, Any]:
    content, _sha256 = options_file(*switches)
    return {"held_back": {MODPROBE_PATH: {"owner": "vfio_options", "content": content, "mode": 0o644}}}


def test_what_waits_for_a_trial_is_drift_as_if_nothing_had_been_written() -> None:
    first = judged({"disable_vga": True}, host())
    again = judged({"disable_vga": True}, host(ledger=held_back("disable_vga")))
    assert (again.changes, again.outlasts) == (first.changes, ())


def test_what_waits_and_is_not_wanted_any_more_goes() -> None:
    verdict = judged({}, host(ledger=held_back("disable_vga")))
    (change,) = verdict.changes
    assert change.setting == f"file {MODPROBE_PATH}"
    assert (change.before, change.after) == ("what waits for a boot on trial", None)
    assert not verdict.reboot_required
    # What is there is right, and more of it waits.
    there = written("disable_vga")
    there["ledger"].update(held_back("disable_vga", "ignore_msrs"))
    (change,) = judged({"disable_vga": True}, host(**there)).changes
    assert (change.before, change.after) == ("what waits for a boot on trial", "as it is")


@pytest.mark.parametrize(
    ("present", "wanted", "outlasts"),
    [
        ([], ["disable_vga"], False),
        (["disable_vga"], ["disable_vga", "ignore_msrs"], False),
        (["disable_vga", "ignore_msrs"], ["ignore_msrs"], True),
        (["disable_vga"], [], True),
        (["disable_vga"], ["disable_vga"], False),
    ],
)
def test_only_what_takes_an_option_away_counts_at_once(present: list[str], wanted: list[str], outlasts: bool) -> None:
    verdict = judged(dict.fromkeys(wanted, True), host(**(written(*present) if present else {})))
    assert verdict.outlasts == ((MODPROBE_PATH,) if outlasts else ())

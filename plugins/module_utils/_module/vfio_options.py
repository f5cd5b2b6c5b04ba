# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What ``vfio_options`` does."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _held_back, _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.writer import set_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    InputError,
    RefusedError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.groups import read_iommu
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._modprobe import same_value
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.modalias import running_release
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from ansible_collections.virtfleet.passthrough.plugins.module_utils._this_boot import note_taken_back
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio import resizable_bar
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.options import (
    OWNER,
    PARAMETERS,
    Options,
    files,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.options_guard import builtin_arguments, judge
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.options_state import (
    read_state,
    still_in_effect,
    what_stays,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.resizable_bar import WantedBar
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.runtime import (
    AttributeWriter,
    attribute_writer,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.xorg import HostGpu, parse_driver

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def change(
    module: AnsibleModule, run: Runner, root: Root | None = None, write: AttributeWriter | None = None
) -> Result:
    """Body of ``vfio_options``; what comes after ``run`` is there for tests."""
    root = root or Root()
    bootloader: str = module.params["bootloader"]
    trial_first: bool = module.params["trial_first"]
    params: t.Mapping[str, t.Any] = {} if module.params["state"] == "absent" else module.params
    with locked(root, module.check_mode) as ledger:
        devices = read_devices(root, ledger)
        options = _options(params, devices)
        facts = read_state(root, run, ledger, {name: value for name, value in params.items() if value})
        remapping = read_iommu(root, devices, [])["interrupt_remapping"]
        patched = bool(params.get("kernel_has_amd_reset_patch"))
        findings = judge(options, facts, running_release(root), remapping, patched)
        if findings.refusals:
            raise RefusedError(". ".join(reason for _device, reason in findings.refusals), findings.refusals[0][0])
        resized = _bars_to_resize(root, options) if params.get("resize_now") else ()
        wanted = files(options)
        # Everything that can refuse does so before the first write.
        changes = _held_back.preview(root, ledger, OWNER, wanted, trial_first)
        arguments = builtin_arguments(options, facts["modules"])
        line = None
        if arguments or ledger.section("kernel_args").get(OWNER):
            foretold = set_arguments(root, run, ledger, OWNER, arguments, True, bootloader)
            line = None if trial_first else foretold
        known = {*ledger.section("files"), *_held_back.read_held(ledger)}
        changed = (
            any(one.changed for one in changes)
            or len(changes) > len(wanted)
            or any(file.path not in known for file in wanted)
            or bool(resized)
            or (line is not None and line.changed)
        )
        stays = what_stays(root, ledger, options)
        notes = [*findings.warnings, *(one.note for one in changes if one.note)]
        if changed and not module.check_mode:
            _resize(root, write or attribute_writer(root), resized)
            # First, because what is released tells nothing any more.
            note_taken_back(root, OWNER, stays)
            _held_back.write(root, ledger, OWNER, wanted, trial_first)
            if line is not None:
                notes += set_arguments(root, run, ledger, OWNER, arguments, False, bootloader).warnings
    diff = [
        *(_owned.diff_entry(one) for one in changes if one.changed),
        *(line.diff if line is not None else ()),
        *(_bar_diff(region, before) for region, before in resized),
    ]
    data = {
        "files": [file.path for file in wanted],
        "parameters": _parameters(options, facts),
        "kernel_args": arguments,
        "reboot_required": _reboot_required(options, facts, resized)
        or bool(still_in_effect({**facts, "taken_back": stays}, options)),
    }
    return Result(changed, data, tuple(diff), tuple(notes))


def _options(params: t.Mapping[str, t.Any], devices: t.Sequence[Device]) -> Options:
    by_address = {device.address: device for device in devices}
    bars = [_wanted_bar(entry, by_address) for entry in params.get("resizable_bars") or ()]
    places = [(region.address, region.number) for region in bars]
    twice = next((region for region in bars if places.count((region.address, region.number)) > 1), None)
    if twice is not None:
        raise InputError(f"resizable_bars names {twice} twice: expected every BAR once")
    gpu = params.get("xorg_host_gpu")
    return Options(
        switches=tuple(name for name in PARAMETERS if params.get(name)),
        blacklist=bool(params.get("blacklist_i2c_nvidia_gpu")),
        vendor_reset=bool(params.get("vendor_reset")),
        bars=tuple(bars),
        host_gpu=None
        if gpu is None
        else HostGpu(
            _device_at(gpu["address"], by_address).address, parse_driver(gpu["driver"], "xorg_host_gpu: driver")
        ),
    )


def _wanted_bar(entry: t.Mapping[str, t.Any], devices: t.Mapping[Address, Device]) -> WantedBar:
    device = _device_at(entry["address"], devices)
    number = resizable_bar.parse_bar(entry["bar"], f"bar of {device.address}")
    return WantedBar(
        device.address, device.identity, number, resizable_bar.parse_size(entry["size"], f"size of {device.address}")
    )


def _device_at(text: str, devices: t.Mapping[Address, Device]) -> Device:
    address = Address.parse(text)
    if address not in devices:
        raise HostStateError(f"there is no device at {address}")
    return devices[address]


def _bars_to_resize(root: Root, options: Options) -> tuple[tuple[WantedBar, int], ...]:
    """What has another size now, with that size. The kernel resizes no BAR of a device that a driver holds."""
    differing = []
    for region in options.bars:
        size = resizable_bar.read_bars(root, str(region.address))[region.number].size
        if size == region.size:
            continue
        driver = root.link_name(f"/sys/bus/pci/devices/{region.address}/driver")
        if driver is not None:
            raise RefusedError(
                f"{region} cannot be resized now: the driver {driver} holds the device. Unbind it first, or leave out "
                "resize_now and reboot",
                str(region.address),
            )
        differing.append((region, size))
    return tuple(differing)


def _resize(root: Root, write: AttributeWriter, bars: t.Iterable[tuple[WantedBar, int]]) -> None:
    for region, _before in bars:
        attribute = f"/sys/bus/pci/devices/{region.address}/resource{region.number}_resize"
        size = resizable_bar.format_bit(region.bit)
        try:
            write(attribute, str(region.bit))
        except OSError as exc:
            reason = exc.strerror or str(exc)
            raise HostStateError(
                f"{region} was not resized to {size}, the kernel says: {reason}. The windows "
                "of the bridges above it may be too small"
            ) from exc
        after = resizable_bar.read_bars(root, str(region.address))[region.number].size
        if after != region.size:
            raise HostStateError(f"{region} has {resizable_bar.format_size(after)} after {size} was written")


def _bar_diff(region: WantedBar, before: int) -> dict[str, t.Any]:
    return _owned.text_diff(
        str(region), f"{resizable_bar.format_size(before)}\n", f"{resizable_bar.format_bit(region.bit)}\n"
    )


def _parameters(options: Options, facts: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    return [
        {
            "module": parameter.module,
            "name": parameter.name,
            "configured": parameter.value,
            "running": facts["running"].get(parameter.label),
        }
        for parameter in options.parameters
    ]


def _reboot_required(
    options: Options, facts: t.Mapping[str, t.Any], resized: t.Collection[tuple[WantedBar, int]]
) -> bool:
    done = {region for region, _before in resized}
    return (
        any(
            parameter.label in facts["running"] and not same_value(facts["running"][parameter.label], parameter.value)
            for parameter in options.parameters
        )
        or (options.vendor_reset and not facts["vendor_reset_loaded"])
        or any(
            facts["bars"][str(region.address)][str(region.number)]["size"] != region.size
            for region in options.bars
            if region not in done
        )
    )

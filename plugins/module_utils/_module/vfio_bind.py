# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What ``vfio_bind`` does."""

from __future__ import annotations

import functools
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import read_boot_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.writer import (
    ArgumentsChange,
    set_arguments,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.dependencies import read_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs import record
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.staleness import stale_images, suspects
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.state import read_iommu_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.surroundings import Surroundings
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.allow import device_keys
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio import binding
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.driver import builtin_drivers
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import OWNER, may_be_in_images
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.method_rules import others_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.methods import resolve_method
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.network_return import (
    bring_back,
    kept_settings,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.runtime import (
    DRIVERS,
    AttributeWriter,
    Bus,
    attribute_writer,
    current_driver,
    is_vfio_driver,
)

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_ID_FIELDS = ("vendor_id", "device_id", "subsystem_vendor_id", "subsystem_device_id")
_ID = re.compile(r"[0-9a-f]{4}")
_SERIAL = re.compile(r"[0-9a-f]{16}")


class SetArguments(t.Protocol):
    """The part of ``_cmdline/writer.py`` that is needed here."""

    def __call__(
        self, root: Root, run: Runner, ledger: Ledger, /, owner: str, args: t.Sequence[str], check_mode: bool
    ) -> ArgumentsChange: ...


def bind(
    module: AnsibleModule,
    run: Runner,
    root: Root | None = None,
    write: AttributeWriter | None = None,
    set_args: SetArguments | None = None,
) -> Result:
    """Body of ``vfio_bind``; what comes after ``run`` is there for tests."""
    root = root or Root()
    bootloader: str = module.params["bootloader"]
    set_args = set_args or functools.partial(set_arguments, bootloader=bootloader)
    request = parse_request(module.params)
    bus = Bus(root, run, write or attribute_writer(root))
    with locked(root, module.check_mode) as ledger:
        devices = read_devices(root, ledger)
        boot = read_boot_state(root, ledger, bootloader)
        around = Surroundings(
            devices=devices,
            dependencies=read_dependencies(root, devices),
            builtin_drivers=builtin_drivers(root, root.listdir(DRIVERS)),
            iommu=read_iommu_state(root, run, devices, boot),
        )
        foreign = others_arguments(boot, ledger.section("kernel_args").get(OWNER, []))
        plan = binding.make_plan(root, ledger, request, around, foreign)
        moved = _moves(root, plan)
        networks = {
            address: record["network"]
            for address, record in ((one, ledger.section("devices").get(str(one), {})) for one in plan.release)
            if "network" in record
        }
        plan = binding.with_networks(plan, kept_settings(root, run, plan.bind))
        suspected = suspects(root, ledger) if may_be_in_images(plan.releases_files) else {}
        # Refuses here, before the first write, where the boot loader cannot take what is needed.
        foretold = _arguments(root, run, ledger, request, plan, set_args, check_mode=True)
        arguments = None if request.trial_first else foretold
        changed = _would_change(ledger, plan, arguments)
        notes: list[str] = []
        if changed and not module.check_mode:
            bus.release(plan.release, plan.natives)
            if plan.bind:
                bus.bind(plan.bind)
            for path, kernel in suspected.items():
                record.suspect(ledger, path, kernel)
            notes += binding.install_files(root, ledger, plan)
            if arguments is not None:
                applied = _arguments(root, run, ledger, request, plan, set_args, check_mode=False)
                notes += applied.warnings if applied is not None else ()
            notes += bring_back(root, run, networks, wait=root.is_live)
            plan = binding.settled(plan)
        return Result(
            changed,
            _report(root, ledger, request, plan, suspected),
            (*_file_diffs(plan), *(arguments.diff if arguments is not None else ()), *moved),
            tuple(notes),
        )


def parse_request(params: t.Mapping[str, t.Any]) -> binding.Request:
    """The module's options in the library's words; raises :class:`InputError` for what cannot be meant."""
    present = params["state"] == "present"
    if params["exclusive"] and not present:
        raise InputError("exclusive=true goes with state=present: it releases every device that is not in the list")
    devices = tuple(_device_request(entry, params["allow"]) for entry in params["devices"])
    addresses = [device.address for device in devices]
    twice = next((address for address in addresses if addresses.count(address) > 1), None)
    if twice is not None:
        raise InputError(f"devices names {twice} twice: expected every address once")
    if not devices and not params["exclusive"]:
        raise InputError("devices is empty: expected at least one device, or exclusive=true to release all of them")
    return binding.Request(
        devices=devices,
        method=resolve_method(params["method"], "method"),
        present=present,
        boot=params["timing"] in ("boot", "both"),
        now=params["timing"] in ("now", "both"),
        exclusive=params["exclusive"],
        trial_first=params["trial_first"],
    )


def _device_request(entry: t.Mapping[str, t.Any], allow: t.Sequence[str]) -> binding.DeviceRequest:
    address = Address.parse(entry["address"])
    expected: dict[str, str] = {}
    for name in (*_ID_FIELDS, "serial"):
        value = entry.get(name)
        if value is None:
            continue
        digits = value.lower().replace("0x", "", 1)
        if (_SERIAL if name == "serial" else _ID).fullmatch(digits) is None:
            length = "sixteen" if name == "serial" else "four"
            raise InputError(f"{name} of {address} is '{value}': expected {length} hexadecimal digits")
        expected[name] = digits
    keys = (*device_keys(allow, "allow"), *device_keys(entry.get("allow"), f"allow of {address}"))
    return binding.DeviceRequest(address, expected, keys)


def _arguments(
    root: Root,
    run: Runner,
    ledger: Ledger,
    request: binding.Request,
    plan: binding.Plan,
    set_args: SetArguments,
    check_mode: bool,
) -> ArgumentsChange | None:
    """``None`` where the command line is not this run's business: then no boot loader need be known either."""
    wanted = plan.target.arguments
    if not request.boot or (not wanted and not ledger.section("kernel_args").get(OWNER)):
        return None
    return set_args(root, run, ledger, owner=OWNER, args=wanted, check_mode=check_mode)


def _would_change(ledger: Ledger, plan: binding.Plan, arguments: ArgumentsChange | None) -> bool:
    return bool(
        plan.bind
        or plan.release
        or any(change.changed for change in plan.file_changes)
        or (arguments is not None and arguments.changed)
        or ledger.section("devices") != plan.records
    )


def _moves(root: Root, plan: binding.Plan) -> list[t.Mapping[str, t.Any]]:
    after = binding.drivers_after(root, plan, (*plan.release, *plan.bind))
    texts = {
        address: (f"driver: {current_driver(root, address) or 'none'}\n", f"driver: {driver or 'none'}\n")
        for address, driver in after.items()
    }
    return [_owned.text_diff(f"device {address}", before, text) for address, (before, text) in sorted(texts.items())]


def _file_diffs(plan: binding.Plan) -> list[t.Mapping[str, t.Any]]:
    return [_owned.diff_entry(change) for change in plan.file_changes if change.changed]


def _report(
    root: Root, ledger: Ledger, request: binding.Request, plan: binding.Plan, suspected: t.Collection[str]
) -> dict[str, t.Any]:
    entries = plan.target.entries
    drivers = binding.drivers_after(root, plan, [wanted.address for wanted in request.devices])
    digests = {file.path: _owned.digest(file.content) for file in plan.files}
    return {
        "devices": [
            {
                "address": str(address),
                "status": binding.device_status(
                    is_vfio_driver(root, driver), address in entries, request.present, address in plan.held
                ),
                "driver": driver,
                "configured": address in entries,
                "native_driver": plan.records.get(str(address), {}).get("native_driver") or plan.natives.get(address),
            }
            for address, driver in sorted(drivers.items())
        ],
        "reboot_required": binding.reboot_required(root, plan, request),
        "initramfs_stale": bool(suspected) or bool(stale_images(root, ledger, digests)),
        "kernel_args": list(plan.target.arguments),
    }

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.
"""What a method cannot do on this host, beside the rules about devices that hold for every method. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import BASE_CLASS_DISPLAY, Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Refusal
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.driverctl import MISSING_DRIVERCTL
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.guard import ALLOW_RUNTIME_GPU
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.methods import DRIVERCTL, IDS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.modprobe import ids_on_line
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.target import Target


def others_arguments(boot: t.Mapping[str, t.Any], ours: t.Collection[str]) -> list[str]:
    """What the next boot gets that is not ``ours``; ``boot`` is what ``read_boot_state`` gives. Without a boot loader
    that could be read, the running line is what there is to go by."""
    line = boot["running"] if boot["bootloader"] is None else boot["next_boot"]
    return [argument for argument in line if argument not in ours]


def method_refusals(
    target: Target,
    devices: t.Mapping[Address, Device],
    allow: t.Mapping[Address, t.Collection[str]],
    driverctl: bool,
    foreign_ids: t.Mapping[str, t.Sequence[str]],
    foreign_arguments: t.Sequence[str],
) -> list[Refusal]:
    """``devices`` are the host's by address, ``allow`` the keys of those that are asked for now, ``foreign_…`` what
    others told vfio-pci in modprobe.d and on the command line."""
    if not target.entries:
        return []
    if target.method == IDS:
        return list(_other_ids(foreign_ids, foreign_arguments))
    if target.method != DRIVERCTL:
        return []
    if not driverctl:
        return [Refusal(None, MISSING_DRIVERCTL)]
    return list(_displays(devices, allow))


def _other_ids(files: t.Mapping[str, t.Sequence[str]], arguments: t.Sequence[str]) -> t.Iterator[Refusal]:
    places = [(path, f"ids={value}") for path, found in sorted(files.items()) for value in found]
    places += [("the kernel command line", argument) for argument in dict.fromkeys(ids_on_line(arguments))]
    for place, option in places:
        yield Refusal(
            None,
            f"{place} has '{option}' for vfio-pci, which heeds one such list alone: take it out and select those "
            "devices here, or use method=override",
        )


def _displays(devices: t.Mapping[Address, Device], allow: t.Mapping[Address, t.Collection[str]]) -> t.Iterator[Refusal]:
    for address, keys in sorted(allow.items()):
        device = devices.get(address)
        if device is None or not device.class_code.startswith(BASE_CLASS_DISPLAY) or ALLOW_RUNTIME_GPU in keys:
            continue
        yield Refusal(
            str(address),
            f"{address} is a display (class {device.class_code}), and driverctl takes it from its driver in every "
            "boot, which often fails: use method=override",
            ALLOW_RUNTIME_GPU,
        )


def method_warnings(method: str) -> tuple[str, ...]:
    """What whoever chooses a method should know before it is written."""
    if method == IDS:
        text = "method ids: modprobe.d counts in every boot once it is written, whatever entry is chosen"
        return (f"{text}, and another card of these models is taken wherever it sits",)
    if method == DRIVERCTL:
        text = "method driverctl: each device's own driver has it first in every boot"
        return (f"{text}, and driverctl then moves whatever card sits at the address",)
    return ()

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The IOMMU as it is and as it will be: the kernel's groups, the predicted ones, and what an ACS override changes."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot_log import KernelLogReader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.groups import ACPI_TABLES, read_iommu
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override import Override
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override_support import read_override_support
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.prediction import differences, predict_groups
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.quirks import (
    PCH_WORKAROUND_MESSAGE,
    Platform,
    depends_on_pch_workaround,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.modalias import running_release

# What a person loaded VFIO with; each module has its parameters only while it is loaded.
_VFIO_PARAMETERS = {
    "allow_unsafe_interrupts": ("vfio_iommu_type1", "iommufd"),
    "disable_denylist": ("vfio_pci",),
}


def read_iommu_state(
    root: Root,
    run: Runner,
    devices: t.Sequence[Device],
    boot: t.Mapping[str, t.Any],
    what_if: Override | None = None,
    look_into_kernels: bool = False,
    read_log: KernelLogReader | None = None,
) -> dict[str, t.Any]:
    """What ``read_iommu`` gives, with ``platform``, ``predicted_groups``, ``prediction_differs``, ``acs_override`` and
    ``vfio_parameters``.

    ``boot`` is what ``read_boot_state`` gives. Groups are predicted for the command line that counts: the running one
    while the IOMMU is on, else that of the next boot; with ``what_if`` besides, as a patched kernel would form them.
    Then, or with ``look_into_kernels``, the kernels are looked into for the override's patch as well. ``read_log`` is
    for callers that need the log themselves.
    """
    read_log = read_log or KernelLogReader(root, run)
    running, following = boot["running"], boot["next_boot"]
    iommu = read_iommu(root, devices, running)
    look = look_into_kernels or what_if is not None
    support = read_override_support(root, run, running, following, _next_release(root, boot), read_log, look)
    counts, arguments = ("running", running) if iommu["enabled"] else ("next_boot", following)
    override = Override.from_command_line(arguments) if support[counts]["effective"] else None
    platform = read_platform(root, read_log, devices)
    covered = {device.address for device in devices if device.iommu_group is not None}
    left_out = {device.address for device in devices} - covered if iommu["enabled"] else set()
    predicted = predict_groups(devices, platform, override, left_out)
    actual = [[Address.parse(member) for member in group["devices"]] for group in iommu["groups"] if group["devices"]]
    differs = differences(actual, predicted) if iommu["enabled"] else []
    if what_if is not None:
        predicted = predict_groups(devices, platform, what_if | (override or Override()), left_out)
    return {
        **iommu,
        "platform": platform.to_json(),
        "predicted_groups": [group.to_json() for group in predicted],
        "prediction_differs": differs,
        "acs_override": support,
        "vfio_parameters": {name: _is_set(root, name, owners) for name, owners in _VFIO_PARAMETERS.items()},
    }


def read_platform(root: Root, read_log: KernelLogReader, devices: t.Iterable[Device]) -> Platform:
    """The kernel's log is read only where a device's isolation depends on what stands there."""
    asked = any(depends_on_pch_workaround(device) for device in devices)
    return Platform(
        ivrs=root.exists(f"{ACPI_TABLES}/IVRS"),
        pch_workaround=read_log().says(PCH_WORKAROUND_MESSAGE) if asked else None,
    )


def _next_release(root: Root, boot: t.Mapping[str, t.Any]) -> str:
    kernels = (str(entry["kernel"]) for entry in boot["entries"] if entry["default"])
    return next(kernels, running_release(root))


def _is_set(root: Root, parameter: str, modules: t.Iterable[str]) -> bool:
    return any(root.read_word(f"/sys/module/{module}/parameters/{parameter}") == "Y" for module in modules)

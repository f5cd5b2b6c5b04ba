# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What ``sriov`` does."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError, RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.dependencies import read_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov import writer
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.request import PfRequest
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.runtime import (
    AttributeWriter,
    attribute_writer,
)

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def change(
    module: AnsibleModule, run: Runner, root: Root | None = None, write: AttributeWriter | None = None
) -> Result:
    """Body of ``sriov``; what comes after ``run`` is there for tests."""
    root = root or Root()
    params = module.params
    address = Address.parse(params["device"])
    wanted = PfRequest.parse(params, str(address)) if params["state"] == "present" else None
    tools = (root, run, write or attribute_writer(root))
    with locked(root, module.check_mode) as ledger:
        devices = read_devices(root, ledger)
        dependencies = read_dependencies(root, devices)
        if wanted is None:
            outcome = writer.release(*tools, ledger, address, devices, dependencies, module.check_mode)
        else:
            device = _device(address, params["vendor_device"], devices)
            outcome = writer.apply(*tools, ledger, device, wanted, devices, dependencies, module.check_mode)
    data = {
        "numvfs": outcome.wanted.numvfs,
        "vfs": [dict(vf) for vf in outcome.vfs],
    }
    return Result(outcome.changed, data, outcome.diff, outcome.notes)


def _device(address: Address, expected: str | None, devices: t.Iterable[Device]) -> Device:
    device = next((device for device in devices if device.address == address), None)
    if device is None:
        raise RefusedError(f"there is no device at {address}", device=str(address))
    if expected is not None:
        ids = expected.lower().replace("0x", "").split(":")
        if len(ids) != 2:
            raise InputError(f"vendor_device is '{expected}': expected two ids of four hex digits such as 8086:10c9")
        if ids != [device.identity.vendor_id, device.identity.device_id]:
            raise RefusedError(f"{address} is {device.identity} now, expected {expected}", device=str(address))
    return device

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What ``cpu_topology_info`` does."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.pinning import plan_pinning
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.topology import pci_device_node, read_topology
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def inform(module: AnsibleModule, _run: Runner) -> Result:
    """Body of ``cpu_topology_info``."""
    root = Root(module.params["root"])
    topology = read_topology(root)
    if not topology.cpus:
        raise HostStateError(
            f"{root.path('/sys/devices/system/cpu')} names no online CPU: is root the directory above sys?"
        )
    data: dict[str, t.Any] = {"topology": topology.to_json(), "pinning": None}
    device = module.params["near_device"]
    node = None if device is None else pci_device_node(root, str(Address.parse(device)))
    if module.params["vcpus"] is None:
        return Result(data=data)
    pinning = plan_pinning(topology, module.params["vcpus"], node, module.params["host_cores"])
    data["pinning"] = pinning.to_json()
    return Result(data=data, warnings=pinning.warnings)

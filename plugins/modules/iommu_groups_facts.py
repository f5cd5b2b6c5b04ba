#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: iommu_groups_facts
short_description: PCI devices and the IOMMU groups that the kernel made of them
version_added: 0.1.0
author:
  - virtfleet.passthrough contributors (@virtfleet)
description:
  - Reads every PCI function and IOMMU group from sysfs; starts no program and writes nothing.
  - Without root the configuration space shows 64 bytes only, and serial numbers are missing.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._attributes.reads
  - virtfleet.passthrough._attributes.root
"""

EXAMPLES = r"""
- name: Read the IOMMU groups
  virtfleet.passthrough.iommu_groups_facts:

- name: Show the network cards
  ansible.builtin.debug:
    msg: "{{ ansible_facts.iommu.devices | selectattr('class', 'equalto', '0200') | map(attribute='address') }}"
"""

RETURN = r"""
ansible_facts:
  description: Facts to add to ansible_facts.
  returned: success
  type: dict
  contains:
    iommu:
      description: The IOMMU and everything behind it.
      returned: success
      type: dict
      contains:
        enabled:
          description: Whether the kernel made IOMMU groups.
          type: bool
        reason:
          description: Why not, null when enabled.
          type: str
        hardware:
          description: The firmware table that describes the IOMMU (V(dmar), V(ivrs), V(viot), V(iort)), or null.
          type: str
        vendor:
          description: The CPU vendor.
          type: str
        units:
          description: IOMMU units that the kernel drives.
          type: list
          elements: str
        interrupt_remapping:
          description: Whether interrupts are remapped, null when not enabled.
          type: bool
        groups:
          description:
            - Groups in numeric order, each with id, devices, endpoints, bridges, reserved_regions, viable and blockers.
          type: list
          elements: dict
        devices:
          description: Every PCI function, ordered by address.
          type: list
          elements: dict
  sample:
    iommu:
      enabled: true
      hardware: dmar
      groups: [{id: 4, devices: ["0000:01:00.0"], endpoints: ["0000:01:00.0"], bridges: [], viable: true, blockers: []}]
      devices: [{address: "0000:01:00.0", vendor_id: "8086", device_id: "10d3", class: "0200", driver: e1000e}]
"""

import gc

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.reading import groups_facts
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import run_module


def main() -> None:
    # All that is made here lives until the process ends; looking for garbage among ten thousand functions in vain
    # takes a fifth of the run.
    gc.disable()
    module = AnsibleModule(
        argument_spec={"root": {"type": "path", "default": "/"}},
        supports_check_mode=True,
    )
    run_module(module, groups_facts)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: hugepages
short_description: Huge pages per size and NUMA node, now and at boot
version_added: 0.1.0
author:
  - virtfleet.passthrough contributors (@virtfleet)
description:
  - Reserves huge pages on the running host and says which kernel arguments reserve them at the next boot.
    The boot loader is left alone; pass RV(kernel_args) to M(virtfleet.passthrough.kernel_cmdline).
  - Refuses, before anything is written, pages that do not fit into the memory of their NUMA node or that leave the host
    less than O(reserve). A host whose memory is all huge pages does not boot.
  - Gives back only pages that this module added, and never those that a process uses.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._attributes.writes
options:
  pools:
    description:
      - The pages that shall be there. Entries for one size and place add up.
      - A pool that was set earlier and is not listed is given back. Undefined leaves all pools alone.
    type: list
    elements: dict
    suboptions:
      size:
        description:
          - Size of one page with its unit, such as V(1G) or V(2M).
        type: str
        required: true
      count:
        description:
          - How many pages.
        type: int
        required: true
      node:
        description:
          - The NUMA node. Without it the kernel spreads the pages over all nodes.
          - For one size either all entries have a node or none has, because the kernel takes one form or the other.
        type: int
  overcommit:
    description:
      - How many pages more the kernel may make on demand, per size. They last until their user ends.
      - Kept over reboots by a file in C(/etc/tmpfiles.d). Undefined leaves all limits alone.
    type: list
    elements: dict
    suboptions:
      size:
        description:
          - Size of one page with its unit, below V(1G).
        type: str
        required: true
      count:
        description:
          - How many pages at most.
        type: int
        required: true
  default_size:
    description:
      - The page size that programs get which name none. Written to the command line only when given.
    type: str
  timing:
    description:
      - V(boot) only says what the next boot needs, V(now) only changes the running host, V(both) does both.
      - With V(now) the module fails, and puts the former numbers back, when the kernel grants fewer pages than wanted.
        With V(both) that is a warning and RV(reboot_required) is true. Pages of 1 GiB usually come only at boot.
    type: str
    choices: [boot, now, both]
    default: both
  reserve:
    description:
      - Memory that the host keeps beside all huge pages, with its unit.
    type: str
    default: 1G
  state:
    description:
      - V(absent) gives back everything that this module set and ignores O(pools) and O(overcommit).
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: virtfleet.passthrough.kernel_cmdline
  - module: virtfleet.passthrough.cpu_topology_info
"""

EXAMPLES = r"""
- name: Reserve sixteen pages of 1 GiB next to a device on node 1
  virtfleet.passthrough.hugepages:
    pools:
      - size: 1G
        count: 16
        node: 1
  register: pages

- name: Reserve them at every boot
  virtfleet.passthrough.kernel_cmdline:
    owner: hugepages
    args: "{{ pages.kernel_args }}"

- name: Let the kernel make up to 1 GiB of 2 MiB pages on demand
  virtfleet.passthrough.hugepages:
    overcommit:
      - size: 2M
        count: 512

- name: Give everything back
  virtfleet.passthrough.hugepages:
    state: absent
"""

RETURN = r"""
pools:
  description: Every pool that is wanted, or was until now, and what the kernel granted.
  returned: success
  type: list
  elements: dict
  contains:
    size:
      description: Size of one page.
      type: str
      sample: 1G
    node:
      description: The NUMA node; null for pages that the kernel spreads over several nodes.
      type: int
      sample: 1
    wanted:
      description: Pages wanted.
      type: int
      sample: 16
    got:
      description: Pages that are there now. In check mode, those that the kernel would be asked for.
      type: int
      sample: 15
nodes:
  description: Memory and huge pages of every NUMA node. In check mode, as they are.
  returned: success
  type: list
  elements: dict
  contains:
    node:
      description: Number of the node.
      type: int
      sample: 1
    memory_mb:
      description: Memory of the node in MiB.
      type: int
      sample: 64283
    remaining_mb:
      description: What of it is not huge pages, in MiB.
      type: int
      sample: 47899
    pages:
      description: Pages of every size.
      type: list
      elements: dict
      sample: [{size: 2M, total: 0, free: 0}, {size: 1G, total: 16, free: 16}]
kernel_args:
  description: The arguments that reserve the pools at boot, in the order that gives them their meaning.
  returned: success
  type: list
  elements: str
  sample: ["hugepagesz=1G", "hugepages=1:16"]
reboot_required:
  description: Whether the wanted pages are there only after a reboot.
  returned: success
  type: bool
transparent_hugepages:
  description: Mode of transparent huge pages; null where the kernel has none.
  returned: success
  type: str
  sample: madvise
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.hugepages import change
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import run_module


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "pools": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "size": {"type": "str", "required": True},
                    "count": {"type": "int", "required": True},
                    "node": {"type": "int"},
                },
            },
            "overcommit": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "size": {"type": "str", "required": True},
                    "count": {"type": "int", "required": True},
                },
            },
            "default_size": {"type": "str"},
            "timing": {"type": "str", "choices": ["boot", "now", "both"], "default": "both"},
            "reserve": {"type": "str", "default": "1G"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ("pools", "overcommit"), True)],
        supports_check_mode=True,
    )
    run_module(module, change)


if __name__ == "__main__":
    main()

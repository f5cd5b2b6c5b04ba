#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cpu_topology_info
short_description: Sockets, dies, caches, threads and NUMA nodes of a host, and a pinning plan
version_added: 0.1.0
author:
  - virtfleet.passthrough contributors (@virtfleet)
description:
  - Reads the CPU topology from sysfs; starts no program and writes nothing.
  - With O(vcpus) it also plans which host CPUs the virtual CPUs of a guest get. The plan takes whole cores, on the NUMA
    node of O(near_device) and within one level 3 cache where there is room, and never cores that stay with the host.
  - The same question always gets the same answer. When the guest does not fit, the module fails with the numbers of
    every node.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._attributes.reads
  - virtfleet.passthrough._attributes.root
options:
  vcpus:
    description:
      - How many virtual CPUs a guest has. Without it there is no RV(pinning).
    type: int
  near_device:
    description:
      - Address of the PCI device that the guest gets, such as V(0000:01:00.0). Its NUMA node is preferred.
    type: str
  host_cores:
    description:
      - How many cores stay with the host on the guest's NUMA node, counted from the first one there.
        The guest's emulator and I/O threads run on them.
      - The core of CPU 0 stays with the host wherever the guest is, so this is at least V(1).
    type: int
    default: 1
seealso:
  - module: virtfleet.passthrough.hugepages
"""

EXAMPLES = r"""
- name: Read the topology
  virtfleet.passthrough.cpu_topology_info:
  register: cpu

- name: Plan eight virtual CPUs next to a GPU
  virtfleet.passthrough.cpu_topology_info:
    vcpus: 8
    near_device: "0000:01:00.0"
    host_cores: 2
  register: cpu

- name: Show which CPUs the guest gets
  ansible.builtin.debug:
    msg: "{{ cpu.pinning.cpus }}"
"""

RETURN = r"""
topology:
  description: The host's CPUs. Sets of CPUs are lists in the kernel's form.
  returned: success
  type: dict
  contains:
    online:
      description: CPUs that run.
      type: str
      sample: 0-11
    offline:
      description: CPUs that are there and switched off.
      type: str
      sample: ""
    isolated:
      description: CPUs that the running kernel keeps out of scheduling.
      type: str
      sample: 6-11
    nohz_full:
      description: CPUs that run without a timer tick; null where the kernel was built without that.
      type: str
      sample: 6-11
    smt:
      description: Whether any core has more than one thread.
      type: bool
      sample: true
    sockets:
      description: Numbers of the sockets.
      type: list
      elements: int
      sample: [0]
    dies:
      description: The dies of every socket.
      type: list
      elements: dict
      sample: [{socket: 0, die: 0}]
    nodes:
      description: NUMA nodes with their CPUs.
      type: list
      elements: dict
      sample: [{node: 0, cpus: 0-11}]
    l3_domains:
      description: Sets of CPUs that share a level 3 cache.
      type: list
      elements: dict
      sample: [{domain: 0, cpus: 0-5}, {domain: 1, cpus: 6-11}]
    cores:
      description: Physical cores with their threads. The kind is V(performance) or V(efficiency) on hybrid processors.
      type: list
      elements: dict
      sample: [{cpus: 0-1, node: 0, l3_domain: 0, kind: null}]
    cpus:
      description: Every online CPU and its place.
      type: list
      elements: dict
      sample: [{cpu: 0, socket: 0, die: 0, core: 0, siblings: 0-1, l3_domain: 0, node: 0, kind: null}]
pinning:
  description: The plan for a guest; null without O(vcpus).
  returned: success
  type: dict
  contains:
    vcpupin:
      description: The host CPU of every virtual CPU.
      type: list
      elements: dict
      sample: [{vcpu: 0, cpuset: "6"}, {vcpu: 1, cpuset: "7"}]
    emulatorpin:
      description: The host's CPUs for the guest's emulator and I/O threads.
      type: str
      sample: 0-1
    cpus:
      description: All CPUs that virtual CPUs run on.
      type: str
      sample: 6-7
    reserved:
      description:
        - All threads of the guest's cores, more than RV(pinning.cpus) where the guest does not fill its last core.
      type: str
      sample: 6-7
    node:
      description: The NUMA node for the guest's memory.
      type: int
      sample: 0
    topology:
      description: What the guest is told, so that threads of one core are threads of one core in the guest.
      type: dict
      sample: {sockets: 1, cores: 1, threads: 2}
    warnings:
      description: What is not as good as it could be.
      type: list
      elements: str
      sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.cpu_topology_info import inform
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import run_module


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "default": "/"},
            "vcpus": {"type": "int"},
            "near_device": {"type": "str"},
            "host_cores": {"type": "int", "default": 1},
        },
        supports_check_mode=True,
    )
    run_module(module, inform)


if __name__ == "__main__":
    main()

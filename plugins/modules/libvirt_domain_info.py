#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_domain_info
short_description: What libvirt domains are made of, with the host devices inside
version_added: 0.1.0
description:
  - Reads domains through libvirt, and takes their definitions apart.
  - With another O(root) than V(/), the definitions are read from the files in V(/etc/libvirt/qemu) below it. Then
    nothing is known about what runs.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.reads
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._libvirt
  - virtfleet.passthrough._attributes.root
options:
  names:
    description: Names of the domains to report. All domains when omitted.
    type: list
    elements: str
seealso:
  - module: virtfleet.passthrough.libvirt_domain
author:
  - virtfleet.passthrough contributors (@virtfleet)
"""

EXAMPLES = r"""
- name: Read all domains
  virtfleet.passthrough.libvirt_domain_info:
  register: domains

- name: Show which domain has which PCI function
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.hostdevs | map(attribute='address') | join(', ') }}"
  loop: "{{ domains.domains }}"
  loop_control:
    label: "{{ item.name }}"
"""

RETURN = r"""
missing:
  description: Names that were asked for and do not exist.
  returned: success
  type: list
  elements: str
  sample: []
domains:
  description: The domains, ordered by name.
  returned: success
  type: list
  elements: dict
  sample:
    - name: workstation
      uuid: 4dea22b3-1d52-d8f3-2516-782e98ab3fa0
      state: running
      hostdevs:
        - {type: pci, address: "0000:01:00.0", managed: false, rom_bar: null, driver: vfio-pci}
  contains:
    name:
      description: Its name.
      type: str
      sample: workstation
    uuid:
      description: Its UUID.
      type: str
      sample: 4dea22b3-1d52-d8f3-2516-782e98ab3fa0
    state:
      description: Its state in the words of C(virsh); V(unknown) when read from files.
      type: str
      sample: running
    active:
      description: Whether it runs, also when paused.
      type: bool
      sample: true
    persistent:
      description: Whether it is defined.
      type: bool
      sample: true
    autostart:
      description: Whether it starts with the host.
      type: bool
      sample: false
    managed_here:
      description: Whether this collection made it or took it over.
      type: bool
      sample: true
    title:
      description: Its title.
      type: str
      sample: Workstation
    description:
      description: Its description.
      type: str
      sample: CAD
    virt_type:
      description: How it is virtualised.
      type: str
      sample: kvm
    memory_kib:
      description: Memory in KiB.
      type: int
      sample: 16777216
    vcpus:
      description: Number of virtual CPUs.
      type: int
      sample: 8
    machine:
      description: Machine type.
      type: str
      sample: pc-q35-7.2
    firmware:
      description: V(efi) or V(bios).
      type: str
      sample: efi
    kernel:
      description: The kernel that is booted directly.
      type: str
      sample: /var/lib/libvirt/boot/vmlinuz
    cpu_mode:
      description: Mode of the processor model.
      type: str
      sample: host-passthrough
    hugepages_kib:
      description: Sizes of its huge pages in KiB.
      type: list
      elements: int
      sample: [1048576]
    memory_nodes:
      description: NUMA nodes of its memory.
      type: str
      sample: "0"
    vcpu_pins:
      description: Host CPUs of its virtual CPUs.
      type: list
      elements: dict
      sample: [{vcpu: 0, cpus: "2"}]
      contains:
        vcpu:
          description: Number of the virtual CPU.
          type: int
          sample: 0
        cpus:
          description: Host CPUs.
          type: str
          sample: "2"
    emulator_cpus:
      description: Host CPUs of QEMU's own threads.
      type: str
      sample: "0,6"
    hostdevs:
      description: Host devices.
      type: list
      elements: dict
      sample: [{type: pci, address: "0000:01:00.0", managed: false, driver: vfio-pci}]
      contains:
        type:
          description: Kind of device.
          type: str
          sample: pci
        address:
          description: Address of a PCI function, V(null) for other kinds.
          type: str
          sample: "0000:01:00.0"
        managed:
          description: Whether libvirt takes it from its driver at each start.
          type: bool
          sample: false
        rom_bar:
          description: Whether the guest sees its expansion ROM, V(null) for QEMU's default.
          type: bool
          sample: false
        rom_file:
          description: File that stands for its expansion ROM.
          type: str
          sample: /usr/share/vgabios/card.rom
        boot_order:
          description: Its turn at boot.
          type: int
          sample: 1
        driver:
          description: The host's driver that holds it now.
          type: str
          sample: vfio-pci
    disks:
      description: Disks.
      type: list
      elements: dict
      sample: [{device: disk, source: /dev/vg0/workstation, format: raw, target: vda, bus: virtio, readonly: false}]
      contains:
        device:
          description: V(disk), V(cdrom) or another of libvirt's words.
          type: str
          sample: disk
        source:
          description: File or block device of the host.
          type: str
          sample: /dev/vg0/workstation
        format:
          description: Format of its content.
          type: str
          sample: raw
        target:
          description: libvirt's name for it.
          type: str
          sample: vda
        bus:
          description: How the guest sees it.
          type: str
          sample: virtio
        readonly:
          description: Whether the guest may only read it.
          type: bool
          sample: false
    serial_log:
      description: File that the serial console is written to.
      type: str
      sample: /var/log/libvirt/qemu/workstation-serial.log
    restart_required:
      description: Whether the running domain lacks something of its definition.
      type: bool
      sample: false
    pending:
      description: What the running domain lacks.
      type: list
      elements: dict
      sample: []
      contains:
        setting:
          description: Which setting.
          type: str
          sample: memory
        before:
          description: What runs, V(null) for nothing.
          type: str
          sample: 8G
        after:
          description: What is defined, V(null) for nothing.
          type: str
          sample: 16G
    xml:
      description: The definition.
      type: str
      sample: "<domain type='kvm'>…</domain>"
    active_xml:
      description: What runs, V(null) while it is off.
      type: str
      sample: "<domain type='kvm' id='1'>…</domain>"
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.libvirt_domain_info import body
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import run_module


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str"},
            "uri": {"type": "str", "default": "qemu:///system"},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    run_module(module, body)


if __name__ == "__main__":
    main()

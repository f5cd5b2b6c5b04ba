#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_domain
short_description: Define, start, stop and remove a libvirt domain, compared by meaning
version_added: 0.1.0
description:
  - Defines a domain from typed options, and compares them by meaning with what libvirt made of the definition.
    Addresses, aliases, controllers, units and machine versions that libvirt adds are no difference.
  - What the options do not mention stays as it is, also what a person added to the domain. What this module wrote
    earlier and the options no longer mention is taken out again.
    O(devices) and O(disks) are authoritative where they are given; PCI functions and disks that are not in them go.
  - A running domain is never restarted or shut down for a change. The new definition waits for the next start,
    and RV(restart_required) says so, in this run and in every later one, until the domain was started anew.
  - Everything is checked before the first write. A PCI function must exist, be no bridge, and be free; its IOMMU group
    may not be split between domains; CPUs must be online; huge pages must be free where the domain shall start.
  - After a start the module looks whether the domain really runs and its PCI functions are on C(vfio-pci).
  - No graphics, no network interface and no memory balloon are added. A new domain has a serial console.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.writes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._libvirt
options:
  name:
    description: The domain's name.
    type: str
    required: true
  state:
    description:
      - V(present) defines the domain and leaves it on or off as it is.
      - V(running) also starts it, V(stopped) also shuts it down.
      - V(absent) shuts it down and removes its definition together with the variables of its UEFI firmware.
        Its disks stay where they are.
      - A domain that was taken over with O(allow=foreign_domain) is not removed by V(absent). It gets back the
        definition and the autostart that it had before, goes on running if it runs, and is somebody else's again.
        With O(allow=foreign_domain) it is removed.
    type: str
    choices: [present, running, stopped, absent]
    default: present
  allow:
    description:
      - Keys that permit what is refused otherwise.
      - V(foreign_domain) permits changing a domain that this collection did not make, and removing one that it took
        over.
    type: list
    elements: str
    choices: [foreign_domain]
    default: []
  force:
    description: Whether to pull the plug of a guest that did not shut down within O(shutdown_timeout).
    type: bool
    default: false
  shutdown_timeout:
    description: How many seconds a guest has to shut down.
    type: int
    default: 120
  memory:
    description:
      - The guest's memory, a number with V(K), V(M), V(G) or V(T) such as V(16G). These are powers of 1024.
      - Needed to define a domain. Without O(memory) and O(vcpus), and without any other option of the definition,
        only the power state of an existing domain is managed.
    type: str
  vcpus:
    description: How many virtual CPUs the guest has. Needed to define a domain.
    type: int
  topology:
    description:
      - The processor that the guest sees. The product has to be O(vcpus).
      - One socket with O(vcpus) single-threaded cores when omitted.
    type: dict
    suboptions:
      sockets:
        description: Number of sockets.
        type: int
        default: 1
      cores:
        description: Cores in each socket.
        type: int
        default: 1
      threads:
        description: Threads in each core.
        type: int
        default: 1
  uuid:
    description: The domain's UUID. Made up for a new domain when omitted; it cannot be changed later.
    type: str
  title:
    description: A title of one line.
    type: str
  description:
    description: A description.
    type: str
  virt_type:
    description:
      - V(kvm), or V(qemu) for software emulation.
      - V(auto) takes KVM where the host offers it, and software emulation with a warning where it does not.
    type: str
    choices: [auto, kvm, qemu]
    default: auto
  machine:
    description:
      - The machine type. V(q35) has PCI Express, as most passed-through devices want it.
      - A family such as V(q35) is satisfied by each of its versions; an existing domain keeps the version that it has.
    type: str
    default: q35
  firmware:
    description:
      - The guest's firmware, UEFI or SeaBIOS.
      - When omitted, an existing domain keeps what it has. A new one gets V(efi), or V(bios) if it boots a O(kernel)
        directly.
    type: str
    choices: [efi, bios]
  cpu_mode:
    description:
      - The processor model that the guest sees.
      - V(auto) is V(host-passthrough) with KVM and V(maximum) in software emulation.
    type: str
    choices: [auto, host-passthrough, host-model, maximum, custom]
    default: auto
  cpu_model:
    description: The model for O(cpu_mode=custom), such as V(qemu64).
    type: str
  hugepages:
    description: Back the guest's memory with huge pages of this size, such as V(1G). O(memory) has to fill whole pages.
    type: str
  locked:
    description: Whether to keep the guest's memory from being swapped out. Devices pin it anyway.
    type: bool
    default: false
  nosharepages:
    description: Whether to keep the host from merging equal pages of this guest with others.
    type: bool
    default: false
  memory_node:
    description: The NUMA node that all memory of the guest has to come from.
    type: int
  vcpu_pins:
    description: Which host CPUs each virtual CPU may run on. Those that are not listed run anywhere.
    type: list
    elements: dict
    suboptions:
      vcpu:
        description: Number of the virtual CPU, from 0.
        type: int
        required: true
      cpus:
        description: Host CPUs such as V(2,8) or V(4-7).
        type: str
        required: true
  emulator_cpus:
    description: Host CPUs for QEMU's own threads.
    type: str
  devices:
    description:
      - The host devices of the domain, PCI functions by address.
      - When given, PCI functions of the domain that are not listed are taken out of it. Omit it to leave alone those
        that others gave to the domain.
    type: list
    elements: dict
    suboptions:
      type:
        description: Kind of device. Only V(pci) in this version.
        type: str
        choices: [pci]
        default: pci
      address:
        description: Address of the function, such as V(0000:01:00.0).
        type: str
        required: true
      managed:
        description:
          - Whether libvirt takes the function from its driver at each start of the domain, and gives it back
            afterwards.
          - Leave it at V(false) for devices that vfio-pci holds from boot on.
        type: bool
        default: false
      rom_bar:
        description: Whether the guest sees the device's expansion ROM. QEMU's default when omitted.
        type: bool
      rom_file:
        description: A file on the host that is shown to the guest as the expansion ROM.
        type: path
      boot_order:
        description: The device's turn when the firmware looks for something to boot, from 1.
        type: int
      allow:
        description:
          - Keys that permit having libvirt take this function from the host although the host uses it,
            such as V(configured_nic). For O(devices[].managed=true) only.
        type: list
        elements: str
        default: []
  disks:
    description:
      - Files and block devices of the host as disks. When given, such disks of the domain that are not listed are
        taken out of it.
      - Their order gives their names (V(vda), V(vdb)), by which they are found again.
    type: list
    elements: dict
    suboptions:
      source:
        description: Path of the file or block device.
        type: path
        required: true
      format:
        description: Format of its content.
        type: str
        choices: [raw, qcow2]
        default: raw
      bus:
        description: How the guest sees the disk.
        type: str
        choices: [virtio, scsi, sata]
        default: virtio
      readonly:
        description: Whether the guest may only read it.
        type: bool
        default: false
      boot_order:
        description: The disk's turn when the firmware looks for something to boot, from 1.
        type: int
  kernel:
    description: Path of a kernel on the host to boot directly.
    type: path
  initrd:
    description: Path of the initial ramdisk for O(kernel).
    type: path
  cmdline:
    description: Command line for O(kernel).
    type: str
  serial_log:
    description: A file on the host to which everything is appended that the guest writes to its serial console.
    type: path
  acpi:
    description: Whether the machine has ACPI.
    type: bool
    default: true
  apic:
    description: Whether the machine has an APIC.
    type: bool
    default: true
  on_poweroff:
    description: What happens when the guest powers off. libvirt's default is V(destroy).
    type: str
    choices: [destroy, restart, preserve, rename-restart]
  on_reboot:
    description: What happens when the guest reboots. libvirt's default is V(restart).
    type: str
    choices: [destroy, restart, preserve, rename-restart]
  on_crash:
    description: What happens when the guest crashes. libvirt's default is V(destroy).
    type: str
    choices: [destroy, restart, preserve, rename-restart, coredump-destroy, coredump-restart]
  autostart:
    description: Whether the domain starts with the host. Left as it is when omitted.
    type: bool
seealso:
  - module: virtfleet.passthrough.libvirt_domain_info
  - module: virtfleet.passthrough.libvirt_hostdev
  - module: virtfleet.passthrough.vfio_bind
  - name: libvirt domain XML
    description: Reference of what the options become.
    link: https://libvirt.org/formatdomain.html
author:
  - virtfleet.passthrough contributors (@virtfleet)
"""

EXAMPLES = r"""
- name: Run a workstation on huge pages with the graphics card inside
  virtfleet.passthrough.libvirt_domain:
    name: workstation
    state: running
    memory: 16G
    hugepages: 1G
    memory_node: 0
    vcpus: 4
    topology: {sockets: 1, cores: 2, threads: 2}
    vcpu_pins:
      - {vcpu: 0, cpus: "2"}
      - {vcpu: 1, cpus: "8"}
      - {vcpu: 2, cpus: "3"}
      - {vcpu: 3, cpus: "9"}
    emulator_cpus: "0,6"
    devices:
      - address: "0000:01:00.0"
        rom_file: /usr/share/vgabios/card.rom
      - address: "0000:01:00.1"
    disks:
      - source: /dev/vg0/workstation
        boot_order: 1

- name: Shut the workstation down, and pull its plug after five minutes
  virtfleet.passthrough.libvirt_domain:
    name: workstation
    state: stopped
    shutdown_timeout: 300
    force: true

- name: Remove it
  virtfleet.passthrough.libvirt_domain:
    name: workstation
    state: absent
"""

RETURN = r"""
restart_required:
  description: Whether the running domain lacks something of its definition, which it gets with its next start.
  returned: success
  type: bool
  sample: false
pending:
  description: What the running domain lacks.
  returned: success
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
differences:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{setting: memory, before: 8G, after: 16G}]
  contains:
    setting:
      description: Which setting.
      type: str
      sample: memory
    before:
      description: What was there, V(null) for nothing.
      type: str
      sample: 8G
    after:
      description: What is there now, V(null) for nothing.
      type: str
      sample: 16G
domain:
  description: The domain after the run; in check mode as it is.
  returned: success
  type: dict
  sample:
    name: workstation
    uuid: 4dea22b3-1d52-d8f3-2516-782e98ab3fa0
    state: running
    active: true
    persistent: true
    autostart: false
  contains:
    name:
      description: Its name.
      type: str
      sample: workstation
    uuid:
      description: Its UUID, V(null) where there is no domain.
      type: str
      sample: 4dea22b3-1d52-d8f3-2516-782e98ab3fa0
    state:
      description: Its state in the words of C(virsh), or V(absent).
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
xml:
  description: The definition, in check mode what would be handed to libvirt; empty where there is none.
  returned: success
  type: str
  sample: "<domain type='kvm'>…</domain>"
refusals:
  description: Why nothing was written.
  returned: when refused
  type: list
  elements: dict
  sample: [{device: "0000:01:00.0", reason: "domain 'other' is running with 0000:01:00.0", allow: null}]
  contains:
    device:
      description: Address of the device, V(null) where it is not about one.
      type: str
      sample: "0000:01:00.0"
    reason:
      description: The reason.
      type: str
      sample: domain 'other' is running with 0000:01:00.0
    allow:
      description: The key that would permit it, V(null) for none.
      type: str
      sample: foreign_domain
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.libvirt_domain import body
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import run_module


def main() -> None:
    """Entry point."""
    lifecycle = ["destroy", "restart", "preserve", "rename-restart"]
    device = {
        "type": {"type": "str", "choices": ["pci"], "default": "pci"},
        "address": {"type": "str", "required": True},
        "managed": {"type": "bool", "default": False},
        "rom_bar": {"type": "bool"},
        "rom_file": {"type": "path"},
        "boot_order": {"type": "int"},
        "allow": {"type": "list", "elements": "str", "default": []},
    }
    disk = {
        "source": {"type": "path", "required": True},
        "format": {"type": "str", "choices": ["raw", "qcow2"], "default": "raw"},
        "bus": {"type": "str", "choices": ["virtio", "scsi", "sata"], "default": "virtio"},
        "readonly": {"type": "bool", "default": False},
        "boot_order": {"type": "int"},
    }
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "running", "stopped", "absent"], "default": "present"},
            "uri": {"type": "str", "default": "qemu:///system"},
            "allow": {"type": "list", "elements": "str", "choices": ["foreign_domain"], "default": []},
            "force": {"type": "bool", "default": False},
            "shutdown_timeout": {"type": "int", "default": 120},
            "memory": {"type": "str"},
            "vcpus": {"type": "int"},
            "topology": {
                "type": "dict",
                "options": {name: {"type": "int", "default": 1} for name in ("sockets", "cores", "threads")},
            },
            "uuid": {"type": "str"},
            "title": {"type": "str"},
            "description": {"type": "str"},
            "virt_type": {"type": "str", "choices": ["auto", "kvm", "qemu"], "default": "auto"},
            "machine": {"type": "str", "default": "q35"},
            "firmware": {"type": "str", "choices": ["efi", "bios"]},
            "cpu_mode": {
                "type": "str",
                "choices": ["auto", "host-passthrough", "host-model", "maximum", "custom"],
                "default": "auto",
            },
            "cpu_model": {"type": "str"},
            "hugepages": {"type": "str"},
            "locked": {"type": "bool", "default": False},
            "nosharepages": {"type": "bool", "default": False},
            "memory_node": {"type": "int"},
            "vcpu_pins": {
                "type": "list",
                "elements": "dict",
                "options": {"vcpu": {"type": "int", "required": True}, "cpus": {"type": "str", "required": True}},
            },
            "emulator_cpus": {"type": "str"},
            "devices": {"type": "list", "elements": "dict", "options": device},
            "disks": {"type": "list", "elements": "dict", "options": disk},
            "kernel": {"type": "path"},
            "initrd": {"type": "path"},
            "cmdline": {"type": "str"},
            "serial_log": {"type": "path"},
            "acpi": {"type": "bool", "default": True},
            "apic": {"type": "bool", "default": True},
            "on_poweroff": {"type": "str", "choices": lifecycle},
            "on_reboot": {"type": "str", "choices": lifecycle},
            "on_crash": {"type": "str", "choices": [*lifecycle, "coredump-destroy", "coredump-restart"]},
            "autostart": {"type": "bool"},
        },
        required_together=[("memory", "vcpus")],
        supports_check_mode=True,
    )
    run_module(module, body)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: iommu_groups_facts
short_description: PCI devices, their IOMMU groups as made and as predicted, and what passing each through would take
version_added: 0.1.0
author:
  - virtfleet.passthrough contributors (@virtfleet)
description:
  - Reads every PCI function and IOMMU group from sysfs, once, and writes nothing.
  - Predicts the groups from configuration space as the kernel forms them, so that what a reboot with the IOMMU on will
    bring is known before it.
  - Judges for every function whether it could be given to a guest.
  - Kernel images are looked into only where C(pcie_acs_override) is on a command line or asked about.
  - What cannot be read is named in RV(ansible_facts.iommu.gaps) or in the C(gaps) of its device, and never an error.
  - >-
    Without root the kernel shows 64 bytes of a configuration space: what its capabilities say (serial number, ACS, port
    type, resizable BAR) is missing then, and so is what the ledger knows about bound devices.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._attributes.reads
  - virtfleet.passthrough._attributes.root
options:
  acs_override:
    description:
      - What if the kernel had the patch for C(pcie_acs_override) and these were its values (V(downstream),
        V(multifunction), V(id:8086:a12f)), besides what takes effect already.
      - RV(ansible_facts.iommu.predicted_groups) answers; RV(ansible_facts.iommu.prediction_differs) stays about the
        kernel as it runs.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Read the IOMMU groups
  virtfleet.passthrough.iommu_groups_facts:

- name: Read them in a support archive that was unpacked on this machine
  virtfleet.passthrough.iommu_groups_facts:
    root: /srv/archives/host17
  delegate_to: localhost

- name: Ask what an ACS override for one switch would change
  virtfleet.passthrough.iommu_groups_facts:
    acs_override: ["id:10b5:8747"]

- name: Show what could be given to a guest, and what would have to go with it
  ansible.builtin.debug:
    msg: "{{ item.address }} with {{ item.verdict.companions }}"
  loop: "{{ ansible_facts.iommu.devices | selectattr('verdict.possible') }}"
  loop_control:
    label: "{{ item.address }}"

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
          description: Whether interrupts are remapped, null when not enabled and on other architectures than x86.
          type: bool
        default_domain_type:
          description:
            - The type of the default domain that most groups have (V(DMA), V(DMA-FQ), V(identity)).
            - Null when not enabled, and on kernels before 5.11, which do not tell.
          type: str
        identity_mapped:
          description:
            - Endpoints for which the firmware wants memory mapped 1:1 (RMRR, IVMD).
            - The kernel lets a guest have a device only where RV(ansible_facts.iommu.identity_mapped[].relaxable).
          type: list
          elements: dict
          contains:
            device:
              description: The device's address.
              type: str
            relaxable:
              description: Whether the kernel may give the mapping up.
              type: bool
        kvm_capable:
          description: Whether the CPU can run virtual machines (VT-x, AMD-V), which says nothing about an IOMMU.
          type: bool
        kernel_config:
          description: How the running kernel was built. Every key is null where no configuration file can be read.
          type: dict
          contains:
            source:
              description: The file that tells.
              type: str
            default_on:
              description: Whether the IOMMU in RV(ansible_facts.iommu.hardware) is on without a parameter.
              type: bool
            integrated_gpu_off:
              description: Whether Intel's integrated GPU stays outside until C(intel_iommu=on) is given.
              type: bool
            intel_iommu:
              description: Whether there is a driver for Intel's IOMMU.
              type: bool
            amd_iommu:
              description: Whether there is a driver for AMD's IOMMU.
              type: bool
            interrupt_remapping:
              description: Whether there is support for remapped interrupts.
              type: bool
            vfio_pci:
              description: V(y) built in, V(m) as a module, V(n) not at all.
              type: str
        log:
          description: What the kernel's log says, as evidence beside sysfs. A log that was lost proves nothing.
          type: dict
          contains:
            enabled:
              description: Whether it tells that an IOMMU was turned on.
              type: bool
            units:
              description: How many IOMMU units were announced.
              type: int
            identity_mapped:
              description: Devices for which the firmware asked for a 1:1 mapping (RMRR).
              type: list
              elements: str
            ineligible:
              description: Devices that VFIO was denied for that reason.
              type: list
              elements: str
        platform:
          description: What besides the devices decides about groups.
          type: dict
          contains:
            ivrs:
              description: Whether the firmware has a table of AMD's IOMMU.
              type: bool
            pch_workaround:
              description:
                - Whether the kernel made the root ports of an Intel chipset before Skylake safe by the chipset's own
                  controls. Null where no device depends on that, or where the log does not go back far enough.
              type: bool
        predicted_groups:
          description:
            - The groups that the kernel will form, ordered by their first device. While the IOMMU is off, all functions
              are assumed to be behind it.
          type: list
          elements: dict
          contains:
            devices:
              description: Addresses of the members.
              type: list
              elements: str
            reasons:
              description: Why they are together. Empty for a single device.
              type: list
              elements: str
        prediction_differs:
          description: The kernel's groups that were predicted differently. Empty while the IOMMU is off.
          type: list
          elements: dict
          contains:
            devices:
              description: The members as the kernel has them.
              type: list
              elements: str
            predicted:
              description: The predicted groups that hold them.
              type: list
              elements: list
            hint:
              description: What may be behind it. The kernel's group is the one that counts.
              type: str
        acs_override:
          description: Whether C(pcie_acs_override) is asked for, and whether the kernel knows it.
          type: dict
          contains:
            running:
              description: For the running kernel, as RV(ansible_facts.iommu.acs_override.next_boot) without C(kernel).
              type: dict
            next_boot:
              description: For the kernel that boots next.
              type: dict
              contains:
                kernel:
                  description: Its release.
                  type: str
                requested:
                  description: The parameter's values on the command line.
                  type: list
                  elements: str
                patched:
                  description: Whether the kernel has the patch. Null where nothing tells, or nobody asked.
                  type: bool
                evidence:
                  description: What tells.
                  type: str
                effective:
                  description: Whether the kernel acts on the values.
                  type: bool
        vfio_parameters:
          description: What a person loaded VFIO with.
          type: dict
          contains:
            allow_unsafe_interrupts:
              description: Whether VFIO does without remapped interrupts.
              type: bool
            disable_denylist:
              description: Whether vfio-pci takes models that it is known to be unsafe with.
              type: bool
        gaps:
          description: What could not be read or contradicts itself, in words. Empty on a healthy host.
          type: list
          elements: str
        groups:
          description: The groups as the kernel made them, in numeric order. The numbers may change with each boot.
          type: list
          elements: dict
          contains:
            id:
              description: The group's number.
              type: int
            devices:
              description: Addresses of all its PCI functions.
              type: list
              elements: str
            endpoints:
              description: Those that a guest can be given, all of them together.
              type: list
              elements: str
            bridges:
              description: Those that always stay with the host.
              type: list
              elements: str
            other_devices:
              description: Members that are on another bus than PCI.
              type: list
              elements: str
            type:
              description: The type of its default domain, null where the kernel does not tell.
              type: str
            reserved_regions:
              description: Memory that is not remapped, each with C(start), C(end) and C(type) as in sysfs.
              type: list
              elements: dict
            viable:
              description: Whether VFIO could open it now.
              type: bool
            blockers:
              description: Members that keep VFIO from it, because a driver of the host has them.
              type: list
              elements: str
        devices:
          description: Every PCI function, ordered by address.
          type: list
          elements: dict
          contains:
            address:
              description: Domain, bus, device and function.
              type: str
            vendor_id:
              description: Four lower-case hex digits, as the other ids.
              type: str
            device_id:
              description: The device's id.
              type: str
            subsystem_vendor_id:
              description: The card maker's id.
              type: str
            subsystem_device_id:
              description: The card's id.
              type: str
            serial:
              description: PCIe Device Serial Number in sixteen hex digits, or null.
              type: str
            class:
              description: Base class and sub-class in four hex digits.
              type: str
            class_name:
              description: The class in words, where the host has C(pci.ids).
              type: str
            name:
              description: Vendor and device in words, where the host has C(pci.ids).
              type: str
            revision:
              description: Two hex digits.
              type: str
            is_bridge:
              description: Whether it is a bridge or port of any kind.
              type: bool
            driver:
              description: The driver that has it now.
              type: str
            driver_override:
              description: The only driver that may take it, null for any.
              type: str
            native_driver:
              description: The driver that would have it without passthrough.
              type: str
            candidate_modules:
              description: Modules of the running kernel that match it, in the order of its C(modules.alias).
              type: list
              elements: str
            vfio_modules:
              description: Modules that would give it to a guest, variant drivers for this very device first.
              type: list
              elements: str
            numa_node:
              description: Its NUMA node, null where the firmware named none.
              type: int
            iommu_group:
              description: The number of its group, null without one.
              type: int
            parent:
              description: The bridge or port right above it.
              type: str
            root_port:
              description: The port or bridge on the root bus of its own domain; devices that share it share its lanes.
              type: str
            physfn:
              description: The PF of a VF.
              type: str
            slot:
              description: The slot's label.
              type: str
            boot_vga:
              description: Whether the firmware started on this display.
              type: bool
            resettable:
              description: Whether the kernel can reset it alone.
              type: bool
            reset_methods:
              description: How, in the order of trial; kernels before 5.15 do not tell.
              type: list
              elements: str
            interfaces:
              description: Its network interfaces.
              type: list
              elements: str
            mac:
              description: The permanent address of its first network interface.
              type: str
            power_state:
              description: As the kernel names it (V(D0), V(D3hot)), null where it does not tell.
              type: str
            header_type:
              description: 0 endpoint, 1 bridge, 2 CardBus bridge, null where it cannot be read.
              type: int
            multifunction:
              description: Bit 7 of the header type.
              type: bool
            pcie_type:
              description: The PCI Express port type, for example V(endpoint) or V(root_port), null for others.
              type: str
            acs_capability:
              description: The ACS capability register, null without one.
              type: int
            acs_control:
              description: The ACS control register, null without one.
              type: int
            bar_above_4g:
              description: Whether memory of it lies above 4 GiB, as after "Above 4G decoding" in the firmware.
              type: bool
            resizable_bar:
              description: Whether it has the Resizable BAR capability.
              type: bool
            sriov_totalvfs:
              description: How many VFs a PF can have, null for others.
              type: int
            sriov_numvfs:
              description: How many VFs a PF has now, null for others.
              type: int
            sriov_offset:
              description:
                - How far the first VF is from its PF on the bus, null for others. The card may change it with the
                  number of VFs, and show 0 while it has none.
              type: int
            sriov_stride:
              description: How far one VF is from the next, null for others.
              type: int
            sriov_device_id:
              description: Device id of a PF's VFs, null for others.
              type: str
            verdict:
              description: What passing it through would take.
              type: dict
              contains:
                possible:
                  description: Whether nothing stands against it.
                  type: bool
                companions:
                  description: The other functions of its IOMMU group, which have to leave the host with it.
                  type: list
                  elements: str
                keep_on_host:
                  description:
                    - Bridges of its group, which stay.
                    - One whose driver keeps the group from guests is among the blockers.
                  type: list
                  elements: str
                blockers:
                  description: >-
                    What stands against it, each with C(rule), C(device), C(reason), and C(allow), the key that would
                    permit it or null.
                  type: list
                  elements: dict
                warnings:
                  description: What is worth knowing and forbids nothing, in the same form.
                  type: list
                  elements: dict
                after_reboot:
                  description: Whether the group is predicted, because the IOMMU is off.
                  type: bool
            gaps:
              description: What could not be read of this function, in words.
              type: list
              elements: str
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
        argument_spec={
            "root": {"type": "path", "default": "/"},
            "acs_override": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    run_module(module, groups_facts)


if __name__ == "__main__":
    main()

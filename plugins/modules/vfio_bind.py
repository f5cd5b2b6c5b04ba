#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vfio_bind
short_description: Give PCI devices to vfio-pci by address and identity
version_added: 0.1.0
author:
  - virtfleet.passthrough contributors (@virtfleet)
description:
  - Holds PCI devices for the driver C(vfio-pci) from the first moment of a boot, before any other driver sees them, or
    moves them between drivers on the running host.
  - A device is named by its address and recognised by its identity (vendor, device and subsystem). If another card sits
    at the address at a later boot, that card is left to its own driver and the kernel log says so. Two identical cards
    are told apart by their addresses only.
  - For booting, unless another O(method) is chosen, a table of devices, a small script that every initramfs is to hold,
    and a udev rule for devices that appear later are written. They act only while the kernel command line carries
    C(virtfleet_passthrough.generation) with the number of the table, which this module puts into every boot entry. A
    boot into an entry without it leaves all devices to the host.
  - The images themselves are built and proven by M(virtfleet.passthrough.initramfs), see RV(initramfs_stale).
  - What is refused is refused before the first write. Bridges, and storage that the host runs from, are never taken,
    nor is a device in an IOMMU group whose other members stay with the host.
  - Drivers are changed through C(driver_override) only, never through C(new_id), which would take every other card of
    the same model as well.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._attributes.writes
  - virtfleet.passthrough._attributes.bootloader
options:
  devices:
    description:
      - The devices, each by its address.
      - The identity is read from the host now, at the moment when the device is configured. Fields that are named must
        agree with what is there.
      - May be empty only together with O(exclusive=true).
    type: list
    elements: dict
    required: true
    suboptions:
      address:
        description:
          - The PCI address, such as V(0000:01:00.0). V(1:0.0) means the same.
        type: str
        required: true
      vendor_id:
        description:
          - Vendor, four hexadecimal digits.
        type: str
      device_id:
        description:
          - Device, four hexadecimal digits.
        type: str
      subsystem_vendor_id:
        description:
          - Vendor of the subsystem, four hexadecimal digits.
        type: str
      subsystem_device_id:
        description:
          - Device of the subsystem, four hexadecimal digits.
        type: str
      serial:
        description:
          - PCIe device serial number, sixteen hexadecimal digits.
          - The script in the initramfs cannot read it; it is compared whenever this module or the plan runs.
        type: str
      allow:
        description:
          - Keys of refusals that are permitted for this device.
        type: list
        elements: str
        default: []
  state:
    description:
      - V(present) holds the devices for C(vfio-pci).
      - V(absent) gives them back to their own drivers and removes what was written for them.
    type: str
    choices: [present, absent]
    default: present
  timing:
    description:
      - V(boot) decides about the next boots and leaves the running drivers alone.
      - V(now) changes the running drivers, all of O(devices) or none, and leaves the next boots alone.
      - V(both) does both.
      - What the interfaces of a network card have when it is taken from the running host (static addresses, MTU,
        master, being up) is kept, and brought back when it is given back to the running host, unless systemd-networkd
        or NetworkManager configures the interface. A warning names what did not come back. Routes, VLANs above the
        interface and leased addresses are not kept.
    type: str
    choices: [boot, now, both]
    default: boot
  method:
    description:
      - How devices are held at boot. V(auto) takes V(override), which is what the description above is about.
      - All devices of a host have one method. With O(state=present) those of earlier runs change to it as well, and the
        files of the other method go; O(state=absent) leaves the method of the remaining ones as it is.
      - V(ids) writes C(/etc/modprobe.d/virtfleet-vfio.conf) with the ids of all devices and a C(softdep) for each of
        their own drivers, and loads C(vfio-pci) in the initramfs before udev. Where C(vfio-pci) is built into the
        kernel, C(vfio-pci.ids) on the kernel command line takes the place of all these files.
      - V(ids) is refused where another device has the same ids, where a driver is built into the kernel (ids come too
        late), and where somebody else gave C(vfio-pci) a list of ids, because it heeds one list only. C(modprobe.d)
        counts in every boot, so an old boot entry does not bring the old behaviour back once the file is there (see
        O(trial_first)). A device is taken wherever it sits, and so is another card of the model that comes later.
      - V(driverctl) writes the files of the tool of that name, C(/etc/driverctl.d/pci-ADDRESS), which has to be
        installed. The tool acts when udev meets a device on the root file system. Its own driver has it until then,
        which for a display needs the key V(runtime_gpu). It goes by address alone, whatever card sits there.
    type: str
    choices: [auto, override, ids, driverctl]
    default: auto
  exclusive:
    description:
      - Whether O(devices) is the whole list. Devices of an earlier run that are not in it are released.
    type: bool
    default: false
  trial_first:
    description:
      - Whether M(virtfleet.passthrough.boot_trial) will boot with all this once before it becomes the default. Until
        then the old boot entry is to behave as before.
      - With V(true), RV(kernel_args) are left to that module. So is C(/etc/modprobe.d/virtfleet-vfio.conf), which no
        boot entry can switch off. It waits in the ledger. An image that M(virtfleet.passthrough.initramfs) builds with
        O(virtfleet.passthrough.initramfs#module:staged=true) holds it already, and the commit of the trial writes it.
      - A file that takes something away, such as the ids of a device that is given back, is written at once all the
        same, because the boot on trial would find the old one. So is what V(driverctl) needs.
    type: bool
    default: false
  allow:
    description:
      - Keys of refusals that are permitted for all of O(devices), see RV(refusals). Keys that belong to one device are
        better named there.
      - Known here are what the host needs (V(configured_nic), V(management_nic), V(storage), V(boot_vga),
        V(last_display), V(framebuffer), V(bmc), V(serial_console), V(only_keyboard), V(in_use)), what a guest would
        have to live with (V(no_reset), V(unsafe_interrupts), V(denylisted)),
        V(predicted_group) (while the IOMMU is off, another function of the group works for the host),
        V(runtime_gpu) (take a display from its driver), V(builtin_driver) (its driver is part of the kernel and
        probes first) and V(changed_identity) (another card sits at the address than the one that was configured).
    type: list
    elements: str
    default: []
seealso:
  - module: virtfleet.passthrough.initramfs
  - module: virtfleet.passthrough.kernel_cmdline
  - module: virtfleet.passthrough.iommu_groups_facts
"""

EXAMPLES = r"""
- name: Hold one network card for guests from the next boot on
  virtfleet.passthrough.vfio_bind:
    devices:
      - address: "0000:01:00.0"
        vendor_id: "8086"
        device_id: "10d3"
  register: binding

- name: Put the table into every kernel's image
  virtfleet.passthrough.initramfs:
  when: binding.initramfs_stale

- name: Take a card for the running system only
  virtfleet.passthrough.vfio_bind:
    devices:
      - address: "0000:02:00.0"
        allow: [configured_nic]
    timing: now

- name: Hold every card of a model by its ids, on a host that has no other use for one
  virtfleet.passthrough.vfio_bind:
    devices:
      - address: "0000:01:00.0"
      - address: "0000:02:00.0"
    exclusive: true
    method: ids

- name: Give it back
  virtfleet.passthrough.vfio_bind:
    devices:
      - address: "0000:02:00.0"
    state: absent
    timing: both
"""

RETURN = r"""
devices:
  description: The devices of O(devices) as they are, ordered by address. In check mode as they would be.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: PCI address.
      returned: success
      type: str
      sample: "0000:01:00.0"
    status:
      description:
        - V(bound), the device is on C(vfio-pci) and is meant to be.
        - V(pending_reboot), the next boot will change its driver.
        - V(not_configured), the host has it and keeps it.
      returned: success
      type: str
      sample: pending_reboot
    driver:
      description: The driver that holds it now, null without one.
      returned: success
      type: str
      sample: e1000e
    native_driver:
      description: The driver that it has without C(vfio-pci), as far as known.
      returned: success
      type: str
      sample: e1000e
    configured:
      description: Whether it will be held from the start of the next boot.
      returned: success
      type: bool
      sample: true
  sample:
    - {address: "0000:01:00.0", status: pending_reboot, driver: e1000e, native_driver: e1000e, configured: true}
reboot_required:
  description: >-
    Whether the running system differs from what the next boot brings, whenever that was configured; also where a device
    that was given back for the next boot is still held in this one.
  returned: success
  type: bool
  sample: true
initramfs_stale:
  description: Whether an image is not proven to hold what is configured now, or may still hold what was released.
  returned: success
  type: bool
  sample: true
kernel_args:
  description: What this module wants on the kernel command line of every entry, nothing for some methods.
  returned: success
  type: list
  elements: str
  sample: [virtfleet_passthrough.generation=1]
refusals:
  description: Why nothing was written, with the key that would allow it (null for never).
  returned: failure
  type: list
  elements: dict
  sample:
    - {device: "0000:00:01.0", reason: "0000:00:01.0 is a bridge (class 0604)", allow: null}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import AUTO, BOOTLOADERS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import run_module
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.vfio_bind import bind
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.methods import METHODS


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "devices": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "address": {"type": "str", "required": True},
                    "vendor_id": {"type": "str"},
                    "device_id": {"type": "str"},
                    "subsystem_vendor_id": {"type": "str"},
                    "subsystem_device_id": {"type": "str"},
                    "serial": {"type": "str"},
                    "allow": {"type": "list", "elements": "str", "default": []},
                },
            },
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "timing": {"type": "str", "choices": ["boot", "now", "both"], "default": "boot"},
            "method": {"type": "str", "choices": list(METHODS), "default": "auto"},
            "exclusive": {"type": "bool", "default": False},
            "trial_first": {"type": "bool", "default": False},
            "allow": {"type": "list", "elements": "str", "default": []},
            "bootloader": {"type": "str", "choices": list(BOOTLOADERS), "default": AUTO},
        },
        supports_check_mode=True,
    )
    run_module(module, bind)


if __name__ == "__main__":
    main()

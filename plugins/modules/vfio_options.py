#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vfio_options
short_description: Set what some passthrough devices need beside vfio-pci
version_added: 0.1.0
author:
  - virtfleet.passthrough contributors (@virtfleet)
description:
  - Sets options of kernel modules in one file of its own below C(/etc/modprobe.d), and on the kernel command line for
    modules that a kernel has built in.
  - Sets the sizes of resizable BARs at boot, and tells Xorg which GPU is the host's.
  - The options are all that this module has on the host. One that is false or left out is not written, and what an
    earlier run wrote for it is taken back. Where others set the same parameter to another value, that is refused.
  - An option that no installed kernel knows is refused, because the kernel would skip it silently. One that only some
    of them know gives a warning that names the others.
  - Options of modules that are in an initramfs count from the image that is built next, see
    M(virtfleet.passthrough.initramfs).
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._attributes.writes
  - virtfleet.passthrough._attributes.bootloader
options:
  state:
    description:
      - V(present) sets exactly what the other options say, V(absent) takes everything of this module back.
    type: str
    choices: [present, absent]
    default: present
  disable_vga:
    description:
      - C(vfio-pci disable_vga=1), guests get no access to the legacy VGA ranges of a display. For guests with UEFI.
    type: bool
    default: false
  disable_idle_d3:
    description:
      - C(vfio-pci disable_idle_d3=1), devices that no guest has stay powered. For devices that do not wake up again.
    type: bool
    default: false
  audio_unlink:
    description:
      - C(snd-hda-core gpu_bind=0) and C(snd-hda-codec-hdmi enable_acomp=n), the audio driver of the host leaves the GPU
        alone. Linux 6.1 and older do not have C(gpu_bind).
    type: bool
    default: false
  ignore_msrs:
    description:
      - C(kvm ignore_msrs=1), a guest that uses a machine register that KVM does not have goes on.
    type: bool
    default: false
  silence_ignored_msrs:
    description:
      - C(kvm report_ignored_msrs=0), such uses are not logged.
    type: bool
    default: false
  unsafe_interrupts:
    description:
      - C(vfio_iommu_type1 allow_unsafe_interrupts=1), for hosts whose IOMMU does not remap interrupts. A guest with a
        device can then send any interrupt to the host.
      - Refused where the IOMMU remaps interrupts.
    type: bool
    default: false
  blacklist_i2c_nvidia_gpu:
    description:
      - Keeps C(i2c_nvidia_gpu) from being loaded. With it the host may crash when an NVIDIA card with a USB controller
        changes its driver.
    type: bool
    default: false
  vendor_reset:
    description:
      - Loads the module C(vendor-reset) at boot, for AMD GPUs that do not come back after a guest. Refused where an
        installed kernel has no such module, or with O(kernel_has_amd_reset_patch).
    type: bool
    default: false
  kernel_has_amd_reset_patch:
    description:
      - Says that the kernels of this host carry a patch for the reset of AMD GPUs.
    type: bool
    default: false
  resizable_bars:
    description:
      - Sizes of resizable BARs, set by a udev rule whenever the device appears. Needs Linux 6.1.
      - The kernel resizes only while no driver is bound. A device that an initramfs gave to C(vfio-pci) already is
        taken off it for that moment, unless a guest has it open; a device that another driver holds is left alone.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description:
          - The PCI address, such as V(0000:01:00.0).
          - The rule also asks for the identity of the device that is there now.
        type: str
        required: true
      bar:
        description:
          - The number of the BAR, 0 to 5.
        type: int
        required: true
      size:
        description:
          - A power of two with its unit, such as V(256M) or V(16G), that the device offers.
        type: str
        required: true
  resize_now:
    description:
      - Resizes on the running host as well. Refused for a device that a driver holds.
    type: bool
    default: false
  xorg_host_gpu:
    description:
      - The GPU that Xorg on the host shall use, in a file below C(/etc/X11/xorg.conf.d).
    type: dict
    suboptions:
      address:
        description:
          - The PCI address as the kernel writes it. Xorg gets the decimal form.
        type: str
        required: true
      driver:
        description:
          - The Xorg driver.
        type: str
        default: modesetting
  trial_first:
    description:
      - Whether M(virtfleet.passthrough.boot_trial) will boot with all this once before it becomes the default. Until
        then the old boot entry is to behave as before.
      - With V(true), RV(kernel_args) are left to that module. So are the files in C(/etc/modprobe.d) and
        C(/etc/modules-load.d), which no boot entry can switch off. They wait in the ledger. The boot on trial has their
        content from its command line and from its image, and its commit writes them.
      - A file that takes an option away is written at once all the same, because the boot on trial would find the old
        one.
    type: bool
    default: false
seealso:
  - module: virtfleet.passthrough.vfio_bind
  - module: virtfleet.passthrough.initramfs
"""

EXAMPLES = r"""
- name: Keep idle devices powered and Windows guests from stopping at unknown registers
  virtfleet.passthrough.vfio_options:
    disable_idle_d3: true
    ignore_msrs: true

- name: Give a GPU's memory BAR its full size at boot, and Xorg the other GPU
  virtfleet.passthrough.vfio_options:
    resizable_bars:
      - {address: "0000:0b:00.0", bar: 0, size: 16G}
      - {address: "0000:0b:00.0", bar: 2, size: 256M}
    xorg_host_gpu:
      address: "0000:0a:00.0"

- name: Take all of it back
  virtfleet.passthrough.vfio_options:
    state: absent
"""

RETURN = r"""
files:
  description: The files that the options need. In check mode those that would be there.
  returned: success
  type: list
  elements: str
  sample: [/etc/modprobe.d/virtfleet-vfio-options.conf]
parameters:
  description: Every parameter that is set, and what the loaded module goes by.
  returned: success
  type: list
  elements: dict
  contains:
    module:
      description: The module.
      returned: success
      type: str
      sample: vfio_pci
    name:
      description: The parameter.
      returned: success
      type: str
      sample: disable_idle_d3
    configured:
      description: What it will be given when it is loaded next.
      returned: success
      type: str
      sample: "1"
    running:
      description: What it goes by now, null where the module is not loaded.
      returned: success
      type: str
      sample: "N"
  sample:
    - {module: vfio_pci, name: disable_idle_d3, configured: "1", running: "N"}
kernel_args:
  description: Kernel arguments for modules that a kernel has built in.
  returned: success
  type: list
  elements: str
  sample: [vfio_pci.disable_idle_d3=1]
reboot_required:
  description: >-
    Whether something that is set runs otherwise, whenever it was set, or something that was taken back in this boot
    still acts.
  returned: success
  type: bool
  sample: true
refusals:
  description: Why nothing was written.
  returned: failure
  type: list
  elements: dict
  sample:
    - {device: "0000:0b:00.0", reason: "BAR 0 of 0000:0b:00.0 cannot have 16G: the device offers 256M", allow: null}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import AUTO, BOOTLOADERS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import run_module
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.vfio_options import change


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "disable_vga": {"type": "bool", "default": False},
            "disable_idle_d3": {"type": "bool", "default": False},
            "audio_unlink": {"type": "bool", "default": False},
            "ignore_msrs": {"type": "bool", "default": False},
            "silence_ignored_msrs": {"type": "bool", "default": False},
            "unsafe_interrupts": {"type": "bool", "default": False},
            "blacklist_i2c_nvidia_gpu": {"type": "bool", "default": False},
            "vendor_reset": {"type": "bool", "default": False},
            "kernel_has_amd_reset_patch": {"type": "bool", "default": False},
            "resizable_bars": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "address": {"type": "str", "required": True},
                    "bar": {"type": "int", "required": True},
                    "size": {"type": "str", "required": True},
                },
            },
            "resize_now": {"type": "bool", "default": False},
            "xorg_host_gpu": {
                "type": "dict",
                "options": {
                    "address": {"type": "str", "required": True},
                    "driver": {"type": "str", "default": "modesetting"},
                },
            },
            "trial_first": {"type": "bool", "default": False},
            "bootloader": {"type": "str", "choices": list(BOOTLOADERS), "default": AUTO},
        },
        supports_check_mode=True,
    )
    run_module(module, change)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: initramfs
short_description: Build initramfs images where their inputs changed, and prove what they hold
version_added: 0.1.0
author:
  - virtfleet.passthrough contributors (@virtfleet)
description:
  - Looks into the image of every installed kernel and builds those anew that do not hold, byte for byte, what they
    must, or that still hold what was released.
  - What was proven is remembered. An image that nobody has replaced since costs one look at its size and time on later
    runs.
  - Each image is built beside the old one, read back, synced and only then moved into place. When the build
    fails, breaks off, lacks something or does not fit on the disk, the old image stands as before and the module fails.
  - On a host with an encrypted root file system a new image must also hold what the old one unlocks it with, which is
    cryptsetup, its table, key files and C(dm_crypt), each as far as the old image has it.
  - Where systemd-boot or the firmware starts the kernel, the image that they read is one of them, beside its boot entry
    or inside a unified kernel image. The latter is built anew with the initramfs as its only difference, by C(ukify).
  - With C(proxmox-boot-tool) only the image in C(/boot) is proven; the tool copies it.
  - Progress is written to the system log, as building takes seconds on hardware and minutes in emulation.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._attributes.writes
attributes:
  diff_mode:
    support: partial
    details:
      - Images are binary. The diff tells what is wrong with an image and what it must hold.
options:
  generator:
    description:
      - The program that makes images.
      - V(auto) takes the one that new kernels get their images from.
      - V(mkinitcpio) is needed in version 37 or later, and its presets must not name a configuration file of their own.
      - V(booster) makes images that run no scripts, so devices can be held by the method V(ids) alone, and only those
        whose own driver is not in the image, because booster loads all modules side by side. C(/etc/booster.yaml) is
        not written, it must have C(vfio_pci,vfio,vfio_iommu_type1) in C(modules_force_load).
    type: str
    choices: [auto, initramfs-tools, dracut, mkinitcpio, booster]
    default: auto
  kernels:
    description:
      - The releases of the kernels whose images count, such as V(6.1.0-37-amd64), or V(all) for every installed one.
      - A kernel is installed when it has a directory in C(/lib/modules), and a file C(/boot/vmlinuz-RELEASE), a preset
        of mkinitcpio or a boot entry on the EFI system partition.
    type: list
    elements: str
    default: [all]
  planned_files:
    description:
      - SHA-256 digests, by path, of the files that M(virtfleet.passthrough.vfio_bind) will have installed by the time
        this module runs, as C(components.initramfs.apply.planned_files) of M(virtfleet.passthrough.host_plan) names
        them. Empty for none.
      - Only used in check mode, where an earlier task has not written them, so that images are judged as they will be.
        Without it, and outside check mode, the files on the host count.
    type: dict
  staged:
    description:
      - Whether to build apart from the images that the machine boots with, and to leave those as they are, so that
        M(virtfleet.passthrough.boot_trial) can try the new ones first. What was built is in RV(staged).
      - The new images hold as well what is held back until the commit of the trial
        (O(virtfleet.passthrough.vfio_options#module:trial_first)). Their generator sees it in place, in a mount
        namespace of its own (C(unshare)), and nobody else does.
      - One that was staged earlier and is still right is not built again. A later run with V(false) removes what no
        trial waits for.
      - Refused for unified kernel images.
    type: bool
    default: false
  require:
    description:
      - What every image must hold besides the files and modules that M(virtfleet.passthrough.vfio_bind) needs there,
        which are always required.
      - This module does not put files into images. Configuration of the generator does, and is what a build follows.
    type: list
    elements: dict
    suboptions:
      path:
        description:
          - A file in the image. The form without leading slash means the same; shell patterns are understood.
        type: str
      content:
        description:
          - Its content, compared byte for byte. Without it and O(require[].content_sha256) any content will do.
        type: str
      content_sha256:
        description:
          - The SHA-256 of its content, in hexadecimal.
        type: str
      module:
        description:
          - A kernel module, which must be in the image with everything that it depends on, unless built into the
            kernel.
        type: str
seealso:
  - module: virtfleet.passthrough.vfio_bind
"""

EXAMPLES = r"""
- name: Bring every kernel's image up to date with what is held for vfio-pci
  virtfleet.passthrough.initramfs:

- name: Be sure that the driver of the root disk is there too
  virtfleet.passthrough.initramfs:
    require:
      - module: nvme
      - path: /etc/modprobe.d/local.conf
        content: "options nvme poll_queues=2\n"
"""

RETURN = r"""
generator:
  description: The program that makes the images.
  returned: success
  type: str
  sample: initramfs-tools
staged:
  description:
    - With O(staged), the release of each kernel whose images were not right to the one that was built for it, for
      O(virtfleet.passthrough.boot_trial#module:images). In check mode, where it would be.
  returned: success
  type: dict
  sample: {6.1.0-37-amd64: /var/lib/virtfleet-passthrough/images/6.1.0-37-amd64.img}
images:
  description: One for each image that a kernel can boot with, those on the EFI system partition last.
  returned: success
  type: list
  elements: dict
  contains:
    kernel:
      description: The release of the kernel.
      returned: success
      type: str
      sample: 6.1.0-37-amd64
    path:
      description: The image.
      returned: success
      type: str
      sample: /boot/initrd.img-6.1.0-37-amd64
    rebuilt:
      description: Whether it was built anew. In check mode, whether it would be.
      returned: success
      type: bool
      sample: true
    reasons:
      description: Why.
      returned: success
      type: list
      elements: str
      sample: [lacks etc/virtfleet-passthrough/vfio-devices]
    proven:
      description: What was found in it of what must be there. In check mode, in the present image.
      returned: success
      type: list
      elements: str
      sample: ["/etc/virtfleet-passthrough/vfio-devices sha256:9f86d081884c", module vfio_pci]
  sample:
    - kernel: 6.1.0-37-amd64
      path: /boot/initrd.img-6.1.0-37-amd64
      rebuilt: true
      reasons: [lacks etc/virtfleet-passthrough/vfio-devices]
      proven: ["/etc/virtfleet-passthrough/vfio-devices sha256:9f86d081884c", module vfio_pci]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.initramfs import (
    GENERATOR_CHOICES,
    prove_and_rebuild,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import run_module


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "generator": {"type": "str", "choices": list(GENERATOR_CHOICES), "default": "auto"},
            "kernels": {"type": "list", "elements": "str", "default": ["all"]},
            "planned_files": {"type": "dict"},
            "staged": {"type": "bool", "default": False},
            "require": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "path": {"type": "str"},
                    "content": {"type": "str"},
                    "content_sha256": {"type": "str"},
                    "module": {"type": "str"},
                },
            },
        },
        supports_check_mode=True,
    )
    run_module(module, prove_and_rebuild)


if __name__ == "__main__":
    main()

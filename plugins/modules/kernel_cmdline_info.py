#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_cmdline_info
short_description: The kernel command line that runs, that boots next, and of every boot entry
version_added: 0.1.0
author:
  - virtfleet.passthrough contributors (@virtfleet)
description:
  - Reads the three states of the kernel command line from files; starts no program and writes nothing.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._attributes.reads
  - virtfleet.passthrough._attributes.root
options:
  bootloader:
    description:
      - The boot loader that boots this machine. V(auto) detects it and fails with what was looked for when unsure.
    type: str
    choices: [auto, grub, proxmox-boot-tool, systemd-boot, unified-kernel]
    default: auto
seealso:
  - module: virtfleet.passthrough.kernel_cmdline
"""

EXAMPLES = r"""
- name: Read the command lines
  virtfleet.passthrough.kernel_cmdline_info:
  register: cmdline

- name: Say whether a reboot is owed
  ansible.builtin.debug:
    msg: "{{ cmdline.reboot_required }}"
"""

RETURN = r"""
running:
  description: The running kernel's command line as tokens.
  returned: success
  type: list
  elements: str
  sample: [BOOT_IMAGE=/boot/vmlinuz-6.1.0-40-amd64, root=/dev/vda2, ro, quiet]
next_boot:
  description: The tokens of the entry that boots next.
  returned: success
  type: list
  elements: str
  sample: [root=/dev/vda2, ro, quiet, intel_iommu=on]
entries:
  description: Every boot entry in menu order.
  returned: success
  type: list
  elements: dict
  contains:
    kernel:
      description: Kernel release.
      type: str
    title:
      description: Title in the boot menu.
      type: str
    args:
      description: The entry's arguments as tokens.
      type: list
      elements: str
    default:
      description: Whether this entry boots next.
      type: bool
    rescue:
      description: Whether this is a recovery entry.
      type: bool
    managed:
      description: Whether the distribution makes this entry for its own kernels; others are never changed.
      type: bool
    initrd:
      description: The initramfs that the entry loads, as the boot loader names it.
      type: str
owners:
  description: Owner to arguments, for everything this collection set.
  returned: success
  type: dict
  sample: {iommu: [intel_iommu=on]}
bootloader:
  description: The detected boot loader.
  returned: success
  type: str
  sample: grub
reboot_required:
  description: Whether the next boot's line differs from the running one.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import AUTO, BOOTLOADERS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.kernel_cmdline import inform
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import run_module


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "default": "/"},
            "bootloader": {"type": "str", "choices": list(BOOTLOADERS), "default": AUTO},
        },
        supports_check_mode=True,
    )
    run_module(module, inform)


if __name__ == "__main__":
    main()

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
  - Reads the three states of the kernel command line, configured in every boot entry, booting next and running, and
    says what differs.
  - Reads files only, and of the machine that it runs on the kernel's log through C(journalctl) or C(dmesg); in a
    captured tree the log is looked for in C(sos_commands/kernel/dmesg) and C(var/log/dmesg).
  - What addons (C(*.addon.efi), see systemd-stub(7)) put behind the line of a unified kernel image counts as part of
    it. With Secure Boot an addon without a signature is left out.
  - Fails with what was looked for where it is unclear which boot loader boots this machine.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._attributes.reads
  - virtfleet.passthrough._attributes.root
  - virtfleet.passthrough._attributes.bootloader
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

- name: Say for which parameters
  ansible.builtin.debug:
    msg: "{{ item.parameter }}: {{ item.running | join(' ') }} now, {{ item.next_boot | join(' ') }} after the reboot"
  loop: "{{ cmdline.differs }}"
  loop_control:
    label: "{{ item.parameter }}"

- name: Analyse a support archive on the controller
  virtfleet.passthrough.kernel_cmdline_info:
    root: /srv/archives/hv01
  delegate_to: localhost
"""

RETURN = r"""
running:
  description: The running kernel's command line as tokens.
  returned: success
  type: list
  elements: str
  sample: [BOOT_IMAGE=/boot/vmlinuz-6.1.0-40-amd64, root=/dev/vda2, ro, quiet]
next_boot:
  description: The tokens of the entry that boots next; empty where that is another operating system.
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
differs:
  description:
    - What the next boot is given otherwise than the running kernel, per parameter, in the next boot's order.
    - Empty where only the order of different parameters differs. What boot loaders add themselves does not count.
  returned: success
  type: list
  elements: dict
  contains:
    parameter:
      description: The parameter's name with C(_) for C(-), as the kernel compares names.
      type: str
    running:
      description: Its tokens on the running kernel's line, empty where it is not there.
      type: list
      elements: str
    next_boot:
      description: Its tokens on the line that boots next, empty where it is not there.
      type: list
      elements: str
  sample:
    - parameter: intel_iommu
      running: []
      next_boot: [intel_iommu=on]
unknown:
  description:
    - Tokens of the running line that the kernel reported as unknown in its log (since Linux 5.14).
    - Programs may know what the kernel does not, such as V(splash). Names with a dot are never reported. Linux 5.14
      reports C(intel_iommu) although it heeds it.
    - Empty as well where the log no longer goes back to the start of the kernel.
  returned: success
  type: list
  elements: str
  sample: [pcie_acs_override=downstream]
reboot_required:
  description:
    - Whether the next boot's line differs from the running one, whenever that was written. What boot loaders add
      themselves does not count.
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

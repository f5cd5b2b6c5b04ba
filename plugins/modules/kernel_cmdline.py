#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_cmdline
short_description: Ordered, owned kernel arguments in every boot entry
version_added: 0.1.0
author:
  - virtfleet.passthrough contributors (@virtfleet)
description:
  - Puts kernel arguments, in their order, on the command line of every installed kernel and takes them away again.
  - Only arguments that an O(owner) set earlier are ever changed or removed. Those of people and other tools stay in
    their place and order.
  - The new boot configuration is generated beside the old one, read back, and only then moved into its place.
    When the boot loader's tool fails or delivers something else, the old configuration stays.
  - Recovery entries are left alone, and so is what stands behind C(--), which the kernel hands to init.
  - A parameter that somebody else gave another value is a refusal that shows both sides, wherever it stands. That the
    last one wins is the kernel's rule, and not something to rely on unseen.
  - Parameters that the kernel adds up are no contradiction. These are C(console), C(earlycon), C(video), C(memmap),
    C(hugepagesz) with C(hugepages), C(dyndbg), C(initcall_blacklist), C(pcie_acs_override), C(modprobe.blacklist),
    those of the network in the initramfs, C(rd.*) and some of C(systemd.*).
  - C(intel_iommu), C(amd_iommu), C(iommu) and C(pci) take lists of words and add them up over several occurrences, so
    that C(pci=realloc) beside somebody else's C(pci=noaer) does what C(pci=noaer,realloc) would. Only words that
    exclude each other contradict, such as C(on) and C(off). Nothing is merged into somebody else's token.
  - Of a unified kernel image the line inside of it is changed. What addons (C(*.addon.efi)) put behind it stays there.
  - A line that gets longer than the 2047 bytes that the kernel reads is refused.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._attributes.writes
  - virtfleet.passthrough._attributes.bootloader
options:
  args:
    description:
      - The arguments, one list element each, in the order in which the kernel shall see them. A parameter may repeat,
        and C(hugepagesz=) stands before the C(hugepages=) that it is for. A count or size that the kernel would ignore
        on the resulting line is a warning.
      - A value with blanks needs double quotes, as on the kernel's line. Whether the boot loader's configuration can
        carry it is said by a refusal. With GRUB, letters, digits, blanks and C(_.,:=@%+/-) are possible.
      - With O(state=present) this is all that O(owner) has; what it set earlier and is not listed goes away.
      - With O(state=absent) these are taken away, or all of the owner's where the list is empty. What is not there,
        or is not the owner's, is no change.
    type: list
    elements: str
    default: []
  owner:
    description:
      - Who these arguments belong to. Roles use their own name.
    type: str
    default: user
  owners:
    description:
      - Owner to list of arguments, for several owners at once; the boot configuration is then generated only once.
      - An empty list takes the owner's arguments away. Owners that are not named keep theirs.
      - Used instead of O(args) and O(owner), with O(state=present).
    type: dict
  state:
    description:
      - Whether the arguments shall be there.
    type: str
    choices: [present, absent]
    default: present
  kernels:
    description:
      - For which kernels. V(all) is every installed kernel and every one installed later.
    type: str
    choices: [all]
    default: all
seealso:
  - module: virtfleet.passthrough.kernel_cmdline_info
"""

EXAMPLES = r"""
- name: Turn the IOMMU on explicitly
  virtfleet.passthrough.kernel_cmdline:
    owner: iommu
    args:
      - intel_iommu=on

- name: Keep the order of a pair
  virtfleet.passthrough.kernel_cmdline:
    owner: hugepages
    args:
      - hugepagesz=1G
      - hugepages=16

- name: Set the arguments of two owners in one go
  virtfleet.passthrough.kernel_cmdline:
    owners:
      iommu: [intel_iommu=on]
      hugepages: [hugepagesz=1G, hugepages=16]

- name: Take away everything that owner set
  virtfleet.passthrough.kernel_cmdline:
    owner: hugepages
    state: absent
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
      description: Whether this is a recovery entry, which is never changed.
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

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import BOOTLOADERS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.kernel_cmdline import change
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import run_module


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "args": {"type": "list", "elements": "str", "default": []},
            "owner": {"type": "str", "default": "user"},
            "owners": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "bootloader": {"type": "str", "choices": list(BOOTLOADERS), "default": "auto"},
            "kernels": {"type": "str", "choices": ["all"], "default": "all"},
        },
        supports_check_mode=True,
    )
    run_module(module, change)


if __name__ == "__main__":
    main()

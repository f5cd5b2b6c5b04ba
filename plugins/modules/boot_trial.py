#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: boot_trial
short_description: Boot a new kernel command line and initramfs once, and keep them only if they are committed
version_added: 0.1.0
author:
  - virtfleet.passthrough contributors (@virtfleet)
description:
  - Adds one boot entry with a new command line and, if told, an initramfs of its own, and chooses it for the next
    boot alone. The entry that boots by default stays what it is, so that every reboot that nobody committed, whatever
    caused it, brings the old line and the old initramfs back.
  - The boot on trial reboots by itself after a kernel panic, a soft lockup, a task that hangs, an initramfs that does
    not find its root file system, and when O(deadline) has passed without a commit. Where the image on trial can
    start a hardware watchdog, a hang from there on is covered too. What is not covered is in RV(not_covered).
  - This module never reboots. The reboot between V(armed) and V(committed) is the caller's.
  - What state a host is in is told by the host itself, so that a run can be cut off or repeated at any point.
  - While a trial is armed, the default entry has C(panic=) as well, unless there is one already. It belongs to the
    owner C(boot) of M(virtfleet.passthrough.kernel_cmdline), stays after a commit and goes with a roll-back.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._attributes.writes
options:
  state:
    description:
      - V(status) only reads.
      - V(armed) makes the entry and chooses it for the next boot. Arming the same again changes nothing. Another
        trial, or one whose kernel, image or default entry was changed since, replaces what is armed.
      - V(committed) makes the running trial the default. It writes O(owners) for every kernel, gives the very images
        that were named in O(images) the names that their kernels boot from, writes the files that
        M(virtfleet.passthrough.vfio_bind) and M(virtfleet.passthrough.vfio_options) have held back
        (O(virtfleet.passthrough.vfio_options#module:trial_first)), and takes the trial's entry away. It is refused
        where no trial runs, or where a kernel, an image, an entry or such a file was changed since it was armed.
      - V(rolled_back) takes an armed, running or failed trial away without a trace. A running one goes on until the
        next reboot, without its deadline.
      - V(absent) does the same, forgets the files that were held back, and takes away those that put the start of a
        hardware watchdog into images. Build these anew afterwards with M(virtfleet.passthrough.initramfs).
    type: str
    choices: [status, armed, committed, rolled_back, absent]
    default: status
  owners:
    description:
      - What each owner shall have on the command line, as O(virtfleet.passthrough.kernel_cmdline#module:owners) takes
        it. Owners that are not named keep theirs.
      - Only for O(state=armed). A commit writes what was armed.
    type: dict
  images:
    description:
      - Kernel release to the absolute path of a new initramfs for it. The one of the kernel that boots by default is
        tried. The others wait for the commit. Without it only the command line is on trial.
      - An image in the directory from which the boot loader loads images is tried where it lies, and renamed by a
        commit. One from elsewhere is copied there first, which needs room for a second image.
      - Only for O(state=armed).
    type: dict
  deadline:
    description:
      - Seconds from the start of the kernel after which a trial that nobody has committed is over. At least 60.
      - User space reboots 15 seconds earlier. What comes then, where there is one, is the hardware watchdog.
    type: int
    default: 900
  panic:
    description:
      - Seconds after which a kernel that panicked reboots. At least 1.
    type: int
    default: 15
  watchdog:
    description:
      - The hardware watchdog that the initramfs on trial starts. It resets the machine when O(deadline) has passed.
      - V(auto) takes one that is there and that the image can start, if any. V(off) takes none. A name is refused
        where that one cannot be used.
      - V(auto) also uses the watchdog of a baseboard management controller (C(ipmi_si)), which covers the firmware, the
        boot loader and the kernel before it has an initramfs as well. It is started when the machine shuts down for
        the trial, and stopped by a commit and in every other boot.
    type: str
    choices: [auto, "off", i6300esb, iTCO_wdt]
    default: auto
notes:
  - Supported are GRUB, with a generated menu or with Boot Loader Specification entries, and systemd-boot with entry
    files. Everything else, unified kernel images among them, is refused with the reason.
  - GRUB keeps the choice for one boot in its environment block. Where it cannot clear it (LVM, MD RAID, encryption,
    Btrfs, ZFS), the trial would become permanent and is refused. The file C(custom.cfg) beside C(grub.cfg)
    holds the entry. One that somebody else wrote is refused.
  - On Fedora a trial does not count as a boot that failed (C(boot_success) of GRUB's environment block). While
    greenboot counts boots (C(boot_counter)) none is armed. GRUB that waits at its menu for ever (C(timeout=-1)) is
    refused.
  - In virtual machines a trial that panics came back by itself with GRUB 2.06 (Debian 12) and systemd-boot 257 (Debian
    13), and one whose initramfs hangs with the hardware watchdog C(i6300esb), or that of a baseboard management
    controller. C(iTCO_wdt) and the configurations of other distributions were tested as recorded files.
seealso:
  - module: virtfleet.passthrough.kernel_cmdline
  - module: virtfleet.passthrough.initramfs
"""

EXAMPLES = r"""
- name: Try a command line, and come back by itself if the host does not
  virtfleet.passthrough.boot_trial:
    state: armed
    owners:
      iommu: [intel_iommu=on]
    deadline: 600

- name: Boot it
  ansible.builtin.reboot:

- name: Keep it, now that the host has come back and answers
  virtfleet.passthrough.boot_trial:
    state: committed

- name: See what a host is at
  virtfleet.passthrough.boot_trial:
  register: trial

- name: Clear away what is left of a trial that failed
  virtfleet.passthrough.boot_trial:
    state: rolled_back
  when: trial.state == 'rolled_back'
"""

RETURN = r"""
state:
  description:
    - V(none) if no trial is known, V(armed) if the next boot is one, V(trying) if this boot is one, V(committed) if
      this boot was one and is the default now.
    - V(rolled_back) if a trial was armed and this boot is another one, so that it failed.
    - V(interrupted) if a run was cut off while it armed or committed. The default entry boots. Arm again, or roll
      back.
    - In check mode, what it would be.
  returned: success
  type: str
  sample: armed
trial:
  description: The identifier of the trial, which its command line carries. V(null) without a trial.
  returned: success
  type: str
  sample: 0b7f4c21d9ae
entry:
  description: What the boot loader calls the entry on trial. V(null) without a trial.
  returned: success
  type: str
  sample: virtfleet-passthrough-trial
arguments:
  description: The tokens of the command line on trial.
  returned: success
  type: list
  elements: str
  sample: [root=/dev/vda2, ro, intel_iommu=on, virtfleet_passthrough.trial=0b7f4c21d9ae, panic=15]
deadline:
  description: Seconds from the start of the kernel after which a trial that nobody has committed is over.
  returned: success
  type: int
  sample: 900
watchdog:
  description: The module of the hardware watchdog that the trial starts. V(null) without one.
  returned: success
  type: str
  sample: i6300esb
bmc_watchdog:
  description:
    - Whether the watchdog of a baseboard management controller is started as the last act of the shutdown into the
      trial. It runs ten minutes longer than O(deadline), which the firmware may take.
  returned: success
  type: bool
not_covered:
  description: From what the machine would not come back by itself.
  returned: success
  type: list
  elements: str
  sample: ["an early hang is not covered: no hardware watchdog was found; known are i6300esb, iTCO_wdt"]
stale:
  description: Why what is armed or running is no longer what would be committed. Empty where it is.
  returned: success
  type: list
  elements: str
  sample: [/boot/vmlinuz-6.1.0-40-amd64 was changed since the trial was armed]
last_words:
  description:
    - Of a trial that failed, what it has left in the kernel's persistent store or in the journal. Empty where nothing
      was kept.
  returned: success
  type: list
  elements: str
  sample: ["Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"]
reboot_required:
  description: Whether the next boot gets another command line than the running kernel.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.arm import DEFAULT_DEADLINE, DEFAULT_PANIC
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.watchdog import AUTO, NAMES, OFF
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.boot_trial import STATES, STATUS, try_boot
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import run_module


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": list(STATES), "default": STATUS},
            "owners": {"type": "dict"},
            "images": {"type": "dict"},
            "deadline": {"type": "int", "default": DEFAULT_DEADLINE},
            "panic": {"type": "int", "default": DEFAULT_PANIC},
            "watchdog": {"type": "str", "choices": [AUTO, OFF, *NAMES], "default": AUTO},
        },
        supports_check_mode=True,
    )
    run_module(module, try_boot)


if __name__ == "__main__":
    main()

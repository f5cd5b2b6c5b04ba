#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_plan
short_description: One read of a host, compared with what is wanted
version_added: 0.1.0
author:
  - virtfleet.passthrough contributors (@virtfleet)
description:
  - Reads everything that decides in one module run, then judges on the controller, per component, whether the host is
    in sync, would change (with what and why), waits for a reboot, or must be left alone (with the reason and the key
    that would allow it).
  - Writes nothing on the host. A refusal is reported in the result; it does not fail the task.
  - Needs root on the host, because the PCI configuration space, boot loader files and the ledger are not for others to
    read.
  - Cannot be delegated, because what is wanted belongs to the host that it is read on.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._attributes.reads
  - virtfleet.passthrough._attributes.root
  - virtfleet.passthrough._attributes.bootloader
options:
  wanted:
    description:
      - Component to what is wanted of it, in the form of the roles' variables without their prefix.
      - A component that is not in it or null is unmanaged, nothing of it is read or judged.
      - An option that is null has its default.
      - Components are V(iommu), V(vfio), V(hugepages), V(cpu_isolation), V(kernel_arguments), V(initramfs),
        V(libvirt_host) and V(libvirt_domains).
    type: dict
    required: true
  components:
    description:
      - Judge only these of the components in O(wanted). All of them when it is left out.
    type: list
    elements: str
  allow:
    description:
      - Keys that allow, for the whole host, what would be refused otherwise.
      - V(tpm_sealed_root) allows changes of the command line or of images where the root file system is unlocked by
        measurements of them.
      - V(encrypted_root_console) allows to hold a display where the prompt for the passphrase of an encrypted root file
        system would be seen nowhere.
    type: list
    elements: str
  boot:
    description:
      - What may be done about a reboot that the wanted state needs. Nothing is ordered here; the plan says whether it
        can be had, and refuses what cannot.
    type: dict
    suboptions:
      reboot:
        description:
          - Whether the reboot may be made. With V(false) it is only said that one is needed.
        type: bool
        default: false
      trial_mode:
        description:
          - V(auto) makes it a boot on trial, from which the machine comes back by itself
            (M(virtfleet.passthrough.boot_trial)), and refuses where that is not possible, or where there is no room for
            new images beside the present ones until the trial is kept.
          - V(off) makes it a plain one.
        type: str
        choices: [auto, "off"]
        default: auto
      running_domains:
        description:
          - What becomes of domains that run. With V(refuse) they stand against the reboot.
        type: str
        choices: [refuse, shutdown, ignore]
        default: refuse
      deadline:
        description:
          - Seconds that a boot on trial has.
        type: int
        default: 600
requirements:
  - jmespath on the controller, where the selector C(query) is used.
  - netaddr on the controller, where the selector C(mac) is used.
"""

EXAMPLES = r"""
- name: See what would change
  virtfleet.passthrough.host_plan:
    wanted:
      iommu:
        enabled: true
      vfio:
        devices:
          - name: nic
            match:
              address: "0000:01:00.0"
              vendor_device: "8086:10d3"
  register: plan_result

- name: Show it
  ansible.builtin.debug:
    msg: "{{ plan_result.summary }}"
"""

RETURN = r"""
status:
  description:
    - The worst status of all components and of the reboot. A boot on trial that nobody has kept yet is C(drift), as
      the old entry is what boots by default.
  returned: success
  type: str
  sample: drift
once_kept:
  description: The status that the host has once a boot on trial is kept. In any other boot the same as RV(status).
  returned: success
  type: str
  sample: in_sync
reboot_required:
  description: Whether the wanted state is only reached through a reboot.
  returned: success
  type: bool
reboot:
  description:
    - What the reboot is for and what it costs. C(running_domains) are the domains that it would shut down, null where
      C(unknown) says why that is not known.
    - C(trial) says whether it will be a boot on trial, and what the host is at
      (RV(virtfleet.passthrough.boot_trial#module:state)).
    - C(refusals) stand against it like those of a component, C(warnings) say what is to be known.
  returned: success
  type: dict
  sample:
    required: true
    components: [iommu, vfio]
    running_domains: [web]
    unknown: null
    trial: {wanted: true, state: none}
    refusals: []
    warnings: []
components:
  description: Component name to verdict.
  returned: success
  type: dict
  sample:
    iommu:
      status: drift
      diff: [{setting: kernel arguments of iommu, before: null, after: intel_iommu=on, after_reboot: true, why: null}]
      refusals: []
devices:
  description: Names of C(vfio_devices) resolved to PCI addresses.
  returned: success
  type: dict
  sample: {nic: ["0000:01:00.0"]}
kernel_arguments:
  description: Component to its kernel arguments, for components that would change.
  returned: success
  type: dict
  sample: {iommu: [intel_iommu=on]}
owned:
  description: What this collection wrote on the host, by kind and name.
  returned: success
  type: dict
  sample: {kernel_args: [iommu], devices: ["0000:01:00.0"]}
boot_pending:
  description: Whether the next boot gets another kernel command line than the running one.
  returned: success
  type: bool
boot_ours:
  description: Whether the running system was started with our boot generation on its command line.
  returned: success
  type: bool
summary:
  description: The plan as lines for people.
  returned: success
  type: list
  elements: str
table:
  description: The same as a table that is 100 characters wide.
  returned: success
  type: list
  elements: str
boot_id:
  description: The kernel's identifier of the boot that was looked at.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.options import ARGUMENT_SPEC
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import AUTO, BOOTLOADERS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.reading import read_for_plan
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import run_module


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "wanted": {"type": "dict", "required": True},
            "components": {"type": "list", "elements": "str"},
            "allow": {"type": "list", "elements": "str"},
            "root": {"type": "path", "default": "/"},
            "bootloader": {"type": "str", "choices": list(BOOTLOADERS), "default": AUTO},
            "boot": {"type": "dict", "options": ARGUMENT_SPEC},
        },
        supports_check_mode=True,
    )
    run_module(module, read_for_plan)


if __name__ == "__main__":
    main()

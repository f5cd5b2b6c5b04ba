#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: passthrough_diagnosis_info
short_description: Known faults of passthrough in the logs of a host
version_added: 0.1.0
author:
  - virtfleet.passthrough contributors (@virtfleet)
description:
  - Looks for lines that are known to come with a fault in the kernel's log, in the ends of libvirt's logs of domains,
    in the messages of libvirt itself, and in the log of Xorg, and says what causes them and what helps.
  - For faults that look alike whatever causes them, tells which of the known causes the host and its domains have.
  - No finding does not mean that there is no fault. Where no remedy is known, none is named.
  - In a captured tree the kernel's log is looked for where sosreport and Debian keep it; the journal is not read there.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._attributes.reads
  - virtfleet.passthrough._attributes.root
options:
  previous_boot:
    description:
      - Looks into the kernel's log of the boot before this one as well, for a host that hung and was reset.
    type: bool
    default: false
  shutdown_limit:
    description:
      - For how many seconds a domain may be in shutdown before it counts as stuck.
    type: int
    default: 120
seealso:
  - module: virtfleet.passthrough.iommu_groups_facts
"""

EXAMPLES = r"""
- name: Look for known faults
  virtfleet.passthrough.passthrough_diagnosis_info:
    previous_boot: true
  register: diagnosis

- name: Show them
  ansible.builtin.debug:
    var: diagnosis.findings

- name: Show which causes of a guest's code 43 this host has
  ansible.builtin.debug:
    msg: "{{ diagnosis.checks | selectattr('symptom', '==', 'code_43') | selectattr('state', '!=', 'clear') }}"
"""

RETURN = r"""
checks:
  description: For each symptom its known causes, those of the host first, then those of each domain that has PCI
    devices of the host. A cause that applies need not be the one.
  returned: success
  type: list
  elements: dict
  contains:
    symptom:
      description: What is seen. V(code_43) in the guest, V(stop_loop) of the guest, V(no_picture), V(one_core) is used,
        V(no_hdmi_audio) on the host, V(frozen_console) of the host, V(stuck_shutdown) of the domain.
      returned: success
      type: str
      sample: code_43
    name:
      description: The cause.
      returned: success
      type: str
      sample: split_irqchip
    state:
      description: V(applies), V(clear), or V(unknown) where the host does not tell.
      returned: success
      type: str
      sample: clear
    domain:
      description: The domain, null for what is about the host.
      returned: success
      type: str
      sample: win11
    devices:
      description: The PCI addresses that it is about.
      returned: success
      type: list
      elements: str
      sample: []
    message:
      description: The cause in words, as it is where it applies.
      returned: success
      type: str
      sample: the I/O APIC is in QEMU and not in the kernel, which delays or loses line interrupts of devices
    remedies:
      description: What is known to help where it applies.
      returned: success
      type: list
      elements: str
      sample: [A newer machine type]
  sample:
    - symptom: code_43
      name: split_irqchip
      state: clear
      domain: win11
      devices: []
      message: the I/O APIC is in QEMU and not in the kernel, which delays or loses line interrupts of devices
      remedies: [A newer machine type]
findings:
  description: Every fault once for each device, by the last line that shows it.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: What it is.
      returned: success
      type: str
      sample: bar_not_reserved
    source:
      description: The log, V(kernel), V(qemu), V(libvirt) or V(xorg).
      returned: success
      type: str
      sample: kernel
    device:
      description: The PCI address that the line names, null where it names none.
      returned: success
      type: str
      sample: "0000:09:00.0"
    behind:
      description: What guests may have below that port.
      returned: success
      type: list
      elements: str
      sample: []
    message:
      description: The line.
      returned: success
      type: str
      sample: "vfio-pci 0000:09:00.0: BAR 3: can't reserve [mem 0xf0000000-0xf1ffffff 64bit pref]"
    cause:
      description: What is known to cause it.
      returned: success
      type: str
      sample: something else on the host holds the device's memory range
    remedies:
      description: What is known to help, empty where nothing is.
      returned: success
      type: list
      elements: str
      sample: [See what holds the range in /proc/iomem]
  sample:
    - name: bar_not_reserved
      source: kernel
      device: "0000:09:00.0"
      behind: []
      message: "vfio-pci 0000:09:00.0: BAR 3: can't reserve [mem 0xf0000000-0xf1ffffff 64bit pref]"
      cause: something else on the host holds the device's memory range
      remedies: [See what holds the range in /proc/iomem]
firmware:
  description: The board and its firmware, null for what it does not say. An update may cause a fault, and cure it.
  returned: success
  type: dict
  contains:
    vendor:
      description: Who made the firmware.
      returned: success
      type: str
      sample: American Megatrends Inc.
    version:
      description: Its version.
      returned: success
      type: str
      sample: "5007"
    date:
      description: Its date, as it says it.
      returned: success
      type: str
      sample: 06/17/2019
    board:
      description: The board.
      returned: success
      type: str
      sample: PRIME X370-PRO
  sample: {vendor: American Megatrends Inc., version: "5007", date: 06/17/2019, board: PRIME X370-PRO}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.passthrough_diagnosis_info import info
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import run_module


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "previous_boot": {"type": "bool", "default": False},
            "shutdown_limit": {"type": "int", "default": 120},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    run_module(module, info)


if __name__ == "__main__":
    main()

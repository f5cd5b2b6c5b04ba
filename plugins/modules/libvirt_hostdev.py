#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_hostdev
short_description: One host device of a libvirt domain
version_added: 0.1.0
description:
  - Adds a host device to a domain, changes it there, or takes it out, and touches nothing else of the domain.
  - Always changes the domain's definition, and the running guest as well where O(live) says so.
  - The device is checked before anything is written, as M(virtfleet.passthrough.libvirt_domain) does.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.writes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._libvirt
options:
  domain:
    description: Name of the domain.
    type: str
    required: true
  device:
    description: The device.
    type: dict
    required: true
    suboptions:
      type:
        description:
          - Kind of device.
          - Only V(pci) is in this version. The other kinds are refused.
        type: str
        choices: [pci, usb, scsi, mdev]
        default: pci
      address:
        description: Address of the PCI function, such as V(0000:01:00.0).
        type: str
      managed:
        description:
          - Whether libvirt takes the function from its driver at each start of the domain, and gives it back
            afterwards.
          - Leave it at V(false) for devices that vfio-pci holds from boot on.
        type: bool
        default: false
      rom_bar:
        description: Whether the guest sees the device's expansion ROM. QEMU's default when omitted.
        type: bool
      rom_file:
        description: A file on the host that is shown to the guest as the expansion ROM.
        type: path
      boot_order:
        description: The device's turn when the firmware looks for something to boot, from 1.
        type: int
      allow:
        description:
          - Keys that permit having libvirt take this function from the host although the host uses it,
            such as V(configured_nic). For O(device.managed=true) only.
        type: list
        elements: str
        default: []
  state:
    description: Whether the domain shall have the device.
    type: str
    choices: [present, absent]
    default: present
  live:
    description:
      - Whether the guest gets or loses the device while it runs.
      - V(auto) tries it, and reports RV(restart_required) with a warning when the guest does not take part.
      - V(true) fails then, and leaves the definition as it was.
      - V(false) leaves the running guest alone.
      - A device that the guest has already keeps its settings until the next start.
    type: str
    choices: [auto, 'true', 'false']
    default: auto
seealso:
  - module: virtfleet.passthrough.libvirt_domain
author:
  - virtfleet.passthrough contributors (@virtfleet)
"""

EXAMPLES = r"""
- name: Give a network card to a domain, at once if it runs
  virtfleet.passthrough.libvirt_hostdev:
    domain: router
    device:
      address: "0000:03:00.0"
      rom_bar: false

- name: Take it out with the next start
  virtfleet.passthrough.libvirt_hostdev:
    domain: router
    device:
      address: "0000:03:00.0"
    state: absent
    live: 'false'
"""

RETURN = r"""
restart_required:
  description: Whether the running domain lacks something of its definition, which it gets with its next start.
  returned: success
  type: bool
  sample: false
pending:
  description: What the running domain lacks.
  returned: success
  type: list
  elements: dict
  sample: []
  contains:
    setting:
      description: Which setting.
      type: str
      sample: devices/hostdev[0000:03:00.0]
    before:
      description: What runs, V(null) for nothing.
      type: str
      sample: null
    after:
      description: What is defined, V(null) for nothing.
      type: str
      sample: <hostdev type="pci" managed="no">…</hostdev>
differences:
  description: What was changed in the definition, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{setting: "devices/hostdev[0000:03:00.0]", before: null, after: "<hostdev …>"}]
  contains:
    setting:
      description: Which setting.
      type: str
      sample: devices/hostdev[0000:03:00.0]
    before:
      description: What was there, V(null) for nothing.
      type: str
      sample: null
    after:
      description: What is there now, V(null) for nothing.
      type: str
      sample: <hostdev mode="subsystem" type="pci" managed="no">…</hostdev>
live_changed:
  description: Whether the running guest was changed, or would be in check mode.
  returned: success
  type: bool
  sample: false
xml:
  description: The domain's definition, in check mode what would be handed to libvirt.
  returned: success
  type: str
  sample: "<domain type='kvm'>…</domain>"
refusals:
  description: Why nothing was written.
  returned: when refused
  type: list
  elements: dict
  sample: [{device: "0000:01:00.0", reason: "domain 'other' is running with 0000:01:00.0", allow: null}]
  contains:
    device:
      description: Address of the device.
      type: str
      sample: "0000:01:00.0"
    reason:
      description: The reason.
      type: str
      sample: domain 'other' is running with 0000:01:00.0
    allow:
      description: The key that would permit it, V(null) for none.
      type: str
      sample: configured_nic
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.libvirt_hostdev import body
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import run_module


def main() -> None:
    """Entry point."""
    device = {
        "type": {"type": "str", "choices": ["pci", "usb", "scsi", "mdev"], "default": "pci"},
        "address": {"type": "str"},
        "managed": {"type": "bool", "default": False},
        "rom_bar": {"type": "bool"},
        "rom_file": {"type": "path"},
        "boot_order": {"type": "int"},
        "allow": {"type": "list", "elements": "str", "default": []},
    }
    module = AnsibleModule(
        argument_spec={
            "domain": {"type": "str", "required": True},
            "device": {"type": "dict", "required": True, "options": device},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "live": {"type": "str", "choices": ["auto", "true", "false"], "default": "auto"},
            "uri": {"type": "str", "default": "qemu:///system"},
        },
        supports_check_mode=True,
    )
    run_module(module, body)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sriov
short_description: Virtual functions of an SR-IOV card, now and at every boot
version_added: 0.1.0
author:
  - virtfleet.passthrough contributors (@virtfleet)
description:
  - Makes the virtual functions (VFs) of one physical function (PF) and their settings on the running host, and writes
    a udev rule with a script that makes the same at every boot, before the network comes up.
  - The rule acts on the very card at the address (vendor, device and subsystem), and only while it has no VFs. In a
    boot that was not made for the devices that M(virtfleet.passthrough.vfio_bind) holds (a fallback), no VFs are made
    either.
  - Without O(autoprobe) no driver of the host sees a VF, unless C(driver_override) names one, as it does for the
    devices that M(virtfleet.passthrough.vfio_bind) holds.
  - The number of VFs changes only through none at all, so it is refused while one of them is in use. If a step fails,
    the former number is brought back with the former settings. Many drivers reset the link of the PF meanwhile.
  - The PF stays with the host. One that is held by C(vfio-pci) is refused.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._attributes.writes
requirements:
  - iproute2 on the host, where settings of VFs are made (C(ip)) or O(switchdev) is set (C(devlink))
options:
  device:
    description:
      - The PCI address of the PF, such as V(0000:01:00.0).
    type: str
    required: true
  vendor_device:
    description:
      - Vendor and device that must sit at the address, such as V(8086:10c9).
    type: str
  numvfs:
    description:
      - How many VFs there shall be. Required with O(state=present).
    type: int
  autoprobe:
    description:
      - Whether the host's own drivers take the VFs. Leave it off for VFs that go to guests.
    type: bool
    default: false
  switchdev:
    description:
      - Whether the card's embedded switch is in the mode C(switchdev) (V(true)) or C(legacy) (V(false)).
      - Undefined leaves it alone.
    type: bool
  vfs:
    description:
      - Settings of single VFs. What is not named is left alone.
      - A setting that the driver takes without an error and does not make is an error here.
    type: list
    elements: dict
    default: []
    suboptions:
      index:
        description:
          - The number of the VF, from 0.
        type: int
        required: true
      mac:
        description:
          - Its MAC address, in quotes.
        type: str
      vlan:
        description:
          - Its VLAN, which the guest does not see. V(0) is none.
        type: int
      qos:
        description:
          - The priority in its VLAN tags, V(0) to V(7).
        type: int
      trust:
        description:
          - Whether the guest may change its MAC address and listen to all traffic.
        type: bool
      spoof_check:
        description:
          - Whether frames with another sender than the VF's own are dropped.
        type: bool
      link_state:
        description:
          - V(auto) shows the guest the link of the PF, V(enable) a link that is always up, V(disable) none.
        type: str
        choices: [auto, enable, disable]
  state:
    description:
      - V(absent) brings back the number of VFs that was there before the first run, and removes what was written.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: virtfleet.passthrough.vfio_bind
  - module: virtfleet.passthrough.iommu_groups_facts
"""

EXAMPLES = r"""
- name: Make four VFs for guests
  virtfleet.passthrough.sriov:
    device: "0000:01:00.0"
    numvfs: 4
    vfs:
      - index: 0
        mac: "52:54:00:aa:00:10"
        vlan: 100
        spoof_check: true
      - index: 1
        mac: "52:54:00:aa:00:11"
        trust: true

- name: Give them back
  virtfleet.passthrough.sriov:
    device: "0000:01:00.0"
    state: absent
"""

RETURN = r"""
numvfs:
  description: How many VFs the PF has. In check mode, would have.
  returned: success
  type: int
  sample: 4
vfs:
  description: The VFs, ordered by their numbers. In check mode as they would be.
  returned: success
  type: list
  elements: dict
  contains:
    index:
      description: Number of the VF.
      type: int
      sample: 0
    address:
      description: Its PCI address, null while it is not there.
      type: str
      sample: "0000:01:10.0"
    driver:
      description: The driver that holds it now, null without one.
      type: str
      sample: vfio-pci
    mac:
      description: The MAC address that was asked for, null where it was left alone.
      type: str
      sample: "52:54:00:aa:00:10"
    vlan:
      description: The VLAN that was asked for, null where it was left alone.
      type: int
      sample: 100
    qos:
      description: The priority that was asked for, null where it was left alone.
      type: int
      sample: 0
    trust:
      description: Whether the guest is trusted, null where that was left alone.
      type: bool
      sample: false
    spoof_check:
      description: Whether senders are checked, null where that was left alone.
      type: bool
      sample: true
    link_state:
      description: The link that the guest sees, null where it was left alone.
      type: str
      sample: auto
refusals:
  description: Why nothing was written, with the key that would allow it (null for never).
  returned: failure
  type: list
  elements: dict
  sample:
    - {device: "0000:01:00.0", reason: "0000:01:00.0 can have 7 VFs at most, wanted are 8", allow: null}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import run_module
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.sriov import change


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "device": {"type": "str", "required": True},
            "vendor_device": {"type": "str"},
            "numvfs": {"type": "int"},
            "autoprobe": {"type": "bool", "default": False},
            "switchdev": {"type": "bool"},
            "vfs": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "index": {"type": "int", "required": True},
                    "mac": {"type": "str"},
                    "vlan": {"type": "int"},
                    "qos": {"type": "int"},
                    "trust": {"type": "bool"},
                    "spoof_check": {"type": "bool"},
                    "link_state": {"type": "str", "choices": ["auto", "enable", "disable"]},
                },
            },
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ("numvfs",))],
        supports_check_mode=True,
    )
    run_module(module, change)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pci_rom_info
short_description: What is in the file of an expansion ROM, and whether it fits a device
version_added: 0.1.0
author:
  - virtfleet.passthrough contributors (@virtfleet)
description:
  - Says which images a ROM file has, for which devices they are, and whether a guest with UEFI can use it.
  - Fails where the file is cut off, is no ROM, has another O(checksum), or is not for the model at O(address). A ROM of
    another model may harm a card.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._attributes.reads
  - virtfleet.passthrough._attributes.root
options:
  path:
    description:
      - The file.
    type: path
    required: true
  address:
    description:
      - The PCI address of the device that the file is to be for.
    type: str
  checksum:
    description:
      - What the file must have, such as V(sha256:9f86d081...) with all 64 digits.
    type: str
seealso:
  - module: virtfleet.passthrough.pci_rom
"""

EXAMPLES = r"""
- name: Refuse a ROM file that is not for this card, or cannot be used with UEFI
  virtfleet.passthrough.pci_rom_info:
    path: /usr/share/vgabios/card.rom
    address: "0000:0b:00.0"
  register: rom
  failed_when: rom is failed or not rom.uefi
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
  sample: /usr/share/vgabios/card.rom
uefi:
  description: Whether one of the images is for UEFI.
  returned: success
  type: bool
  sample: true
ids:
  description: The devices that the images are for, vendor and device.
  returned: success
  type: list
  elements: str
  sample: ["10de:1184"]
images:
  description: The images in their order.
  returned: success
  type: list
  elements: dict
  contains:
    offset:
      description: Where it begins.
      returned: success
      type: int
      sample: 61440
    length:
      description: Its bytes.
      returned: success
      type: int
      sample: 61440
    code_type:
      description: V(x86) (legacy BIOS), V(efi), V(open_firmware), V(hp_pa_risc), or the unknown number.
      returned: success
      type: str
      sample: efi
    vendor_id:
      description: Vendor, four hexadecimal digits.
      returned: success
      type: str
      sample: "10de"
    device_ids:
      description: The devices it is for, four hexadecimal digits each.
      returned: success
      type: list
      elements: str
      sample: ["1184"]
    class:
      description: Class, six hexadecimal digits.
      returned: success
      type: str
      sample: "030000"
    machine:
      description: For which machine an EFI image is, null for others.
      returned: success
      type: str
      sample: x64
    checksum_ok:
      description: Whether the sum over an x86 image is right, null for others.
      returned: success
      type: bool
      sample: true
  sample:
    - offset: 61440
      length: 61440
      code_type: efi
      vendor_id: "10de"
      device_ids: ["1184"]
      class: "030000"
      machine: x64
      checksum_ok: null
size:
  description: Bytes.
  returned: success
  type: int
  sample: 122880
sha256:
  description: The digest.
  returned: success
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.pci_rom import info
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import run_module


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "address": {"type": "str"},
            "checksum": {"type": "str"},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    run_module(module, info)


if __name__ == "__main__":
    main()

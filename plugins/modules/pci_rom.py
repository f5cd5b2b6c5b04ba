#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pci_rom
short_description: Save a device's expansion ROM to a file
version_added: 0.1.0
author:
  - virtfleet.passthrough contributors (@virtfleet)
description:
  - Reads the expansion ROM of a PCI device, such as the VBIOS of a GPU, and writes it to a file that a domain can name
    as its C(rom_file). The ROM is switched off again whatever happens while it is read.
  - What was read is written only where it is a whole ROM that is for this very model.
  - A file that is there already is never overwritten. It is checked in the same way, and the device is left alone.
  - Refused while a guest has the device.
  - The file belongs to whoever asked for it, the role P(virtfleet.passthrough.revert#role) leaves it.
  - Nothing of this collection ever writes into a device's ROM.
extends_documentation_fragment:
  - virtfleet.passthrough._attributes
  - virtfleet.passthrough._attributes.actiongroup
  - virtfleet.passthrough._attributes.writes
attributes:
  diff_mode:
    support: none
options:
  address:
    description:
      - The PCI address, such as V(0000:01:00.0).
    type: str
    required: true
  dest:
    description:
      - The file, in a directory that is there and that QEMU can read.
    type: path
    required: true
seealso:
  - module: virtfleet.passthrough.pci_rom_info
  - module: virtfleet.passthrough.libvirt_hostdev
"""

EXAMPLES = r"""
- name: Save the ROM of a GPU while another display is the first one
  virtfleet.passthrough.pci_rom:
    address: "0000:0b:00.0"
    dest: /usr/share/vgabios/card.rom
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
  sample: /usr/share/vgabios/card.rom
uefi:
  description: Whether one of the images is for UEFI.
  returned: when the file is there
  type: bool
  sample: true
ids:
  description: The devices that the images are for, vendor and device.
  returned: when the file is there
  type: list
  elements: str
  sample: ["10de:1184"]
images:
  description: The images in their order, see M(virtfleet.passthrough.pci_rom_info).
  returned: when the file is there
  type: list
  elements: dict
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
  returned: when the file is there
  type: int
  sample: 122880
sha256:
  description: The digest, for C(checksum) of M(virtfleet.passthrough.pci_rom_info).
  returned: when the file is there
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.pci_rom import dump
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import run_module


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    run_module(module, dump)


if __name__ == "__main__":
    main()

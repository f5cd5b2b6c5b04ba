# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection: names and behaviour change without notice.

"""What the modules of this collection promise about check mode, diff, idempotence and platforms."""

from __future__ import annotations


class ModuleDocFragment:
    # Modules that write add their own C(check_mode) and C(diff_mode) support.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description:
      - Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description:
      - Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
  platform:
    description: Target operating systems on which the module can be used.
requirements:
  - Python 3.9 or later on the managed host.
"""

    # Modules that change the host.
    WRITES = r"""
options: {}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    support: full
    platforms: linux
"""

    # Modules that only read.
    READS = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module does not modify state.
  diff_mode:
    support: N/A
    details:
      - This module does not modify state.
  idempotent:
    support: full
    details:
      - This module does not modify state.
  platform:
    support: full
    platforms: linux
"""

    ACTIONGROUP = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/virtfleet.passthrough.passthrough) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - virtfleet.passthrough.passthrough
"""

    ROOT = r"""
options:
  root:
    description:
      - The directory that stands for V(/), so that a captured tree can be analysed.
      - V(root/sys), V(root/proc), V(root/etc) and V(root/boot) stand for the real ones.
    type: path
    default: /
"""

    BOOTLOADER = r"""
options:
  bootloader:
    description:
      - The boot loader that boots this machine.
      - V(auto) tells it from what started the running kernel (EFI variables, C(/proc/cmdline)) and from what is
        configured, and fails with what was looked for when unsure. A name decides then; it is refused where another
        boot loader is certain.
      - V(grub) is GRUB with a menu that C(grub-mkconfig) generates; V(grub-bls) is GRUB with Boot Loader Specification
        entries (Fedora, Enterprise Linux), whose arguments C(grubby) shows.
    type: str
    choices: [auto, extlinux, grub, grub-bls, proxmox-boot-tool, rpm-ostree, systemd-boot, unified-kernel]
    default: auto
"""

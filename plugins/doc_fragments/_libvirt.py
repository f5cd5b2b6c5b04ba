# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection: names and behaviour change without notice.

"""What every module that talks to libvirt needs and takes."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
requirements:
  - libvirt 7.1 or later, and the distribution's package C(python3-libvirt), on the managed host.
options:
  uri:
    description:
      - The libvirt to talk to. It has to be the one of the managed host itself, because devices are checked there.
      - A user's own libvirt (V(qemu:///session)) is refused. It can neither take devices nor offer UEFI.
    type: str
    default: qemu:///system
"""

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The files that bring the VFs back at every boot: a udev rule, a script and its table. Pure text.

udev runs the script while it handles the PF: for a network card, while it handles the card's interface. Whoever brings
the network up waits for udev to have done with an interface, and the interface has its final name by then. Other PFs
are handled once their driver has them. In an initramfs the rule does nothing, because the script is not there: the
root file system's own coldplug comes to these devices again.

The VFs are made without a driver of the host (``sriov_drivers_autoprobe``), which the kernel gives to none of them then
but to those that have a ``driver_override`` (drivers/pci/pci-driver.c, pci_device_can_probe): vfio-pci, by the rule of
``_vfio/files.py``.
"""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.links import words
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.record import Record
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.request import SETTINGS
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.generation_check import (
    stay_out_of_other_boots,
)

OWNER = "sriov"

SCRIPT_PATH = "/etc/virtfleet-passthrough/sriov-boot"
VFS_PATH = "/etc/virtfleet-passthrough/sriov-vfs"
# Before the rule that binds VFs, for people who read the directory; a VF has an event of its own.
RULE_PATH = "/etc/udev/rules.d/69-virtfleet-sriov.rules"

MANAGED = "Written by Ansible (virtfleet.passthrough.sriov); changes made here will be refused, not kept."

_TEMPLATE = r"""#!/bin/sh
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# @MANAGED@
#
# Makes the VFs of one PF and their settings as @VFS@ says. udev runs it
# for a PF that has none yet. The first argument is the PF's address, the second, if any, is put before every path:
# for tests.

address=${1:?}
prefix=${2:-}
device=$prefix/sys/bus/pci/devices/$address

# udev gives no PATH, and a shell's own need not have the places of ip and devlink (bash of EL 9).
PATH=${PATH:-/usr/bin:/bin}:$prefix/usr/sbin:$prefix/sbin
export PATH

log() {
  { echo "virtfleet-passthrough: $*" >>"$prefix/dev/kmsg"; } 2>/dev/null
}

# put VALUE FILE: whether the kernel took it
put() {
  { echo "$1" >"$2"; } 2>/dev/null
}

# A boot that was not made for the table of held devices (a fallback) gets no VFs either: nothing would hold them.
@OTHER_BOOTS@
number=
autoprobe=
eswitch=
while read -r word pf first second third; do
  if [ "$word" = pf ] && [ "$pf" = "$address" ]; then
    number=$first
    autoprobe=$second
    eswitch=$third
  fi
done <"$prefix@VFS@"
[ -n "$number" ] || exit 0

present=
{ read -r present <"$device/sriov_numvfs"; } 2>/dev/null
if [ "$present" != 0 ]; then
  log "$address has ${present:-no} VFs already: left as they are"
  exit 0
fi

# The first one: a card with a switch has interfaces for its VFs as well, later.
interface=
for path in "$device"/net/*; do
  [ -d "$path" ] || continue
  interface=${path##*/}
  break
done
driver=$(readlink "$device/driver")
driver=${driver##*/}

# eswitch: the mode of the card's switch. Some drivers change it without VFs only, others only with them.
set_eswitch() {
  if [ "$eswitch" != - ] && [ "$1" = "$2" ]; then
    devlink dev eswitch set "pci/$address" mode "$eswitch" || log "$address: its switch did not go to $eswitch"
  fi
}
case $driver in
  @BEFORE@) moment=before ;;
  *) moment=after ;;
esac

put 0 "$device/sriov_drivers_autoprobe" || log "$address: the kernel gives VFs to drivers at once"
set_eswitch "$moment" before
if ! put "$number" "$device/sriov_numvfs"; then
  log "$address: the driver ${driver:-(none)} refused $number VFs"
  put "$autoprobe" "$device/sriov_drivers_autoprobe"
  exit 1
fi
log "$address has $number VFs"

failed=0
while read -r word pf index settings; do
  if [ "$word" = vf ] && [ "$pf" = "$address" ]; then
    # Several words: what ip is told of this VF.
    # shellcheck disable=SC2086
    if ! ip link set dev "$interface" vf "$index" $settings; then
      log "$address: VF $index did not take: $settings"
      failed=1
    fi
  fi
done <"$prefix@VFS@"
set_eswitch "$moment" after

if [ "$autoprobe" = 1 ]; then
  put 1 "$device/sriov_drivers_autoprobe"
  for path in "$device"/virtfn*; do
    [ -L "$path" ] || continue
    vf=$(readlink "$path")
    put "${vf##*/}" "$prefix/sys/bus/pci/drivers_probe"
  done
fi
exit "$failed"
"""

# Their eswitch is set while there are no VFs: drivers/net/ethernet/intel/ice/ice_eswitch.c refuses it later.
ESWITCH_BEFORE_VFS = ("ice",)

_OTHER_BOOT = "$address gets no VFs: this boot has generation ${running:-none}, the held devices have $generation"

SCRIPT = (
    _TEMPLATE.replace("@MANAGED@", MANAGED)
    .replace("@VFS@", VFS_PATH)
    .replace("@OTHER_BOOTS@", stay_out_of_other_boots(_OTHER_BOOT))
    .replace("@BEFORE@", " | ".join(ESWITCH_BEFORE_VFS))
)


def boot_files(records: t.Mapping[Address, Record]) -> tuple[OwnedFile, ...]:
    """Every file for these PFs, none for none; the rule last, because it runs the others."""
    present = {address: record for address, record in sorted(records.items()) if record.wanted.numvfs}
    if not present:
        return ()
    return (
        OwnedFile(VFS_PATH, vfs_table(present).encode()),
        OwnedFile(SCRIPT_PATH, SCRIPT.encode(), 0o755),
        OwnedFile(RULE_PATH, udev_rule(present).encode()),
    )


def vfs_table(records: t.Mapping[Address, Record]) -> str:
    """::

    pf 0000:01:00.0 2 0 -
    vf 0000:01:00.0 0 mac 52:54:00:aa:00:10

    Per PF its number of VFs, autoprobe and the mode of its switch (``-``: left alone), then the settings of its VFs
    in the words of ``ip link set``, one to a line.
    """
    lines = [f"# {MANAGED}"]
    for address, record in sorted(records.items()):
        wanted = record.wanted
        lines.append(f"pf {address} {wanted.numvfs} {int(wanted.autoprobe)} {wanted.eswitch or '-'}")
        for index, settings in wanted.vfs.items():
            given = settings.to_json()
            names = [name for name in SETTINGS if name in given and not (name == "qos" and "vlan" in given)]
            lines += [f"vf {address} {index} {' '.join(words(settings, name))}" for name in names]
    return "\n".join(lines) + "\n"


def udev_rule(records: t.Mapping[Address, Record]) -> str:
    """One line for every PF: it acts on the very card at its address, and only while that has no VFs."""
    lines = [
        f"# {MANAGED}",
        f'TEST!="{SCRIPT_PATH}", GOTO="virtfleet_sriov_end"',
    ]
    for address, record in sorted(records.items()):
        run = f'RUN+="/bin/sh {SCRIPT_PATH} {address}"'
        ids = (
            ("vendor", record.identity.vendor_id),
            ("device", record.identity.device_id),
            ("subsystem_vendor", record.identity.subsystem_vendor_id),
            ("subsystem_device", record.identity.subsystem_device_id),
        )
        if record.network:
            # All of the conditions with an S hold for one and the same device above the interface.
            conditions = "".join(f', ATTRS{{{name}}}=="0x{digits}"' for name, digits in ids)
            match = f'ACTION=="add", SUBSYSTEM=="net", SUBSYSTEMS=="pci", KERNELS=="{address}"{conditions}'
            lines.append(f'{match}, ATTRS{{sriov_numvfs}}=="0", {run}')
        else:
            conditions = "".join(f', ATTR{{{name}}}=="0x{digits}"' for name, digits in ids)
            match = f'ACTION=="add|bind", SUBSYSTEM=="pci", KERNEL=="{address}", DRIVER=="?*"{conditions}'
            lines.append(f'{match}, ATTR{{sriov_numvfs}}=="0", {run}')
    lines.append('LABEL="virtfleet_sriov_end"')
    return "\n".join(lines) + "\n"

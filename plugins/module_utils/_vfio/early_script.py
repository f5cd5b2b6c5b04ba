# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The script that an initramfs runs before udev: the text, one for every generator.

It may count on the shell's builtins, ``readlink`` and ``modprobe`` only: an initramfs often holds nothing else.
"""

from __future__ import annotations

from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.generation_check import IS_MEANT, READ_RUNNING
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import TABLE_PATH

MANAGED = "Written by Ansible (virtfleet.passthrough.vfio_bind); changes made here will be refused, not kept."

PREAMBLE = f"""\
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# {MANAGED}
"""

_TEMPLATE = r"""#!/bin/sh
@PREAMBLE@#
# Holds the PCI devices of @TABLE@ for vfio-pci before udev
# loads other drivers: each address only while the very card of the table sits there, and
# nothing at all unless this boot was made for it: what stands below the generation on the command line counts.
# The argument, if any, is put before every path: for tests.

set -f
prefix=${1:-}
table=$prefix@TABLE@
devices=$prefix/sys/bus/pci/devices
drivers=$prefix/sys/bus/pci/drivers
probe=$prefix/sys/bus/pci/drivers_probe

log() {
  { echo "virtfleet-passthrough: $*" >>"$prefix/dev/kmsg"; } 2>/dev/null
}

# put VALUE FILE: whether the kernel took it
put() {
  { echo "$1" >"$2"; } 2>/dev/null
}

# attribute NAME: the device's four hex digits, in $digits
attribute() {
  digits=
  { read -r digits <"$devices/$address/$1"; } 2>/dev/null
  digits=${digits#0x}
}

# driver: the driver that holds the device, in $driver
driver() {
  driver=
  if [ -L "$devices/$address/driver" ]; then
    driver=$(readlink "$devices/$address/driver")
    driver=${driver##*/}
  fi
}

# give_back: no device may end without a driver
give_back() {
  put "" "$devices/$address/driver_override"
  put "$address" "$probe"
}

[ -r "$table" ] || exit 0
read -r word generation <"$table"
[ "$word" = generation ] || exit 0

@READ_RUNNING@@IS_MEANT@if [ -z "$meant" ]; then
  log "the devices of generation $generation are left to their own drivers: this boot has ${running:-none}"
  exit 0
fi

held=
section=
while read -r address vendor device subvendor subdevice serial; do
  if [ "$address" = generation ]; then
    section=$vendor
    continue
  fi
  [ "$section" = "$running" ] || continue
  if [ ! -d "$devices/$address" ]; then
    log "$address is not there, expected $vendor:$device: nothing to hold"
    continue
  fi
  attribute vendor
  found=$digits
  attribute device
  found=$found:$digits
  attribute subsystem_vendor
  subsystem=$digits
  attribute subsystem_device
  subsystem=$subsystem:$digits
  if [ "$found" != "$vendor:$device" ]; then
    log "$address is $found, expected $vendor:$device: left to its own driver"
  elif [ "$subsystem" != "$subvendor:$subdevice" ]; then
    log "$address is $found with subsystem $subsystem, expected subsystem $subvendor:$subdevice: left to its own driver"
  elif [ ! -e "$devices/$address/iommu_group" ]; then
    log "$address $found is in no IOMMU group, the IOMMU is off: left to its own driver"
  elif put vfio-pci "$devices/$address/driver_override"; then
    held="$held $address"
  else
    log "$address $found refused vfio-pci as its driver_override: left to its own driver"
  fi
done <"$table"
[ -n "$held" ] || exit 0

# load: vfio-pci, past any "install" rule for it. By path, because a busybox shell takes its own modprobe before
# the one that knows -i.
load() {
  for program in "$prefix/sbin/modprobe" "$prefix/usr/sbin/modprobe" "$prefix/usr/bin/modprobe"; do
    if [ -x "$program" ]; then
      "$program" -i vfio-pci 2>/dev/null || "$program" vfio-pci
      return
    fi
  done
  modprobe vfio-pci
}

# Loading the module binds every device that waits for it; built in, it is there already.
if [ ! -d "$drivers/vfio-pci" ] && ! load; then
  log "vfio-pci cannot be loaded: all devices are left to their own drivers"
  for address in $held; do
    give_back
  done
  exit 0
fi

for address in $held; do
  attribute vendor
  found=$digits
  attribute device
  found=$found:$digits
  driver
  first=$driver
  if [ "$driver" != vfio-pci ]; then
    # A driver that is built into the kernel was first.
    [ -z "$driver" ] || put "$address" "$devices/$address/driver/unbind"
    put "$address" "$probe"
    driver
  fi
  if [ "$driver" = vfio-pci ]; then
    if [ -n "$first" ] && [ "$first" != vfio-pci ]; then
      log "$address $found was held by $first, which is built into the kernel"
    fi
    log "$address $found held for vfio-pci"
  else
    log "$address $found was not taken by vfio-pci: left to its own driver"
    give_back
  fi
done
exit 0
"""

EARLY_SCRIPT = (
    _TEMPLATE.replace("@PREAMBLE@", PREAMBLE)
    .replace("@TABLE@", TABLE_PATH)
    .replace("@READ_RUNNING@", READ_RUNNING)
    .replace("@IS_MEANT@", IS_MEANT)
)

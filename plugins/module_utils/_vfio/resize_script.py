# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The script that resizes one BAR of one device, for the udev rule.

Nothing of a device that a guest has open is touched: the kernel counts who enabled a device (``enable`` in sysfs,
``enable_cnt`` in drivers/pci/pci-sysfs.c), and vfio-pci does so for the time that it is open only
(``vfio_pci_core_enable``). While the device is off vfio-pci, ``driver_override`` keeps other drivers away.
"""

from __future__ import annotations

from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.generation_check import (
    stay_out_of_other_boots,
)

_TEMPLATE = r"""#!/bin/sh
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Written by Ansible (virtfleet.passthrough.vfio_options); changes made here will be refused, not kept.
#
# resize-bar ADDRESS BAR BIT: gives BAR a size of 2^(BIT+20) bytes. Started by a udev rule when the device appears.
# A fourth argument, if any, is put before every path: for tests.

set -f
address=$1
bar=$2
bit=$3
prefix=${4:-}
device=$prefix/sys/bus/pci/devices/$address
vfio=$prefix/sys/bus/pci/drivers/vfio-pci

log() {
  { echo "virtfleet-passthrough: $address BAR $bar: $*" >>"$prefix/dev/kmsg"; } 2>/dev/null
}

# put VALUE FILE: whether the kernel took it
put() {
  { echo "$1" >"$2"; } 2>/dev/null
}

# size: the BAR's size now, in $size
size() {
  number=0
  size=0
  while read -r start end _flags; do
    if [ "$number" -eq "$bar" ]; then
      [ $((end)) -eq 0 ] || size=$((end - start + 1))
      return
    fi
    number=$((number + 1))
  done <"$device/resource"
}

resize() {
  if put "$bit" "$device/resource${bar}_resize"; then
    size
    [ "$size" -eq "$wanted" ] && log "resized to 2^$((bit + 20)) bytes" && return 0
  fi
  log "not resized: the kernel refused it, the windows of the bridges above may be too small"
  return 1
}

# A boot that was not made for the table of held devices (a fallback) is as it was before, also in its BARs.
@OTHER_BOOTS@
[ -e "$device/resource${bar}_resize" ] || {
  log "not resized: the kernel offers no sizes for it"
  exit 1
}
wanted=$((1 << (bit + 20)))
size
[ "$size" -ne "$wanted" ] || exit 0

driver=
[ -L "$device/driver" ] && driver=$(readlink "$device/driver") && driver=${driver##*/}
if [ -z "$driver" ]; then
  resize
  exit
fi
if [ "$driver" != vfio-pci ]; then
  log "not resized: the driver $driver holds the device"
  exit 1
fi
enabled=1
read -r enabled <"$device/enable"
if [ "$enabled" -ne 0 ]; then
  log "not resized: a guest has the device open"
  exit 1
fi

override=
read -r override <"$device/driver_override"
[ "$override" != "(null)" ] || override=
put vfio-pci "$device/driver_override"
put "$address" "$vfio/unbind"
resize
result=$?
put "$address" "$vfio/bind" || log "vfio-pci did not take the device back"
put "$override" "$device/driver_override"
exit "$result"
"""

_OTHER_BOOT = "left as it is: this boot has generation ${running:-none}, the held devices have $generation"

SCRIPT = _TEMPLATE.replace("@OTHER_BOOTS@", stay_out_of_other_boots(_OTHER_BOOT))

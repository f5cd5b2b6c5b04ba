#!/bin/sh
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# An encrypted root for initramfs-tools: what a Debian installer writes. The disk is encrypted when the tree is complete.
#
# Environment: ROOT_UUID.

set -eu

luks_uuid=$(python3 -c "import sys, uuid; print(uuid.uuid5(uuid.UUID(sys.argv[1]), 'luks'))" "$ROOT_UUID")
# "initramfs": here, no device tells the hook that the root file system is on it.
echo "cryptroot UUID=$luks_uuid none luks,initramfs" >/etc/crypttab

# Its rules for udev make the links that the root file system is found by.
chmod a+x /usr/share/initramfs-tools/hooks/dmsetup
update-initramfs -u -k all
kernel=$(ls /lib/modules)
lsinitramfs "/boot/initrd.img-$kernel" >/tmp/names
for name in cryptroot/crypttab /dm-crypt.ko lib/cryptsetup/askpass 60-persistent-storage-dm.rules; do
  grep -q "$name" /tmp/names || { echo "the image lacks $name" >&2; exit 1; }
done
rm /tmp/names

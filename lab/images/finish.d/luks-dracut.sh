#!/bin/sh
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# An encrypted root for dracut. The disk is encrypted when the tree is complete, and the kernel's command line says
# which one to unlock.
#
# Environment: ROOT_UUID.

set -eu

luks_uuid=$(python3 -c "import sys, uuid; print(uuid.uuid5(uuid.UUID(sys.argv[1]), 'luks'))" "$ROOT_UUID")
echo "cryptroot UUID=$luks_uuid none luks" >/etc/crypttab

kernel=$(ls /lib/modules)
dracut --force --quiet "/boot/initrd.img-$kernel" "$kernel"
lsinitrd "/boot/initrd.img-$kernel" >/tmp/names
for name in systemd-cryptsetup-generator /dm-crypt.ko systemd-ask-password-console; do
  grep -q "$name" /tmp/names || { echo "the image lacks $name" >&2; exit 1; }
done
rm /tmp/names

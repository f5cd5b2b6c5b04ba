#!/bin/sh
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# systemd-boot as the removable default of the ESP, what it starts by the real kernel-install: entry files or
# unified images, as /etc/kernel/install.conf of the flavour says.
#
# Environment: ROOT_UUID, MACHINE_ID.

set -eu

kernel=$(ls /lib/modules)
esp=/boot/efi
binary=/usr/lib/systemd/boot/efi/systemd-bootx64.efi

# mmdebstrap leaves it empty; entries are named after it.
rm -f /etc/machine-id
echo "$MACHINE_ID" >/etc/machine-id

# What boots next is on the ESP: nobody logs in before it is mounted.
sed -i 's/,nofail / /' /etc/fstab

mkdir -p "$esp/EFI/BOOT" "$esp/EFI/systemd" "$esp/EFI/Linux" "$esp/loader/entries"
cp "$binary" "$esp/EFI/BOOT/BOOTX64.EFI"
cp "$binary" "$esp/EFI/systemd/systemd-bootx64.efi"
echo 'timeout 1' >"$esp/loader/loader.conf"

# As if someone else had been here before: the collection must keep these, and their order.
echo "root=UUID=$ROOT_UUID ro quiet mitigations=off console=tty0 console=ttyS0,115200n8 no_timer_check" \
  "rcupdate.rcu_expedited=1 norandmaps" >/etc/kernel/cmdline

# BOOT_MNT: what is a directory here will be a file system of its own, from whose top paths in entries count.
BOOT_ROOT=$esp BOOT_MNT=$esp kernel-install --verbose --entry-token=machine-id --make-entry-directory=yes \
  add "$kernel" "/boot/vmlinuz-$kernel"

if grep -q '^layout=uki' /etc/kernel/install.conf; then
  test -s "$esp/EFI/Linux/$MACHINE_ID-$kernel.efi"
else
  grep -q "^linux *[/]$MACHINE_ID/$kernel/linux" "$esp/loader/entries/$MACHINE_ID-$kernel.conf"
  grep -q "^initrd *[/]$MACHINE_ID/$kernel/initrd" "$esp/loader/entries/$MACHINE_ID-$kernel.conf"
fi
if [ -e /boot/grub ] || command -v grub-mkconfig; then
  echo "GRUB left something here" >&2
  exit 1
fi

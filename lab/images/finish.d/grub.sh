#!/bin/sh
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# GRUB as the removable default of the ESP, its menu by the real update-grub.
#
# Environment: ROOT_UUID.

set -eu

probe=/usr/sbin/grub-probe
efivars=/sys/firmware/efi/efivars
supported=$efivars/OsIndicationsSupported-8be4df61-93ca-11d2-aa0d-00e098032b8c

# As if someone else had been here before: the collection must keep these, and their order.
sed -i \
  -e 's/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=1/' \
  -e 's/^GRUB_CMDLINE_LINUX_DEFAULT=.*/GRUB_CMDLINE_LINUX_DEFAULT="quiet mitigations=off"/' \
  -e 's/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200n8 no_timer_check rcupdate.rcu_expedited=1 norandmaps"/' \
  -e 's/^#GRUB_TERMINAL=.*/GRUB_TERMINAL=console/' \
  /etc/default/grub
# The firmware's console is the serial port as well, so GRUB's plain "console" shows on both.
for setting in GRUB_TIMEOUT=1 GRUB_TERMINAL=console 'GRUB_CMDLINE_LINUX="console=tty0'; do
  grep -q "^$setting" /etc/default/grub || { echo "not set: $setting" >&2; exit 1; }
done

# The real update-grub, with a grub-probe that answers for the disk which the tree will be on:
# update-grub inside the host must write the very same file.
mv "$probe" "$probe.real"
cat >"$probe" <<PROBE
#!/bin/sh
case "\$*" in
  *target=device*) echo /dev/vda2 ;;
  *target=fs_uuid*) echo $ROOT_UUID ;;
  *target=fs_label*) exit 1 ;;
  *target=fs* | *"-t fs"*) echo ext2 ;;
  *target=partuuid*) exit 1 ;;
  *target=partmap*) echo gpt ;;
  *target=abstraction* | *"-t abstraction"*) echo ;;
  # A virtio disk has no name that the firmware would know: empty answers, no failure.
  *target=hints_string* | *target=compatibility_hint*) ;;
  *) echo "no answer prepared for: \$*" >&2; exit 1 ;;
esac
PROBE
chmod 755 "$probe"
mkdir -p /dev/disk/by-uuid "$efivars"
: >"/dev/disk/by-uuid/$ROOT_UUID"
printf '\007\000\000\000\001\000\000\000\000\000\000\000' >"$supported"
grub-editenv /boot/grub/grubenv create
update-grub
rm -r /dev/disk /sys/firmware
mv "$probe.real" "$probe"
grep -q "root=UUID=$ROOT_UUID" /boot/grub/grub.cfg

mkdir -p /boot/efi/EFI/BOOT /boot/grub/x86_64-efi
cp /usr/lib/grub/x86_64-efi/*.mod /usr/lib/grub/x86_64-efi/*.lst /boot/grub/x86_64-efi/
cat >/tmp/load.cfg <<LOAD
search.fs_uuid $ROOT_UUID root
set prefix=(\$root)'/boot/grub'
LOAD
grub-mkimage --format=x86_64-efi --output=/boot/efi/EFI/BOOT/BOOTX64.EFI \
  --prefix=/boot/grub --config=/tmp/load.cfg \
  part_gpt ext2 search_fs_uuid normal configfile
rm /tmp/load.cfg

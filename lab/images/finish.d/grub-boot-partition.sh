#!/bin/sh
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# GRUB as the removable default of the ESP, its menu by the real update-grub, for a root file system that GRUB cannot
# read: /boot becomes a file system of its own, whose image is left at /lab-boot.img.
#
# Environment: ROOT_UUID.

set -eu

boot_uuid=$(python3 -c "import sys, uuid; print(uuid.uuid5(uuid.UUID(sys.argv[1]), 'boot'))" "$ROOT_UUID")
efivars=/sys/firmware/efi/efivars
unlock=
if command -v dracut >/dev/null; then
  unlock=$(sed -n 's/^\([^ ]*\) UUID=\([^ ]*\) .*/ rd.luks.name=\2=\1/p' /etc/crypttab)
fi
supported=$efivars/OsIndicationsSupported-8be4df61-93ca-11d2-aa0d-00e098032b8c

# As if someone else had been here before: the collection must keep these, and their order.
sed -i \
  -e 's/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=1/' \
  -e 's/^GRUB_CMDLINE_LINUX_DEFAULT=.*/GRUB_CMDLINE_LINUX_DEFAULT="quiet mitigations=off"/' \
  -e "s/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX=\"console=tty0 console=ttyS0,115200n8 no_timer_check rcupdate.rcu_expedited=1 norandmaps$unlock\"/" \
  -e 's/^#GRUB_TERMINAL=.*/GRUB_TERMINAL=console/' \
  /etc/default/grub
for setting in GRUB_TIMEOUT=1 GRUB_TERMINAL=console 'GRUB_CMDLINE_LINUX="console=tty0'; do
  grep -q "^$setting" /etc/default/grub || { echo "not set: $setting" >&2; exit 1; }
done
sed -i "2i UUID=$boot_uuid /boot ext4 defaults 0 2" /etc/fstab

# The real update-grub, with tools that answer for the disk which the tree will be on: update-grub inside the host must
# write the very same file.
stand_in() {
  mv "$1" "$1.real"
  cat >"$1"
  chmod 755 "$1"
}
stand_in /usr/sbin/grub-probe <<PROBE
#!/bin/sh
case "\$*" in
  *target=device*/boot*) echo /dev/vda2 ;;
  *target=device*) echo /dev/mapper/cryptroot ;;
  *cryptroot*target=fs_uuid* | *target=fs_uuid*cryptroot*) echo $ROOT_UUID ;;
  *target=fs_uuid*) echo $boot_uuid ;;
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
stand_in /usr/bin/grub-mkrelpath <<'RELATIVE'
#!/bin/sh
for path; do :; done
# Nothing for the mount point itself.
echo "${path#/boot}"
RELATIVE
mkdir -p /dev/disk/by-uuid "$efivars"
: >"/dev/disk/by-uuid/$ROOT_UUID"
: >"/dev/disk/by-uuid/$boot_uuid"
printf '\007\000\000\000\001\000\000\000\000\000\000\000' >"$supported"
grub-editenv /boot/grub/grubenv create
update-grub
rm -r /dev/disk /sys/firmware
mv /usr/sbin/grub-probe.real /usr/sbin/grub-probe
mv /usr/bin/grub-mkrelpath.real /usr/bin/grub-mkrelpath
grep -q "linux[[:space:]]*/vmlinuz.*root=UUID=$ROOT_UUID" /boot/grub/grub.cfg
grep -q "fs-uuid --set=root *$boot_uuid" /boot/grub/grub.cfg

mkdir -p /boot/efi/EFI/BOOT /boot/grub/x86_64-efi
cp /usr/lib/grub/x86_64-efi/*.mod /usr/lib/grub/x86_64-efi/*.lst /boot/grub/x86_64-efi/
cat >/tmp/load.cfg <<LOAD
search.fs_uuid $boot_uuid root
set prefix=(\$root)/grub
LOAD
grub-mkimage --format=x86_64-efi --output=/boot/efi/EFI/BOOT/BOOTX64.EFI \
  --prefix=/grub --config=/tmp/load.cfg \
  part_gpt ext2 search_fs_uuid normal configfile
rm /tmp/load.cfg

# The ESP's content stays: it becomes a file system of its own as in every flavour.
mv /boot/efi /tmp/efi
mkdir /boot/efi
# GRUB 2.06 cannot read the first of these; newer e2fsprogs switch both on.
mke2fs -q -F -t ext4 -L boot -U "$boot_uuid" -O '^metadata_csum_seed,^orphan_file' -d /boot /lab-boot.img 320M
find /boot -mindepth 1 -delete
mv /tmp/efi /boot/efi

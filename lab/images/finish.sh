#!/bin/sh
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Last step of an image, inside its tree (chroot): boot loader, services, the demo guest.
# Nothing is mounted here: /sys and /dev are plain directories of the tree.
#
# Environment: ROOT_UUID, MASKED, DISABLED, UNUSED_HOOKS.

set -eu

probe=/usr/sbin/grub-probe
efivars=/sys/firmware/efi/efivars
supported=$efivars/OsIndicationsSupported-8be4df61-93ca-11d2-aa0d-00e098032b8c

step() { echo "finish: $*"; }

step initramfs hooks
# initramfs-tools runs what is executable. The root of a lab host needs none of these, and each
# takes seconds whenever an emulated host rebuilds its image.
for hook in $UNUSED_HOOKS; do
  if [ -e "/usr/share/initramfs-tools/hooks/$hook" ]; then
    chmod a-x "/usr/share/initramfs-tools/hooks/$hook"
  fi
done

# The image was made when the kernel was installed, with those hooks; a rebuild in the host must change nothing.
if command -v update-initramfs >/dev/null; then
  update-initramfs -u -k all
fi

step default parameters
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

step grub.cfg
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

step boot loader
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

step services
# shellcheck disable=SC2086 # lists of unit names
systemctl mask $MASKED
# shellcheck disable=SC2086
systemctl disable $DISABLED
# Disabling a daemon takes its sockets along.
for socket in libvirtd libvirtd-ro virtlockd virtlogd; do
  # trixie has virtlockd in a package of its own, which only a recommendation would install.
  if [ -e "/usr/lib/systemd/system/$socket.socket" ] || [ -e "/lib/systemd/system/$socket.socket" ]; then
    systemctl enable "$socket.socket"
  fi
done
systemctl enable systemd-networkd.service ssh.service
rm -f /etc/libvirt/qemu/networks/autostart/*
rm -f /etc/ssh/ssh_host_rsa_key* /etc/ssh/ssh_host_ecdsa_key*

step demo guest
kernel=$(ls /lib/modules)
modules=/lib/modules/$kernel
demo=/var/lib/virtfleet-demo
work=/tmp/guest
mkdir -p "$work/bin" "$work/dev" "$work/proc" "$work/sys" "$work/modules" "$demo"
cp /usr/lib/lab-guest/busybox "$work/bin/busybox"
for applet in sh mount insmod readlink basename sleep poweroff; do
  ln -s busybox "$work/bin/$applet"
done
cp /usr/lib/lab-guest/init "$work/init"
for module in pps_core ptp e1000e; do
  file=$(find "$modules/kernel" -name "$module.ko*")
  case "$file" in
    "") grep -q "/$module.ko" "$modules/modules.builtin" ;;
    *.xz) xz -dc "$file" >"$work/modules/$module.ko" ;;
    *.zst) zstd -qdc "$file" >"$work/modules/$module.ko" ;;
    *) cp "$file" "$work/modules/$module.ko" ;;
  esac
done
(cd "$work" && find . | sort | cpio --quiet -o -H newc -R 0:0) >"$demo/initrd.img"
ln "/boot/vmlinuz-$kernel" "$demo/vmlinuz"
# The same kernel, unpacked: QEMU enters it directly (PVH), and unpacking it inside the guest
# would take most of the guest's time. Offsets are those of the x86 boot protocol; the last four
# bytes of the payload are its unpacked size.
number() { od -An -v -j "$1" -N "$2" -t "$3$2" "$demo/vmlinuz" | tr -d ' '; }
payload=$((($(number 497 1 u) + 1) * 512 + $(number 584 4 u)))
length=$(($(number 588 4 u) - 4))
case "$(number "$payload" 4 x)" in
  587a37fd) unpack='xz -dc' ;;
  fd2fb528) unpack='zstd -qdc' ;;
  *) echo "kernel $kernel: unknown compression" >&2; exit 1 ;;
esac
tail -c "+$((payload + 1))" "$demo/vmlinuz" | head -c "$length" | $unpack >"$demo/vmlinux"
rm -r "$work" /usr/lib/lab-guest

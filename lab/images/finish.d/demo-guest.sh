#!/bin/sh
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The demo guest: the host's own kernel, and an initramfs around a static busybox.

set -eu

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

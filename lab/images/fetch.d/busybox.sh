#!/bin/sh
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# mmdebstrap hook: a static busybox for the demo guest, without making it a package of the host
# (initramfs-tools would put it into the host's images).

set -eu

root=$1

# shellcheck disable=SC2016 # expanded by the shell inside
chroot "$root" sh -c '
  set -eu
  cd /tmp
  apt-get download busybox-static
  dpkg-deb --fsys-tarfile busybox-static_*.deb | tar -x --wildcards "*bin/busybox"
  mkdir -p /usr/lib/lab-guest
  mv "$(find /tmp -path "*bin/busybox" -type f)" /usr/lib/lab-guest/busybox
  rm -rf /tmp/busybox-static_*.deb /tmp/bin /tmp/usr
'

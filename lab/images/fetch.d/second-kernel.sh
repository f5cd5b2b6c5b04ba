#!/bin/sh
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# mmdebstrap hook: the package of a second kernel, for a host to install as an administrator would.
# Only its packing is changed: unpacking xz takes an emulated host longer than everything else.

set -eu

root=$1

# shellcheck disable=SC2016 # expanded by the shell inside
chroot "$root" sh -c '
  set -eu
  package=$(apt-cache depends --important linux-image-cloud-amd64 | sed -n "s/^ *Depends: //p")
  mkdir -p /tmp/kernel /var/cache/lab
  cd /tmp/kernel
  apt-get download "$package"
  dpkg-deb --raw-extract "$package"_*.deb tree
  dpkg-deb -Znone --root-owner-group --build tree "/var/cache/lab/$package.deb"
  rm -rf /tmp/kernel
'

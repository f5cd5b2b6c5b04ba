#!/bin/sh
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Which services a host starts.
#
# Environment: MASKED, DISABLED.

set -eu

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

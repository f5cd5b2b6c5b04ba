#!/bin/sh
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Hooks of initramfs-tools: it runs what is executable. The root of a lab host needs none of these, and each
# takes seconds whenever an emulated host rebuilds its image.
#
# Environment: UNUSED_HOOKS.

set -eu

for hook in $UNUSED_HOOKS; do
  if [ -e "/usr/share/initramfs-tools/hooks/$hook" ]; then
    chmod a-x "/usr/share/initramfs-tools/hooks/$hook"
  fi
done

# The image was made when the kernel was installed, with those hooks; a rebuild in the host must change nothing.
update-initramfs -u -k all

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""initramfs-tools (Debian, Ubuntu, Proxmox VE): ``mkinitramfs``, beneath ``update-initramfs``.

``update-initramfs`` moves its result over the image without a look at it; ``mkinitramfs`` leaves that to us.
"""

from __future__ import annotations

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

MKINITRAMFS = "/usr/sbin/mkinitramfs"
POST_UPDATE = "/etc/initramfs/post-update.d"


class InitramfsTools:
    name = "initramfs-tools"
    looked_for = MKINITRAMFS

    def detect(self, root: Root) -> bool:
        return root.exists(MKINITRAMFS)

    def serves_kernels(self, root: Root) -> bool:
        return root.exists("/etc/kernel/postinst.d/initramfs-tools")

    def image_path(self, _root: Root, kernel: str) -> str:
        return f"/boot/initrd.img-{kernel}"

    def build(self, run: Runner, kernel: str, output: str) -> None:
        run_checked(run, [MKINITRAMFS, "-o", output, kernel], f"Building the initramfs for {kernel} failed")

    def installed(self, root: Root, run: Runner, kernel: str, image: str) -> None:
        # What update-initramfs does last: systemd-boot and others copy the image from here.
        if root.listdir(POST_UPDATE):
            argv = ["run-parts", "--report", "--exit-on-error", f"--arg={kernel}", f"--arg={image}", POST_UPDATE]
            run_checked(run, argv, f"{image} is new, but a script of {POST_UPDATE} failed")

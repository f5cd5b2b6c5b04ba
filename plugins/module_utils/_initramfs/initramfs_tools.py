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
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.interface import Image, installed_kernels

MKINITRAMFS = "/usr/sbin/mkinitramfs"
POST_UPDATE = "/etc/initramfs/post-update.d"


class InitramfsTools:
    name = "initramfs-tools"
    looked_for = MKINITRAMFS

    def detect(self, root: Root) -> bool:
        return root.exists(MKINITRAMFS)

    def serves_kernels(self, root: Root) -> bool:
        return root.exists("/etc/kernel/postinst.d/initramfs-tools")

    def images(self, root: Root) -> list[Image]:
        return [Image(kernel, f"/boot/initrd.img-{kernel}") for kernel in installed_kernels(root)]

    def obstacle(self, _root: Root) -> str | None:
        return None

    def remarks(self, _root: Root) -> list[str]:
        return []

    def build(self, run: Runner, image: Image, output: str) -> None:
        argv = [MKINITRAMFS, "-o", output, image.kernel]
        run_checked(run, argv, f"Building the initramfs for {image.kernel} failed")

    def installed(self, root: Root, run: Runner, image: Image) -> None:
        # What update-initramfs does last: raspi-firmware, proxmox-boot-tool and others copy the image from here.
        if root.listdir(POST_UPDATE):
            arguments = [f"--arg={image.kernel}", f"--arg={image.path}"]
            argv = ["run-parts", "--report", "--exit-on-error", *arguments, POST_UPDATE]
            run_checked(run, argv, f"{image.path} is new, but a script of {POST_UPDATE} failed")

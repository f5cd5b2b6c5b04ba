# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""dracut (Fedora, EL, openSUSE, Debian 13)."""

from __future__ import annotations

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, first_existing

PROGRAMS = ("/usr/bin/dracut", "/usr/sbin/dracut")


class Dracut:
    name = "dracut"
    looked_for = PROGRAMS[0]

    def detect(self, root: Root) -> bool:
        return first_existing(root, PROGRAMS) is not None

    def serves_kernels(self, root: Root) -> bool:
        hooks = ("/etc/kernel/postinst.d/dracut", "/usr/lib/kernel/install.d/50-dracut.install")
        return first_existing(root, hooks) is not None

    def image_path(self, root: Root, kernel: str) -> str:
        """The distributions name it differently; where there is none yet, as this one would."""
        names = (f"/boot/initrd.img-{kernel}", f"/boot/initramfs-{kernel}.img", f"/boot/initrd-{kernel}")
        found = first_existing(root, names)
        if found is not None:
            return found
        return names[0] if root.exists("/etc/debian_version") else names[1]

    def build(self, run: Runner, kernel: str, output: str) -> None:
        run_checked(
            run, ["dracut", "--force", "--quiet", output, kernel], f"Building the initramfs for {kernel} failed"
        )

    def installed(self, _root: Root, _run: Runner, _kernel: str, _image: str) -> None:
        """Nothing more to do where the boot loader reads ``/boot``."""

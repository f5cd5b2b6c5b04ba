# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""dracut (Fedora, EL, openSUSE, Debian 13)."""

from __future__ import annotations

import re

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, first_existing
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.interface import Image, installed_kernels

PROGRAMS = ("/usr/bin/dracut", "/usr/sbin/dracut")
OSTREE = "/run/ostree-booted"
_CONFIGURATIONS = ("/usr/lib/dracut/dracut.conf.d", "/etc/dracut.conf.d")
_VFIO_DRIVERS = re.compile(r"^\s*(add_drivers|force_drivers)\+?=([\"']?)(.*\bvfio.*?)\2\s*(?:#.*)?$", re.MULTILINE)


class Dracut:
    name = "dracut"
    looked_for = PROGRAMS[0]

    def detect(self, root: Root) -> bool:
        return first_existing(root, PROGRAMS) is not None

    def serves_kernels(self, root: Root) -> bool:
        hooks = ("/etc/kernel/postinst.d/dracut", "/usr/lib/kernel/install.d/50-dracut.install")
        return first_existing(root, hooks) is not None

    def images(self, root: Root) -> list[Image]:
        return [Image(kernel, _path(root, kernel)) for kernel in installed_kernels(root)]

    def obstacle(self, root: Root) -> str | None:
        if not root.exists(OSTREE):
            return None
        return (
            "this is an ostree system: its images belong to deployments that only rpm-ostree makes, and /usr, where "
            "dracut looks for modules, is read-only. By hand, by ids: rpm-ostree kargs "
            "--append-if-missing=rd.driver.pre=vfio-pci --append-if-missing=vfio-pci.ids=VENDOR:DEVICE, and where "
            "lsinitrd does not list vfio-pci: rpm-ostree initramfs --enable --arg=--force-drivers "
            "--arg='vfio_pci vfio_iommu_type1'. Then reboot"
        )

    def remarks(self, root: Root) -> list[str]:
        """Only drivers in ``force_drivers`` are loaded before udev starts, and a value needs blanks at both ends."""
        names = [f"{directory}/{name}" for directory in _CONFIGURATIONS for name in root.listdir(directory)]
        found = []
        for path in ("/etc/dracut.conf", *(name for name in names if name.endswith(".conf"))):
            for variable, _quote, value in _VFIO_DRIVERS.findall(root.read_text(path) or ""):
                if variable == "add_drivers":
                    found.append(
                        f"{path} has vfio drivers in add_drivers: that puts them into the image and loads none of them "
                        "early. Remove the line, what is needed is written without it"
                    )
                elif not (value.startswith(" ") and value.endswith(" ")):
                    found.append(
                        f"{path} has force_drivers without a blank at both ends: dracut joins it to its neighbours"
                    )
        return found

    def build(self, run: Runner, image: Image, output: str) -> None:
        # Debian's calls hooks for whatever it writes, and systemd-boot's makes that what boots by default.
        argv = ["env", "NO_POST_UPDATE_HOOKS=1", "dracut", "--force", "--quiet", output, image.kernel]
        run_checked(run, argv, f"Building the initramfs for {image.kernel} failed")

    def installed(self, _root: Root, _run: Runner, _image: Image) -> None:
        """Nothing more to do: copies for a boot loader's partition are made and proven by us."""


def _path(root: Root, kernel: str) -> str:
    """The distributions name it differently; where there is none yet, as this one would."""
    names = (f"/boot/initrd.img-{kernel}", f"/boot/initramfs-{kernel}.img", f"/boot/initrd-{kernel}")
    found = first_existing(root, names)
    if found is not None:
        return found
    return names[0] if root.exists("/etc/debian_version") else names[1]

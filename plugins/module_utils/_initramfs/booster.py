# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""booster (Arch): recognised, and left alone.

Its init is a program of its own that runs no scripts, its one configuration file has no place for a part of ours, and
it keeps of modprobe.d only what it has made of it, which cannot be compared. Source: booster(1).
"""

from __future__ import annotations

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.interface import MODULES_DIRECTORY, Image

PROGRAM = "/usr/bin/booster"
_HOOKS = ("/usr/share/libalpm/hooks/90-booster-install.hook", "/etc/pacman.d/hooks/90-booster-install.hook")
_REASON = (
    "booster makes the images, and its images run no scripts: nothing can hold a device by its address there, and "
    "what it keeps of modprobe.d cannot be proven. Use mkinitcpio or dracut (remove booster, or set "
    "initramfs_generator). By hand, by ids: 'modules_force_load: vfio_pci,vfio_iommu_type1' in /etc/booster.yaml, "
    "'options vfio-pci ids=...' in /etc/modprobe.d, then /usr/lib/booster/regenerate_images"
)


class Booster:
    name = "booster"
    looked_for = PROGRAM

    def detect(self, root: Root) -> bool:
        return root.exists(PROGRAM)

    def serves_kernels(self, root: Root) -> bool:
        return any(root.exists(path) for path in _HOOKS)

    def images(self, root: Root) -> list[Image]:
        kernels = root.listdir(MODULES_DIRECTORY)
        packages = ((kernel, root.read_word(f"{MODULES_DIRECTORY}/{kernel}/pkgbase")) for kernel in kernels)
        return [Image(kernel, f"/boot/booster-{package}.img") for kernel, package in packages if package]

    def obstacle(self, _root: Root) -> str | None:
        return _REASON

    def remarks(self, _root: Root) -> list[str]:
        return []

    def build(self, _run: Runner, image: Image, _output: str) -> None:
        raise HostStateError(f"{image.path} is not built: {_REASON}")

    def installed(self, _root: Root, _run: Runner, _image: Image) -> None:
        """Nothing is built, so there is nothing to tell anybody."""

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which initramfs generators a host has, and which of them makes the images that it boots."""

from __future__ import annotations

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.booster import Booster
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.delivered import delivered_images
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.dracut import Dracut
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.initramfs_tools import InitramfsTools
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.interface import Generator, Image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.mkinitcpio import Mkinitcpio

GENERATORS: tuple[Generator, ...] = (InitramfsTools(), Dracut(), Mkinitcpio(), Booster())

NAMES = tuple(generator.name for generator in GENERATORS)


def looked_for() -> str:
    """What a host was searched for, for messages."""
    return ", ".join(f"{generator.name} ({generator.looked_for})" for generator in GENERATORS)


def installed_generators(root: Root) -> list[str]:
    return [generator.name for generator in GENERATORS if generator.detect(root)]


def choose_generator(root: Root, name: str = "auto") -> Generator | None:
    """The named generator where it is installed; for ``auto`` the one that new kernels get their image from."""
    installed = [generator for generator in GENERATORS if generator.detect(root) and name in ("auto", generator.name)]
    serving = [generator for generator in installed if generator.serves_kernels(root)]
    return next(iter(serving or installed), None)


def require_generator(root: Root, name: str = "auto") -> Generator:
    generator = choose_generator(root, name)
    if generator is None:
        wanted = (
            "No known initramfs generator is installed" if name == "auto" else f"The generator {name} is not installed"
        )
        raise HostStateError(f"{wanted}. Looked for: {looked_for()}")
    return generator


def bootable_images(root: Root, generator: Generator) -> list[Image]:
    """Every image that a kernel of this host can boot with: those that ``generator`` keeps, then those that it or
    ``kernel-install`` brought to where a boot loader reads them."""
    kept = generator.images(root)
    return [*kept, *delivered_images(root, kept)]

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What every initramfs generator must be able to do; one implementation per generator beside this file."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

MODULES_DIRECTORY = "/lib/modules"


@dataclasses.dataclass(frozen=True)
class Image:
    """One image that ``kernel`` (a release) boots with, at ``path`` as the host sees it.

    ``options`` are the generator's, for this image alone. A ``delivered`` image was brought to where a boot loader
    reads it, beside a type 1 entry or inside a unified kernel image: from the image at ``source`` where the
    generator keeps one, else it is built for it.
    """

    kernel: str
    path: str
    options: tuple[str, ...] = ()
    delivered: bool = False
    source: str | None = None


class Generator(t.Protocol):
    """One generator. Paths are as the host sees them."""

    name: str
    # What it is recognised by, for the message where none is found.
    looked_for: str

    def detect(self, root: Root) -> bool:
        """Whether it is installed."""

    def serves_kernels(self, root: Root) -> bool:
        """Whether the distribution calls it when a kernel is installed."""

    def images(self, root: Root, /) -> list[Image]:
        """Every image that it keeps for kernels that can boot, sorted by kernel and path."""

    def obstacle(self, root: Root, /) -> str | None:
        """Why images that it makes here would not hold what they must, with what to do; ``None`` if they will."""

    def remarks(self, root: Root, /) -> list[str]:
        """What somebody else has configured for the same purpose, and why it does not do what it seems to."""

    def build(self, run: Runner, image: Image, output: str, /) -> None:
        """Write a new image to ``output``; raises :class:`ToolError` when the generator fails."""

    def installed(self, root: Root, run: Runner, image: Image, /) -> None:
        """Tell whoever copies images (a boot loader's partition) that a new one lies at its path."""


def installed_kernels(root: Root) -> list[str]:
    """The releases that can boot: with modules and a kernel in ``/boot``, sorted."""
    return [name for name in root.listdir(MODULES_DIRECTORY) if root.exists(f"/boot/vmlinuz-{name}")]

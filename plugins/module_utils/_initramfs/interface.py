# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What every initramfs generator must be able to do; one implementation per generator beside this file."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

MODULES_DIRECTORY = "/lib/modules"


class Generator(t.Protocol):
    """One generator. Paths are as the host sees them."""

    name: str
    # What it is recognised by, for the message where none is found.
    looked_for: str

    def detect(self, root: Root) -> bool:
        """Whether it is installed."""

    def serves_kernels(self, root: Root) -> bool:
        """Whether the distribution calls it when a kernel is installed."""

    def image_path(self, root: Root, kernel: str, /) -> str:
        """The image that ``kernel`` boots with."""

    def build(self, run: Runner, kernel: str, output: str) -> None:
        """Write a new image for ``kernel`` to ``output``; raises :class:`ToolError` when the generator fails."""

    def installed(self, root: Root, run: Runner, kernel: str, image: str, /) -> None:
        """Tell whoever copies images (a boot loader's partition) that a new one lies at ``image``."""


def installed_kernels(root: Root) -> list[str]:
    """The releases that can boot: with modules and a kernel in ``/boot``, sorted."""
    return [name for name in root.listdir(MODULES_DIRECTORY) if root.exists(f"/boot/vmlinuz-{name}")]

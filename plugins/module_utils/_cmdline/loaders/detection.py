# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which boot loader boots this machine."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders import (
    grub_defaults,
    grub_mkconfig,
    grubby,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Detect, Loader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

DETECTORS: t.Final[tuple[Detect, ...]] = (grubby.detect, grub_mkconfig.detect, grub_defaults.detect)


def find_loader(root: Root) -> Loader:
    """The loader, or :class:`HostStateError` with everything that was looked for."""
    looked_for: list[str] = []
    for detect in DETECTORS:
        loader = detect(root, looked_for)
        if loader is not None:
            return loader
    raise HostStateError(
        "No supported boot loader was recognised, so the kernel command line is left alone. Looked for "
        + "; ".join(looked_for)
        + "."
    )

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the kernel says about drivers: whether vfio-pci can be had, and which drivers are built in."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.modalias import running_release
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.guard import VFIO_PCI
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.runtime import DRIVERS

MODULE = "module"
BUILTIN = "builtin"
MISSING = "missing"


def vfio_pci_kind(root: Root) -> str:
    """How the running kernel has vfio-pci: ``module``, ``builtin`` or ``missing``."""
    if root.exists(f"{DRIVERS}/{VFIO_PCI}"):
        return BUILTIN if _is_builtin(root, VFIO_PCI) else MODULE
    directory = f"/lib/modules/{running_release(root)}"
    # Lines such as "kernel/drivers/vfio/pci/vfio-pci.ko.zst: …" and "kernel/drivers/vfio/pci/vfio-pci.ko".
    if f"/{VFIO_PCI}.ko" in (root.read_text(f"{directory}/modules.builtin") or ""):
        return BUILTIN
    return MODULE if f"/{VFIO_PCI}.ko" in (root.read_text(f"{directory}/modules.dep") or "") else MISSING


def builtin_drivers(root: Root, names: t.Iterable[str]) -> list[str]:
    """Which of the registered PCI drivers ``names`` belong to no loadable module, sorted."""
    return sorted(name for name in set(names) if _is_builtin(root, name))


def _is_builtin(root: Root, driver: str) -> bool:
    # Only what was loaded has an init state (kernel/module/sysfs.c); a built-in module may have the directory.
    return root.exists(f"{DRIVERS}/{driver}") and not root.exists(f"{DRIVERS}/{driver}/module/initstate")

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""How the running kernel was built, as far as it decides about IOMMU and VFIO."""

from __future__ import annotations

import dataclasses
import gzip
import re
import typing as t
import zlib

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

# A distribution keeps the file in one of these places; the last is there with CONFIG_IKCONFIG_PROC.
_PLACES = ("/boot/config-{release}", "/lib/modules/{release}/config", "/usr/lib/modules/{release}/config")
_PROC = "/proc/config.gz"

_OPTION = re.compile(r"^CONFIG_(\w+)=(.*)$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class KernelConfig:
    """``source`` is the file that it comes from, ``None`` where there is none: everything is unknown then."""

    source: str | None
    options: t.Mapping[str, str]

    @classmethod
    def parse(cls, source: str | None, text: str) -> KernelConfig:
        options = dict(_OPTION.findall(text))
        # What sets nothing at all is no kernel's configuration.
        return cls(source if options else None, options)

    def _is_set(self, option: str) -> bool | None:
        return None if self.source is None else option in self.options

    def to_json(self, hardware: str | None) -> dict[str, t.Any]:
        """``default_on`` is about the IOMMU that ``hardware`` names (``dmar``, ``ivrs``); ``None`` is unknown."""
        # AMD's driver needs no parameter once it is built in (drivers/iommu/amd/init.c).
        decisive = {"dmar": "INTEL_IOMMU_DEFAULT_ON", "ivrs": "AMD_IOMMU"}
        option = decisive.get(hardware or "")
        return {
            "source": self.source,
            "default_on": self._is_set(option) if option else None,
            # Intel's graphics stay outside until intel_iommu=on is given (Debian builds so).
            "integrated_gpu_off": self._is_set("INTEL_IOMMU_DEFAULT_ON_INTGPU_OFF") if hardware == "dmar" else None,
            "intel_iommu": self._is_set("INTEL_IOMMU"),
            "amd_iommu": self._is_set("AMD_IOMMU"),
            "interrupt_remapping": self._is_set("IRQ_REMAP"),
            "vfio_pci": self.options.get("VFIO_PCI", "n") if self.source is not None else None,
        }


def read_kernel_config(root: Root, release: str) -> KernelConfig:
    """The first readable file; unknown is a valid answer."""
    for place in _PLACES:
        path = place.format(release=release)
        text = root.read_text(path)
        if text is not None:
            return KernelConfig.parse(path, text)
    packed = root.read_bytes(_PROC)
    if packed is not None:
        try:
            return KernelConfig.parse(_PROC, gzip.decompress(packed).decode("utf-8", "replace"))
        except (OSError, EOFError, zlib.error):
            return KernelConfig(None, {})
    return KernelConfig(None, {})

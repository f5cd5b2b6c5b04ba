# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the kernel's log says about the IOMMU: evidence beside sysfs, for a log may have rotated or be unreadable."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address, is_pci_address

# Prefixes as before and since Linux 4.1: "dmar: IOMMU 0: reg_base_addr", "DMAR: dmar0: reg_base_addr".
_INTEL_UNIT = re.compile(r"dmar: (?:IOMMU |dmar)(\d+): reg_base_addr", re.IGNORECASE)
_AMD_UNIT = re.compile(r"^.*AMD-Vi: Found IOMMU.*$", re.MULTILINE)
_IDENTITY_MAP = re.compile(r"Setting identity map for device (\S+) \[")
_RMRR_REFUSAL = re.compile(r"(\S+): (?:DMAR: )?Device is ineligible for IOMMU domain attach due to platform RMRR")
_ENABLED = re.compile(r"Intel-IOMMU: enabled|DMAR: IOMMU enabled|AMD-Vi: Found IOMMU")


@dataclasses.dataclass(frozen=True)
class LogEvidence:
    """``units`` counts the IOMMU units that were announced. ``identity_mapped`` are devices for which the firmware
    asked for a 1:1 mapping (RMRR); ``ineligible`` those that VFIO was denied for that reason."""

    enabled: bool = False
    units: int = 0
    identity_mapped: tuple[Address, ...] = ()
    ineligible: tuple[Address, ...] = ()

    def to_json(self) -> dict[str, t.Any]:
        return {
            "enabled": self.enabled,
            "units": self.units,
            "identity_mapped": [str(address) for address in self.identity_mapped],
            "ineligible": [str(address) for address in self.ineligible],
        }


def read_log_evidence(text: str) -> LogEvidence:
    """From the log's text, with or without time stamps. Nothing found proves nothing."""
    return LogEvidence(
        enabled=_ENABLED.search(text) is not None,
        units=len(set(_INTEL_UNIT.findall(text))) + len(_AMD_UNIT.findall(text)),
        identity_mapped=_addresses(_IDENTITY_MAP.findall(text)),
        ineligible=_addresses(_RMRR_REFUSAL.findall(text)),
    )


def _addresses(words: t.Iterable[str]) -> tuple[Address, ...]:
    found = {Address.parse(word) for word in words if is_pci_address(word)}
    return tuple(sorted(found))

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which devices may not be taken from the host, and why: the verdict's findings without what was allowed. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.surroundings import Surroundings
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.verdict import findings
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Refusal

VFIO_PCI = "vfio-pci"

ALLOW_IDENTITY = "changed_identity"
ALLOW_RUNTIME_GPU = "runtime_gpu"


def judge(device: Device, around: Surroundings, allow: t.Collection[str]) -> list[Refusal]:
    """Every reason to leave ``device`` to the host, empty where it may go. ``allow`` holds the keys of its entry."""
    return [
        Refusal(finding.device, finding.reason, finding.allow)
        for finding in findings(device, around)
        if not finding.warns and (finding.allow is None or finding.allow not in allow)
    ]


def warnings(device: Device, around: Surroundings) -> list[str]:
    """What is worth knowing before ``device`` goes, and forbids nothing."""
    return [finding.reason for finding in findings(device, around) if finding.warns]

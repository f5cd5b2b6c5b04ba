# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What could part wanted devices from others of their IOMMU group. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override import PARAMETER, Override
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override_advice import (
    Advice,
    smallest_override,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.quirks import Platform
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState

_PATCH = {
    True: "this kernel has the patch for it",
    False: "but this kernel lacks the patch for it, and ignores it without an error",
    None: (
        "if the kernel has the patch for it, which iommu_groups_facts with acs_override finds out (Debian, Ubuntu, "
        "Fedora and EL kernels do not)"
    ),
}


def parting_advice(host: HostState, wanted: t.Collection[Address]) -> str | None:
    """A sentence on the least ACS override that would do it, or why none does; ``None`` where nothing is joined."""
    advice = _advice(host, wanted)
    if not advice.joined_with:
        return None
    others = ", ".join(str(address) for address in advice.joined_with)
    if advice.override is None:
        return f"no ACS override parts the selection from {others}: {'; '.join(advice.reasons)}"
    words = ",".join(advice.override.values)
    patched = _counting(host)["patched"]
    return (
        f"try another slot first. '{PARAMETER}={words}' is the least that would part the selection from {others}, "
        f"{_PATCH[patched]}; what it parts only looks isolated: such devices may still reach each other"
    )


def _advice(host: HostState, wanted: t.Collection[Address]) -> Advice:
    arguments = host.boot["running" if host.iommu["enabled"] else "next_boot"]
    present = Override.from_command_line(arguments) if _counting(host)["effective"] else None
    outside = {device.address for device in host.devices if device.iommu_group is None} if host.iommu["enabled"] else ()
    return smallest_override(host.devices, Platform.from_json(host.iommu["platform"]), wanted, present, outside)


def _counting(host: HostState) -> t.Mapping[str, t.Any]:
    """The override of the kernel whose groups count: while the IOMMU is off these are the next boot's."""
    support: t.Mapping[str, t.Any] = host.iommu["acs_override"]["running" if host.iommu["enabled"] else "next_boot"]
    return support

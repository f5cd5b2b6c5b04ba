# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host as the plan sees it, for components that need its command lines, ledger and their own facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.decision import Plan
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState, Verdict
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.reboot import (
    NOT_ASKED,
    RunningDomains,
    judge_reboot,
)

BOOT_ID = "11111111-1111-4111-8111-111111111111"
# An IOMMU that is on, as ``read_iommu_state`` gives it; groups are read from the devices.
IOMMU_ON: Mapping[str, Any] = {
    "enabled": True,
    "reason": None,
    "hardware": "dmar",
    "vendor": "GenuineIntel",
    "interrupt_remapping": True,
    "groups": [],
    "gaps": [],
    "predicted_groups": [],
    "prediction_differs": [],
    "platform": {"ivrs": False, "pch_workaround": None},
    "acs_override": {
        "running": {"requested": [], "patched": None, "evidence": "not looked at", "effective": False},
        "next_boot": {"kernel": "", "requested": [], "patched": None, "evidence": "not looked at", "effective": False},
    },
    "vfio_parameters": {"allow_unsafe_interrupts": False, "disable_denylist": False},
}

_ENTRY = {"default": False, "rescue": False, "managed": True}


def host_with(
    facts: Mapping[str, Any],
    *,
    entries: Sequence[str] = ("ro quiet",),
    running: str = "ro quiet",
    ledger: Mapping[str, Any] | None = None,
    kernel_release: str = "6.12.48-amd64",
) -> HostState:
    """``entries`` and ``running`` are command lines; the first entry boots next, a rescue entry follows them."""
    lines = [line.split() for line in entries]
    described = [
        {**_ENTRY, "kernel": f"6.12.{number}", "title": f"Linux {number}", "args": line, "default": number == 0}
        for number, line in enumerate(lines)
    ]
    described.append({**_ENTRY, "kernel": "6.12.0", "title": "Rescue", "args": ["ro"], "rescue": True})
    return HostState(
        kernel_release=kernel_release,
        cpu_vendor="GenuineIntel",
        boot_id=BOOT_ID,
        devices=(),
        iommu=dict(IOMMU_ON),
        boot={
            "running": running.split(),
            "next_boot": lines[0],
            "entries": described,
            "bootloader": "grub",
            "intact": True,
            "obstacle": None,
            "carriage": {"reason": "the configuration is read by a shell", "blanks": True, "apart": {}},
        },
        dependencies=(),
        ledger=Ledger({"schema": 1, **(ledger or {})}),
        facts=facts,
    )


def plan_with(verdicts: Mapping[str, Verdict], running: RunningDomains = NOT_ASKED) -> Plan:
    """A plan that comes to these verdicts on a host where no reboot may be made."""
    return Plan(verdicts, {}, judge_reboot(None, verdicts, host_with({}), running))


def device_on(node: int | None, address: str = "0000:01:00.0") -> Device:
    return Device(Address.parse(address), Identity("10de", "2204", "1458", "403b"), "0300", numa_node=node)

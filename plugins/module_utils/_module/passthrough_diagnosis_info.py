# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What ``passthrough_diagnosis_info`` does."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot_log import read_kernel_log
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._diagnosis.checks import check
from ansible_collections.virtfleet.passthrough.plugins.module_utils._diagnosis.host import read_facts
from ansible_collections.virtfleet.passthrough.plugins.module_utils._diagnosis.logs import read_logs, read_previous_boot
from ansible_collections.virtfleet.passthrough.plugins.module_utils._diagnosis.rescan import rescan_advice
from ansible_collections.virtfleet.passthrough.plugins.module_utils._diagnosis.signatures import (
    KERNEL,
    Finding,
    diagnose,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_devices

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_DMI = "/sys/class/dmi/id"
_FIRMWARE = {"vendor": "bios_vendor", "version": "bios_version", "date": "bios_date", "board": "board_name"}


def info(module: AnsibleModule, run: Runner) -> Result:
    """Body of ``passthrough_diagnosis_info``."""
    root = Root(module.params["root"])
    log = read_kernel_log(root, run)
    findings = [
        *diagnose(KERNEL, log.text),
        *(diagnose(KERNEL, read_previous_boot(root, run)) if module.params["previous_boot"] else ()),
        *(finding for text in read_logs(root, run) for finding in diagnose(text.kind, text.text)),
    ]
    warnings = [] if log.text else ["the kernel's log could not be read, what it may show is missing"]
    devices = read_devices(root, Ledger())
    facts, no_answer = read_facts(root, devices, findings, bool(log.text))
    if no_answer is not None:
        warnings.append(f"domains are judged by their files, what runs is not known: {no_answer}")
    return Result(
        data={
            "findings": [_with_devices(finding, devices) for finding in dict.fromkeys(findings)],
            "checks": [found.to_json() for found in check(facts, module.params["shutdown_limit"])],
            "firmware": {name: root.read_word(f"{_DMI}/{attribute}") for name, attribute in _FIRMWARE.items()},
        },
        warnings=tuple(warnings),
    )


def _with_devices(finding: Finding, devices: t.Sequence[Device]) -> dict[str, t.Any]:
    """With ``behind``: what guests may have below a port that the line names."""
    advice = rescan_advice(finding.device, devices) if finding.name == "bar_not_reserved" else None
    if advice is not None:
        finding = dataclasses.replace(finding, remedies=(*finding.remedies, advice))
    behind = [str(device.address) for device in devices if device.held_for_guests and _is_below(device, finding.device)]
    return {**finding.to_json(), "behind": behind}


def _is_below(device: Device, port: str | None) -> bool:
    return port is not None and port in (str(device.parent), str(device.root_port))

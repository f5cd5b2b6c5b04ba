# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the reader half of ``host_plan`` and ``iommu_groups_facts`` do."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.options import trial_deadline
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot_log import KernelLogReader
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import read_boot_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import LedgerDeniedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.dependencies import read_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.state import read_host
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.kernel_log import read_log_evidence
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.override import Override
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.state import read_iommu_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.surroundings import Surroundings
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.verdict import verdict
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import LEDGER_PATH, Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_functions
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.driver import builtin_drivers
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.runtime import DRIVERS

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_NOT_ROOT = (
    "not everything can be read without root, so verdicts may be too good: members of LVM, devices that guests have "
    "open, the framebuffer, and configuration space after its first 64 bytes are missing. Set become: true to have them"
)


def read_for_plan(module: AnsibleModule, run: Runner) -> Result:
    """Body of the module that the action plugin ``host_plan`` runs on the host."""
    root = Root(module.params["root"])
    params = module.params
    deadline = trial_deadline(params["boot"])
    state = read_host(root, run, params["wanted"], params["components"], params["bootloader"], deadline)
    return Result(data={"state": state, "effective_uid": os.geteuid()})


def groups_facts(module: AnsibleModule, run: Runner) -> Result:
    """Body of ``iommu_groups_facts``."""
    what_if = Override.parse(module.params["acs_override"]) if module.params["acs_override"] else None
    root = Root(module.params["root"])
    ledger, warnings = _ledger_if_allowed(root)
    if os.geteuid() != 0:
        warnings.append(_NOT_ROOT)
    reading = read_functions(root, ledger, names=True)
    read_log = KernelLogReader(root, run)
    iommu = read_iommu_state(root, run, reading.devices, read_boot_state(root, ledger), what_if, read_log=read_log)
    around = Surroundings(
        devices=reading.devices,
        dependencies=read_dependencies(root, reading.devices),
        iommu=iommu,
        builtin_drivers=builtin_drivers(root, root.listdir(DRIVERS)),
    )
    facts = {
        **iommu,
        "log": read_log_evidence(read_log().text).to_json(),
        "gaps": [*reading.gaps, *iommu["gaps"], *warnings],
        "devices": [{**device.to_json(), "verdict": verdict(device, around).to_json()} for device in reading.devices],
    }
    return Result(data={"ansible_facts": {"iommu": facts}}, warnings=tuple(warnings))


def _ledger_if_allowed(root: Root) -> tuple[Ledger, list[str]]:
    # Facts are for everybody; only what writes or plans must know what is ours.
    try:
        return Ledger.read(root), []
    except LedgerDeniedError:
        warning = (
            f"{LEDGER_PATH} can be read by root only: MAC and native driver of what is bound to vfio-pci may be "
            "missing. Set become: true to have them"
        )
        return Ledger(), [warning]

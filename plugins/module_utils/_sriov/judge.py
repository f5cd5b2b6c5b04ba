# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What stands against the VFs that are wanted of a PF: for the plan, and once more for the writer. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.network import MANAGEMENT_NIC, ROOT_NIC
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.use import IN_USE
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Dependency, Refusal
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.request import PfRequest


def judge(
    pf: Device, wanted: PfRequest, devices: t.Iterable[Device], dependencies: t.Iterable[Dependency]
) -> list[Refusal]:
    """Every reason not to write, empty where the PF may get what is wanted."""
    address = str(pf.address)
    if pf.physfn is not None:
        return [Refusal(address, f"{address} is itself a VF of {pf.physfn}: name that one")]
    if pf.sriov_totalvfs is None:
        reason = f"{address} offers no VFs: the card cannot, or its firmware has SR-IOV switched off"
        return [Refusal(address, reason)]
    found = []
    if wanted.numvfs > pf.sriov_totalvfs:
        found.append(
            Refusal(address, f"{address} can have {pf.sriov_totalvfs} VFs at most, wanted are {wanted.numvfs}")
        )
    if pf.held_for_guests:
        reason = f"{address} is on {pf.driver}: a PF stays with the host, because its own driver makes the VFs"
        found.append(Refusal(address, reason))
    elif pf.driver is None and wanted.numvfs:
        found.append(Refusal(address, f"{address} has no driver, and VFs are made by the driver of their PF"))
    if wanted.vfs and not pf.interfaces:
        reason = f"{address} has no network interface, so settings such as MAC addresses cannot be made for its VFs"
        found.append(Refusal(address, reason))
    if pf.sriov_numvfs and wanted.numvfs != pf.sriov_numvfs:
        found += in_use(pf, devices, dependencies)
    return found


def in_use(pf: Device, devices: t.Iterable[Device], dependencies: t.Iterable[Dependency]) -> list[Refusal]:
    """Why the present VFs must not go: the kernel changes their number only through none at all (drivers/pci/iov.c,
    sriov_numvfs_store), and one that a process holds would block that for ever."""
    vfs = {device.address for device in devices if device.physfn == pf.address}
    found = []
    for dependency in dependencies:
        needed = Address.parse(dependency.address)
        if needed in vfs or (needed == pf.address and dependency.kind == IN_USE):
            reason = (
                f"the number of VFs of {pf.address} cannot change while one is in use, because all of them go "
                f"meanwhile: {dependency.address} {dependency.detail}"
            )
            found.append(Refusal(dependency.address, reason))
    return found


def switch_loses_the_host(
    pf: Device, now: str | None, wanted: str | None, dependencies: t.Iterable[Dependency]
) -> list[Refusal]:
    """Why the mode of the card's switch must not change on the running host: a driver may take the PF's interface
    down, or away and bring another one without its addresses. No key permits it, because the connection that the run
    itself comes through may be gone then, with nobody to bring it back."""
    if wanted is None or now is None or wanted == now:
        return []
    return [
        Refusal(
            dependency.address,
            f"{dependency.address} {dependency.detail}. It may lose its interface while its switch goes from {now} to "
            f"{wanted}: do that from a console ('devlink dev eswitch set pci/{pf.address} mode {wanted}'), then run "
            "this again",
        )
        for dependency in dependencies
        if Address.parse(dependency.address) == pf.address and dependency.kind in (MANAGEMENT_NIC, ROOT_NIC)
    ]

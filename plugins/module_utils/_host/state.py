# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The one read: everything that the decision needs to know about a host, as JSON."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.after_commit import (
    committed_line,
    record_on_trial,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.reading import read_trial
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.room import read_room
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline import machine
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import AUTO
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import read_boot_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu import state as cpu_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._held_back import as_kept
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.dependencies import read_dependencies
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.encryption import read_encryption
from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages import pages
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs import state as initramfs_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.groups import cpu_vendor
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.state import read_iommu_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt import state as libvirt_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.running import domains_by_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.modalias import running_release
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.sysfs import read_functions
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov import state as sriov_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio import options_state as vfio_options_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio import state as vfio_state


class ReadState(t.Protocol):
    """A component's reader: JSON about the host, given the component's own part of what is wanted."""

    def __call__(
        self, root: Root, run: Runner, ledger: Ledger, wanted: t.Mapping[str, t.Any], /
    ) -> dict[str, t.Any]: ...


READERS: t.Final[t.Mapping[str, ReadState]] = {
    "sriov": sriov_state.read_state,
    "vfio": vfio_state.read_state,
    "vfio_options": vfio_options_state.read_state,
    "hugepages": pages.read_state,
    "cpu_isolation": cpu_state.read_state,
    "kernel_arguments": machine.read_state,
    "initramfs": initramfs_state.read_state,
    "libvirt_host": libvirt_state.read_host_state,
    "libvirt_domains": libvirt_state.read_domains_state,
}

# Components that need another one's facts to decide.
_ALSO_READ: t.Final[t.Mapping[str, tuple[str, ...]]] = {
    "libvirt_domains": ("cpu_isolation",),
    "initramfs": ("vfio", "vfio_options"),
}


def read_host(
    root: Root,
    run: Runner,
    wanted: t.Mapping[str, t.Any],
    components: t.Collection[str] | None = None,
    bootloader: str = AUTO,
    trial_deadline: int | None = None,
) -> dict[str, t.Any]:
    """The JSON form of :class:`HostState`. Reads nothing for components that are not in ``wanted``, or not in
    ``components`` where that is given. ``bootloader`` is as ``read_boot_state`` takes it, ``trial_deadline`` as
    ``read_trial``.

    In a boot on trial, what is configured is what its commit would leave.
    """
    ledger = Ledger.read(root)
    reading = read_functions(root, ledger, names=True)
    devices = reading.devices
    boot = read_boot_state(root, ledger, bootloader)
    trial = read_trial(root, run, ledger, trial_deadline)
    record = record_on_trial(root, ledger)
    if record is not None and not trial["stale"]:
        line, ledger = committed_line(root, run, ledger, record, bootloader)
        boot = {**boot, **line}
        root, ledger = as_kept(root, ledger, record.held_back)
    override_wanted = bool((wanted.get("iommu") or {}).get("acs_override"))
    iommu = read_iommu_state(root, run, devices, boot, look_into_kernels=override_wanted)
    judged = [name for name in wanted if components is None or name in components]
    needed = dict.fromkeys(also for name in judged for also in (*_ALSO_READ.get(name, ()), name))
    facts = {name: READERS[name](root, run, ledger, wanted.get(name, {})) for name in needed if name in READERS}
    images = facts.get("initramfs", {}).get("images")
    # What is free where a captured tree lies says nothing about its host.
    if root.is_live and "base" in trial and images:
        trial = {**trial, "room": read_room(root, ledger, trial["base"], facts["initramfs"])}
    return {
        "kernel_release": running_release(root),
        "cpu_vendor": cpu_vendor(root),
        "boot_id": root.read_word("/proc/sys/kernel/random/boot_id") or "",
        "devices": [device.to_json() for device in devices],
        "iommu": {**iommu, "gaps": [*reading.gaps, *iommu["gaps"]]},
        "boot": boot,
        "dependencies": [dependency.to_json() for dependency in read_dependencies(root, devices)],
        "ledger": ledger.to_json(),
        "encryption": read_encryption(root),
        "trial": trial,
        "running_domains": domains_by_files(root) if root.is_live else None,
        "facts": facts,
    }

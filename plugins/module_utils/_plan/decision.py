# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The decision for one host: every wanted component's verdict and the whole. Pure; runs on the controller."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.cpulist import format_cpulist
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cpu.topology import Topology
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError, RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._iommu.surroundings import Surroundings
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan import (
    cpu_isolation,
    encryption,
    hugepages,
    initramfs,
    iommu,
    kernel_arguments,
    libvirt_domains,
    libvirt_host,
    sriov,
    vfio,
    vfio_options,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.command_line import line_refusals
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    DRIFT,
    IN_SYNC,
    REFUSED,
    SEVERITY,
    Decide,
    HostState,
    Refusal,
    Verdict,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.numa import far_apart
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.reboot import (
    ELSEWHERE,
    Controller,
    Reboot,
    judge_reboot,
    running_domains,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.room import with_room
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.selectors import (
    UnresolvedDeviceError,
    parse_entries,
    select,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.values import as_list, as_mapping

# In the order in which they are written and shown.
COMPONENTS: t.Final[t.Mapping[str, Decide]] = {
    "iommu": iommu.decide,
    "sriov": sriov.decide,
    "vfio": vfio.decide,
    "vfio_options": vfio_options.decide,
    "hugepages": hugepages.decide,
    "cpu_isolation": cpu_isolation.decide,
    "kernel_arguments": kernel_arguments.decide,
    "initramfs": initramfs.decide,
    "libvirt_host": libvirt_host.decide,
    "libvirt_domains": libvirt_domains.decide,
}


@dataclasses.dataclass(frozen=True)
class Plan:
    """Verdicts by component, names of ``vfio_devices`` resolved to functions, and the reboot that it takes."""

    verdicts: t.Mapping[str, Verdict]
    selected: t.Mapping[str, tuple[Device, ...]]
    reboot: Reboot

    @property
    def status(self) -> str:
        """The worst status of all components and of the reboot; a host with nothing wanted is in sync."""
        # What boots next is the old entry, as long as nobody has kept what runs.
        return max(self.once_kept, DRIFT if self.reboot.trying else IN_SYNC, key=SEVERITY.index)

    @property
    def once_kept(self) -> str:
        """The status that a commit of the boot on trial would leave; in any other boot the status."""
        statuses = {verdict.status for verdict in self.verdicts.values()}
        statuses.update((REFUSED,) if self.reboot.refusals else ())
        return max(statuses, key=SEVERITY.index, default=IN_SYNC)

    def to_json(self) -> dict[str, t.Any]:
        return {
            "status": self.status,
            "once_kept": self.once_kept,
            "reboot_required": self.reboot.required,
            "reboot": self.reboot.to_json(),
            "components": {name: verdict.to_json() for name, verdict in self.verdicts.items()},
            "kernel_arguments": {
                name: list(verdict.apply["kernel_args"])
                for name, verdict in self.verdicts.items()
                if verdict.status == DRIFT and "kernel_args" in verdict.apply
            },
            "devices": {
                name: [str(device.address) for device in functions] for name, functions in self.selected.items()
            },
        }


def check_components(names: t.Iterable[str]) -> None:
    """Refuse a component that does not exist, by name."""
    for name in names:
        if name not in COMPONENTS:
            raise InputError(f"unknown component '{name}'; expected {', '.join(COMPONENTS)}")


def check_wanted(wanted: t.Mapping[str, t.Any]) -> None:
    """Refuse what no reader and no decision could do anything with: it costs no look at the host."""
    for name, part in wanted.items():
        as_mapping(part, f"wanted.{name}")
    parse_entries(wanted.get("vfio", {}).get("devices"))
    sriov.parse_entries(wanted.get("sriov", {}).get("devices"))
    for domain in as_list(wanted.get("libvirt_domains", {}).get("domains") or [], "libvirt_domains_list"):
        as_mapping(domain, "libvirt_domains_list: an entry")


def make_plan(
    wanted: t.Mapping[str, t.Any],
    host: HostState,
    components: t.Collection[str] | None = None,
    allow: t.Any = None,
    boot: t.Mapping[str, t.Any] | None = None,
    controller: Controller = ELSEWHERE,
) -> Plan:
    """Judge every component in ``wanted``, or only those of them in ``components``; one that is not there is
    unmanaged. What is wanted of a component that is not judged still counts for the others. ``allow`` are the keys
    of the whole host, ``boot`` the options of its reboot."""
    keys = encryption.host_keys(allow)
    check_components((*wanted, *(components or ())))
    check_wanted(wanted)
    judged = [name for name in COMPONENTS if name in wanted and (components is None or name in components)]
    entries = wanted.get("vfio", {}).get("devices") or []
    around = Surroundings(host.devices, host.dependencies, host.iommu)
    pfs = sriov.numbers(wanted.get("sriov", {}), host.devices)
    selected, refusals = select(entries, host.devices, pfs, around.mates)
    if "cpu_isolation" in judged:
        wanted = _with_domain_cpus(wanted, host, selected)
    verdicts = encryption.guard({name: _judge(name, wanted, host, selected) for name in judged}, host, selected, keys)
    if refusals and "vfio" in verdicts:
        present = verdicts["vfio"]
        verdicts["vfio"] = dataclasses.replace(present, refusals=(*refusals, *present.refusals))
    for name, more in line_refusals(host, verdicts).items():
        verdicts[name] = dataclasses.replace(verdicts[name], refusals=(*verdicts[name].refusals, *more))
    if "libvirt_domains" in verdicts and verdicts["libvirt_domains"].status != REFUSED:
        present = verdicts["libvirt_domains"]
        warnings = _domains_far_apart(wanted, host, selected, verdicts.get("hugepages", Verdict()))
        verdicts["libvirt_domains"] = dataclasses.replace(present, warnings=(*present.warnings, *warnings))
    reboot = judge_reboot(boot, verdicts, host, running_domains(host), controller)
    return Plan(with_room(verdicts, host, reboot.trial), selected, reboot)


def _domains_far_apart(
    wanted: t.Mapping[str, t.Any], host: HostState, selected: t.Mapping[str, tuple[Device, ...]], pages: Verdict
) -> t.Iterator[str]:
    entries = wanted["libvirt_domains"].get("domains") or []
    pinnings = libvirt_domains.resolve_pinnings(entries, host, selected)
    topology = Topology.from_json(host.facts["cpu_isolation"]["topology"])
    for entry in entries:
        yield from far_apart(entry, pinnings.get(entry["name"]), topology, pages.apply.get("pools") or (), selected)


def _with_domain_cpus(
    wanted: t.Mapping[str, t.Any], host: HostState, selected: t.Mapping[str, tuple[Device, ...]]
) -> t.Mapping[str, t.Any]:
    """Tell CPU isolation which CPUs the pinned domains get; where that is refused, the domains say so."""
    if "libvirt_domains" not in wanted:
        return wanted
    try:
        pinnings = libvirt_domains.resolve_pinnings(wanted["libvirt_domains"].get("domains") or [], host, selected)
    except (RefusedError, UnresolvedDeviceError):
        return wanted
    cpus = sorted({cpu for pinning in pinnings.values() for cpu in pinning.reserved})
    return {**wanted, "cpu_isolation": {**wanted["cpu_isolation"], "domain_cpus": format_cpulist(cpus)}}


def _judge(
    name: str, wanted: t.Mapping[str, t.Any], host: HostState, selected: t.Mapping[str, tuple[Device, ...]]
) -> Verdict:
    try:
        return COMPONENTS[name](wanted[name], host, selected)
    except UnresolvedDeviceError as missing:
        entries = wanted.get("vfio", {}).get("devices") or []
        return Verdict(refusals=(_unresolved(str(missing), entries),))


def _unresolved(name: str, entries: t.Sequence[t.Mapping[str, t.Any]]) -> Refusal:
    if any(entry.get("name") == name for entry in entries):
        return Refusal(None, f"needs the device '{name}', which was refused under vfio")
    return Refusal(None, f"needs the device '{name}', which vfio_devices does not name")

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What a plan is made of: the state of a host, and per component a verdict. Values only, no I/O."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device

IN_SYNC = "in_sync"
DRIFT = "drift"
PENDING_REBOOT = "pending_reboot"
REFUSED = "refused"

# The worst of several statuses is the last of them in this order.
SEVERITY = (IN_SYNC, PENDING_REBOOT, DRIFT, REFUSED)


@dataclasses.dataclass(frozen=True)
class Change:
    """One setting that differs; ``before`` and ``after`` are texts for people, ``None`` for "not there". ``why``
    is what before and after do not say, in words that go on from "because"."""

    setting: str
    before: str | None
    after: str | None
    after_reboot: bool = False
    why: str | None = None

    def to_json(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why nothing may be written: device (BDF address or ``None``), reason, and the key that would allow it."""

    device: str | None
    reason: str
    allow: str | None = None

    def to_json(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A component's outcome.

    ``apply`` is what its role hands to the writing modules: everything resolved (addresses, CPU lists,
    kernel arguments), so that no decision is made twice. ``assumptions`` name what only a reboot can decide,
    ``outlasts`` the files whose change counts in the old boot entry as well, should a trial fail.
    """

    changes: tuple[Change, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    pending_reboot: bool = False
    apply: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    outlasts: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        if self.refusals:
            return REFUSED
        if self.changes:
            return DRIFT
        return PENDING_REBOOT if self.pending_reboot else IN_SYNC

    @property
    def reboot_required(self) -> bool:
        """Whether the wanted state is only reached through a reboot, from the present state or after the writes."""
        return self.pending_reboot or any(change.after_reboot for change in self.changes)

    def to_json(self) -> dict[str, t.Any]:
        return {
            "status": self.status,
            "diff": [change.to_json() for change in self.changes],
            "refusals": [refusal.to_json() for refusal in self.refusals],
            "warnings": list(self.warnings),
            "assumptions": list(self.assumptions),
            "reboot_required": self.reboot_required,
            "apply": dict(self.apply),
        }


@dataclasses.dataclass(frozen=True)
class Dependency:
    """Something the host needs from one PCI function: kind (``root_disk``, ``management_nic``, …), a
    sentence's worth of detail, and the ``allow`` key that releases it (``None``: never)."""

    address: str
    kind: str
    detail: str
    allow: str | None = None

    def to_json(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class HostState:
    """One read of one host, as the decision sees it.

    ``boot`` is what ``kernel_cmdline_info`` returns; ``facts`` holds what each component's reader
    collected, under the component's name. ``encryption`` is what ``_host/encryption.py`` reads, ``trial`` what
    ``_boot/reading.py`` does and, as ``room``, ``_boot/room.py``. ``running_domains`` have ``name`` and ``uuid``;
    ``None`` for a captured tree.
    """

    kernel_release: str
    cpu_vendor: str
    boot_id: str
    devices: tuple[Device, ...]
    iommu: t.Mapping[str, t.Any]
    boot: t.Mapping[str, t.Any]
    dependencies: tuple[Dependency, ...]
    ledger: Ledger
    facts: t.Mapping[str, t.Any]
    encryption: t.Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    trial: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    running_domains: t.Sequence[t.Mapping[str, t.Any]] | None = None

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> HostState:
        return cls(
            kernel_release=data["kernel_release"],
            cpu_vendor=data["cpu_vendor"],
            boot_id=data["boot_id"],
            devices=tuple(Device.from_json(device) for device in data["devices"]),
            iommu=data["iommu"],
            boot=data["boot"],
            dependencies=tuple(Dependency(**dependency) for dependency in data["dependencies"]),
            ledger=Ledger.from_json(data["ledger"]),
            facts=data["facts"],
            encryption=data["encryption"],
            trial=data["trial"],
            running_domains=data["running_domains"],
        )


class Decide(t.Protocol):
    """A component's decision. ``wanted`` is the component's own part of ``wanted``; ``selected`` maps the
    names of ``vfio_devices`` to the functions they resolved to (all functions that move together)."""

    def __call__(
        self, wanted: t.Mapping[str, t.Any], host: HostState, selected: t.Mapping[str, tuple[Device, ...]], /
    ) -> Verdict: ...

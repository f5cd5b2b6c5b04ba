# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the ledger knows of the PFs that are ours: section ``sriov``, address of a PF to its record."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import (
    BASE_CLASS_NETWORK,
    Device,
    Identity,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.request import PfRequest

SECTION = "sriov"


@dataclasses.dataclass(frozen=True)
class Before:
    """What a PF had before us: number of VFs, autoprobe, and the mode of its switch where we changed it."""

    numvfs: int
    autoprobe: bool
    eswitch: str | None = None


@dataclasses.dataclass(frozen=True)
class Record:
    """One PF of ours. ``network``: it is a network card, whose settings wait for its interface."""

    identity: Identity
    network: bool
    wanted: PfRequest
    before: Before

    def to_json(self) -> dict[str, t.Any]:
        return {
            "identity": self.identity.to_json(),
            "network": self.network,
            "wanted": self.wanted.to_json(),
            "before": dataclasses.asdict(self.before),
        }

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> Record:
        return cls(
            Identity.from_json(data["identity"]),
            data["network"],
            PfRequest.parse(data["wanted"], "the ledger's sriov"),
            Before(**data["before"]),
        )


def read_records(ledger: Ledger) -> dict[Address, Record]:
    return {Address.parse(text): Record.from_json(data) for text, data in ledger.section(SECTION).items()}


def new_record(device: Device, wanted: PfRequest, now: Before, known: Record | None) -> Record:
    """The record for ``wanted``; what was before us is kept for as long as it is the same card."""
    before = now
    if known is not None and known.identity.matches(device.identity):
        before = known.before
        if before.eswitch is None and wanted.eswitch is not None:
            before = dataclasses.replace(before, eswitch=now.eswitch)
    return Record(device.identity, device.class_code.startswith(BASE_CLASS_NETWORK), wanted, before)

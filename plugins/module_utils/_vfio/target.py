# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the next boots have, and what they are to have: devices, files and kernel arguments by method. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.driver import BUILTIN
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.driverctl import override_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import boot_files, ids_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.methods import DRIVERCTL, IDS, OVERRIDE
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.modprobe import ids_argument
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import (
    Table,
    arguments_of,
    next_table,
    running_generation,
)


@dataclasses.dataclass(frozen=True)
class Configured:
    """What an earlier run configured for the next boots; ``method`` is ``None`` where that is nothing."""

    method: str | None
    entries: t.Mapping[Address, Identity]
    table: Table | None


@dataclasses.dataclass(frozen=True)
class Target:
    """What is to be configured. ``table`` belongs to the method ``override`` alone; with ``in_images`` nothing
    happens in a boot whose initramfs does not hold ``files``."""

    method: str
    entries: t.Mapping[Address, Identity]
    table: Table | None = None
    files: tuple[OwnedFile, ...] = ()
    arguments: tuple[str, ...] = ()
    in_images: bool = False


def read_configured(table: Table | None, records: t.Mapping[str, t.Mapping[str, t.Any]]) -> Configured:
    """From the table of ``override`` and the ledger's ``devices``, which name any other method."""
    if table is not None:
        return Configured(OVERRIDE, table.entries, table)
    others = {address: record for address, record in records.items() if record.get("boot")}
    entries = {Address.parse(address): Identity.from_json(record["identity"]) for address, record in others.items()}
    return Configured(next((record["boot"]["method"] for record in others.values()), None), entries, None)


def make_target(
    method: str,
    entries: t.Mapping[Address, Identity],
    present: Configured,
    last_generation: int,
    written: t.Iterable[str],
    devices: t.Iterable[Device],
    generators: t.Iterable[str],
    vfio_pci: str,
) -> Target:
    """``written`` are the arguments of this component that boot entries carry, ``devices`` all of the host;
    ``vfio_pci`` is how its kernel has that driver. No entries, no files."""
    if not entries:
        return Target(method, {})
    if method == DRIVERCTL:
        return Target(method, entries, files=override_files(entries))
    if method == IDS:
        identities = entries.values()
        if vfio_pci == BUILTIN:
            return Target(method, entries, arguments=(ids_argument(identities),))
        held = [device for device in devices if device.address in entries]
        return Target(method, entries, files=ids_files(identities, held, generators), in_images=True)
    table = next_table(present.table, entries, last_generation, running_generation(written))
    files = () if table is None else boot_files(table, generators)
    return Target(method, entries, table, files, tuple(arguments_of(table)), in_images=True)

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The table of devices that are held for vfio-pci from the first moment of a boot. Pure.

::

    generation 3
    0000:01:00.0 8086 10d3 8086 0000 -
    0000:02:00.0 8086 10d3 8086 0000 a0369fffff123456
    generation 2
    0000:01:00.0 8086 10d3 8086 0000 -

After the generation one line per function, ordered by address: vendor, device, subsystem vendor and
subsystem device as four hex digits, and the PCIe serial number or ``-``.

Below it stands the generation that boot entries carried when the table was written. Until a boot with the new one is
kept, the old entry boots, and any package that builds images anew puts this very table into them.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Identity

TABLE_PATH = "/etc/virtfleet-passthrough/vfio-devices"
GENERATION_PARAMETER = "virtfleet_passthrough.generation"

_ENTRY = re.compile(r"(\S+) ([0-9a-f]{4}) ([0-9a-f]{4}) ([0-9a-f]{4}) ([0-9a-f]{4}) ([0-9a-f]{16}|-)")
_GENERATION = re.compile(r"generation ([1-9][0-9]*)")


@dataclasses.dataclass(frozen=True)
class Table:
    """``generation`` is the number that the kernel command line must carry for ``entries`` to count; one that carries
    the number of ``earlier`` gets what that one holds."""

    generation: int
    entries: t.Mapping[Address, Identity]
    earlier: Table | None = None

    @classmethod
    def parse(cls, text: str) -> Table:
        """The inverse of ``str()``; raises :class:`HostStateError` for a text that is no table."""
        lines = text.splitlines()
        head = _GENERATION.fullmatch(lines[0]) if lines else None
        if head is None:
            raise HostStateError(f"{TABLE_PATH} does not begin with a generation: it was changed by hand, remove it")
        end = next((number for number, line in enumerate(lines) if number and _GENERATION.fullmatch(line)), None)
        earlier = None if end is None else cls.parse("\n".join(lines[end:]))
        return cls(int(head.group(1)), cls._entries(lines[1:end]), earlier)

    @staticmethod
    def _entries(lines: t.Sequence[str]) -> dict[Address, Identity]:
        entries: dict[Address, Identity] = {}
        for line in lines:
            match = _ENTRY.fullmatch(line)
            if match is None:
                raise HostStateError(
                    f"{TABLE_PATH} holds a line that is no device, '{line}': it was changed by hand, remove it"
                )
            address, vendor, device, subsystem_vendor, subsystem_device, serial = match.groups()
            try:
                parsed = Address.parse(address)
            except InputError as exc:
                raise HostStateError(f"{TABLE_PATH}: {exc}") from exc
            entries[parsed] = Identity(
                vendor, device, subsystem_vendor, subsystem_device, None if serial == "-" else serial
            )
        return entries

    def __str__(self) -> str:
        lines = [f"generation {self.generation}"]
        for address, identity in sorted(self.entries.items()):
            ids = (identity.vendor_id, identity.device_id, identity.subsystem_vendor_id, identity.subsystem_device_id)
            lines.append(" ".join((str(address), *ids, identity.serial or "-")))
        return "\n".join(lines) + "\n" + (str(self.earlier) if self.earlier is not None else "")

    def of_generation(self, generation: int | None) -> Table | None:
        """What this table holds for a boot with that number, ``None`` for nothing."""
        if generation == self.generation:
            return dataclasses.replace(self, earlier=None)
        return None if self.earlier is None else self.earlier.of_generation(generation)

    @property
    def argument(self) -> str:
        """The kernel argument that makes this table count."""
        return f"{GENERATION_PARAMETER}={self.generation}"


def last_generation(recorded: int, running: t.Iterable[str]) -> int:
    """The highest number known to have been given out here: the ledger's, or that of the running command line.

    After everything was given back there is no ledger, while a boot made with the last table may still run.
    """
    return max(recorded, running_generation(running) or 0)


def next_table(
    present: Table | None, entries: t.Mapping[Address, Identity], last: int, on_entries: int | None = None
) -> Table | None:
    """The table that holds ``entries``: the present one where nothing differs, the one before it where boot entries
    still carry that (its successor was tried, not kept, and is not wanted any more), else one of a new generation.

    ``last`` is :func:`last_generation`: an old boot entry must never meet a
    table that it was not made with. ``on_entries`` is the generation that boot entries carry now, which is kept.
    ``None`` for no entries: then there is no table.
    """
    if not entries:
        return None
    if present is not None and dict(present.entries) == dict(entries):
        return present
    earlier = None if present is None else present.of_generation(on_entries)
    if earlier is not None and dict(earlier.entries) == dict(entries):
        return earlier
    return Table(max(last, present.generation if present else 0) + 1, dict(entries), earlier)


def arguments_of(table: Table | None) -> list[str]:
    """What the owner ``vfio`` needs on the kernel command line."""
    return [] if table is None else [table.argument]


def running_generation(arguments: t.Iterable[str]) -> int | None:
    """The generation that a command line carries: the last one counts, as in the early script."""
    found = None
    for argument in arguments:
        name, separator, number = argument.partition("=")
        if name == GENERATION_PARAMETER and separator and number.isdigit():
            found = int(number)
    return found

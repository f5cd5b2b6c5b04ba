# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""``pcie_acs_override=``, the parameter of an out-of-tree patch that has functions count as isolated. Pure.

The patch was never merged (Linux kernel mailing list, 30 May 2013); Proxmox VE, zen and others carry it. The kernel
only believes more than it knows: what it calls isolated may still reach its neighbours.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import key
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError

PARAMETER = "pcie_acs_override"
DOWNSTREAM = "downstream"
MULTIFUNCTION = "multifunction"

# NUM_ACS_IDS of the patch is 16, and its test leaves the last one unused.
MAX_IDS = 15

_ID = re.compile(r"id:([0-9a-fA-F]{4}):([0-9a-fA-F]{4})")
# kstrtol() with base 16
_HEX_NUMBER = re.compile(r"([+-]?)(?:0[xX])?([0-9a-fA-F]+)")

Id = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Override:
    """What counts as isolated although it has no ACS: all root and downstream ports, all multifunction endpoints
    and upstream ports, and every function with one of ``ids`` (vendor and device, four lower-case hex digits)."""

    downstream: bool = False
    multifunction: bool = False
    ids: frozenset[Id] = frozenset()

    @classmethod
    def parse(cls, values: t.Sequence[str]) -> Override:
        """From what a person wrote: ``downstream``, ``multifunction``, ``id:8086:a12f``. Refuses what the kernel
        would pass over in silence."""
        ids: set[Id] = set()
        for value in values:
            match = _ID.fullmatch(value)
            if match is not None:
                ids.add((match.group(1).lower(), match.group(2).lower()))
            elif value not in (DOWNSTREAM, MULTIFUNCTION):
                raise InputError(
                    f"acs_override: '{value}' is none of '{DOWNSTREAM}', '{MULTIFUNCTION}' and 'id:vvvv:dddd' with "
                    "four hexadecimal digits each for vendor and device, such as 'id:8086:a12f'"
                )
        if len(ids) > MAX_IDS:
            raise InputError(f"acs_override: {len(ids)} ids are given and the kernel takes {MAX_IDS} at most")
        return cls(DOWNSTREAM in values, MULTIFUNCTION in values, frozenset(ids))

    @classmethod
    def from_command_line(cls, args: t.Sequence[str]) -> Override | None:
        """What a patched kernel makes of its arguments; ``None`` where the parameter is not among them.

        As lenient as the kernel: words count by how they begin, occurrences add up, and what it cannot read enables
        nothing, so that an empty override may come out.
        """
        texts = parameter_values(args)
        if not texts:
            return None
        ids: list[Id] = []
        words: set[str] = set()
        for text in texts:
            words |= _read_like_the_kernel(text, ids)
        return cls(DOWNSTREAM in words, MULTIFUNCTION in words, frozenset(ids))

    def __or__(self, other: Override) -> Override:
        return Override(
            self.downstream or other.downstream, self.multifunction or other.multifunction, self.ids | other.ids
        )

    def __bool__(self) -> bool:
        return self.downstream or self.multifunction or bool(self.ids)

    @property
    def values(self) -> tuple[str, ...]:
        """The words behind ``pcie_acs_override=``, in a fixed order; :meth:`parse` reads them."""
        words = [word for word, on in ((DOWNSTREAM, self.downstream), (MULTIFUNCTION, self.multifunction)) if on]
        return (*words, *(f"id:{vendor}:{device}" for vendor, device in sorted(self.ids)))

    def __str__(self) -> str:
        return f"{PARAMETER}={','.join(self.values)}" if self else ""


def parameter_values(args: t.Iterable[str]) -> list[str]:
    """What stands behind each ``pcie_acs_override=`` that the kernel would read: none behind ``--``, which begins
    the arguments of init (``parse_args`` in kernel/params.c)."""
    values: list[str] = []
    for argument in args:
        if argument == "--":
            break
        _key, equals, value = argument.strip('"').partition("=")
        if key(argument) == PARAMETER and equals:
            values.append(value.strip('"'))
    return values


def _read_like_the_kernel(text: str, ids: list[Id]) -> set[str]:
    """The words that take effect (``pcie_acs_override_setup`` of the patch); ids are added to ``ids``."""
    words: set[str] = set()
    while text:
        words |= {word for word in (DOWNSTREAM, MULTIFUNCTION) if text.startswith(word)}
        if text.startswith("id:") and len(ids) < MAX_IDS:
            text = _read_id(text[len("id:") :], ids)
        text = text.partition(",")[2]
    return words


def _read_id(text: str, ids: list[Id]) -> str:
    """Read ``8086:a12f`` and give back the text from where the kernel goes on looking for a comma.

    The device is looked for behind the next colon wherever that is, so that an id without one swallows what
    follows up to the next id.
    """
    vendor = _hex_of_four_characters(text)
    if vendor is None:
        return text
    _vendor, colon, rest = text.partition(":")
    if not colon:
        return ""
    device = _hex_of_four_characters(rest)
    if device is not None:
        ids.append((vendor, device))
    return rest


def _hex_of_four_characters(text: str) -> str | None:
    match = _HEX_NUMBER.fullmatch(text[:4])
    if match is None:
        return None
    number = int(match.group(2), 16)
    return f"{(-number if match.group(1) == '-' else number) & 0xFFFF:04x}"

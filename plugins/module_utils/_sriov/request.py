# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What is wanted of one PF, in one form for the module, the plan and the ledger. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.values import (
    as_bool,
    as_int,
    as_list,
    as_mapping,
)

LINK_STATES = ("auto", "enable", "disable")
LEGACY = "legacy"
SWITCHDEV = "switchdev"

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_LAST_VLAN = 4094
_LAST_QOS = 7


@dataclasses.dataclass(frozen=True)
class VfSettings:
    """Settings of one VF that its PF makes; ``None`` leaves one alone. ``vlan`` 0 is none."""

    mac: str | None = None
    vlan: int | None = None
    qos: int | None = None
    trust: bool | None = None
    spoof_check: bool | None = None
    link_state: str | None = None

    @classmethod
    def parse(cls, data: t.Mapping[str, t.Any], option: str) -> VfSettings:
        """From the options of the same names; raises :class:`InputError` naming ``option``."""
        given = {name: data[name] for name in SETTINGS if data.get(name) is not None}
        found = cls(
            mac=parse_mac(given["mac"], f"{option}.mac") if "mac" in given else None,
            vlan=_up_to(given["vlan"], f"{option}.vlan", _LAST_VLAN) if "vlan" in given else None,
            qos=_up_to(given["qos"], f"{option}.qos", _LAST_QOS) if "qos" in given else None,
            trust=as_bool(given["trust"], f"{option}.trust") if "trust" in given else None,
            spoof_check=as_bool(given["spoof_check"], f"{option}.spoof_check") if "spoof_check" in given else None,
            link_state=_link_state(given["link_state"], f"{option}.link_state") if "link_state" in given else None,
        )
        if found.qos and not found.vlan:
            raise InputError(f"{option}.qos is {found.qos} without a vlan: the priority is part of the VLAN tag")
        return found

    def to_json(self) -> dict[str, t.Any]:
        """Only what is set."""
        return {name: value for name, value in vars(self).items() if value is not None}


SETTINGS = tuple(field.name for field in dataclasses.fields(VfSettings))


@dataclasses.dataclass(frozen=True)
class PfRequest:
    """``vfs`` maps the number of a VF to its settings; ``eswitch`` is ``legacy``, ``switchdev``, or ``None`` to leave
    it alone. Without ``autoprobe`` the kernel gives no driver of the host to a VF."""

    numvfs: int
    autoprobe: bool = False
    eswitch: str | None = None
    vfs: t.Mapping[int, VfSettings] = dataclasses.field(default_factory=dict)

    @classmethod
    def parse(cls, data: t.Mapping[str, t.Any], option: str) -> PfRequest:
        """From ``numvfs``, ``autoprobe``, ``switchdev`` and ``vfs`` (a list with an ``index`` each)."""
        if data.get("numvfs") is None:
            raise InputError(f"{option} has no numvfs: expected how many VFs there shall be")
        numvfs = as_int(data["numvfs"], f"{option}.numvfs", 0)
        vfs: dict[int, VfSettings] = {}
        for entry in as_list(data.get("vfs") or [], f"{option}.vfs"):
            known = as_mapping(entry, f"{option}.vfs: an entry")
            unknown = sorted(set(known) - {"index", *SETTINGS})
            if unknown:
                expected = ", ".join(("index", *SETTINGS))
                raise InputError(f"{option}.vfs has an entry with '{unknown[0]}': expected {expected}")
            index = as_int(known.get("index"), f"{option}.vfs.index", 0)
            if index >= numvfs:
                raise InputError(f"{option}.vfs names VF {index} of {numvfs}: the first is 0, the last {numvfs - 1}")
            if index in vfs:
                raise InputError(f"{option}.vfs names VF {index} twice: expected one entry for each")
            vfs[index] = VfSettings.parse(known, f"{option}.vfs[{index}]")
        _refuse_twins(vfs, option)
        switchdev = data.get("switchdev")
        eswitch = None
        if switchdev is not None:
            eswitch = SWITCHDEV if as_bool(switchdev, f"{option}.switchdev") else LEGACY
        autoprobe = data.get("autoprobe")
        return cls(
            numvfs,
            DEFAULT_AUTOPROBE if autoprobe is None else as_bool(autoprobe, f"{option}.autoprobe"),
            eswitch,
            dict(sorted((index, settings) for index, settings in vfs.items() if settings.to_json())),
        )

    def to_json(self) -> dict[str, t.Any]:
        """The options that :meth:`parse` takes."""
        return {
            "numvfs": self.numvfs,
            "autoprobe": self.autoprobe,
            "switchdev": None if self.eswitch is None else self.eswitch == SWITCHDEV,
            "vfs": [{"index": index, **settings.to_json()} for index, settings in self.vfs.items()],
        }


DEFAULT_AUTOPROBE = False


def parse_mac(value: t.Any, option: str) -> str:
    """A unicast address in lower case with colons."""
    text = str(value).strip().lower().replace("-", ":")
    if _MAC.fullmatch(text) is None:
        raise InputError(f"{option} is '{value}': expected an address such as 52:54:00:aa:00:10, in quotes")
    if int(text[:2], 16) & 1 or text == "00:00:00:00:00:00":
        raise InputError(f"{option} is '{value}': no card has a group address or zeros for its own")
    return text


def _up_to(value: t.Any, option: str, last: int) -> int:
    number = as_int(value, option, 0)
    if number > last:
        raise InputError(f"{option} is '{value}': expected {last} or less")
    return number


def _link_state(value: t.Any, option: str) -> str:
    if value not in LINK_STATES:
        raise InputError(f"{option} is '{value}': expected {', '.join(LINK_STATES)}")
    return str(value)


def _refuse_twins(vfs: t.Mapping[int, VfSettings], option: str) -> None:
    owners: dict[str, int] = {}
    for index, settings in vfs.items():
        if settings.mac is not None and owners.setdefault(settings.mac, index) != index:
            raise InputError(
                f"{option}.vfs gives {settings.mac} to VF {owners[settings.mac]} and to VF {index}: expected one each"
            )

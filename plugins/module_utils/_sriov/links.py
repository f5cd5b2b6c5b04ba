# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Settings of VFs as iproute2 shows and takes them."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.request import VfSettings

# By path: not every connection has them in PATH.
IP = "/sbin/ip"
DEVLINK = "/sbin/devlink"


def read_links(run: Runner, interface: str | None = None) -> dict[str, dict[int, VfSettings]]:
    """The VFs of every interface that has some, by the interface's name and their numbers."""
    only = [] if interface is None else ["dev", interface]
    result = run_checked(run, [IP, "-json", "-details", "link", "show", *only], "Reading the settings of VFs failed")
    return parse_links(result.stdout)


def parse_links(text: str) -> dict[str, dict[int, VfSettings]]:
    """What ``ip -json -details link show`` printed; raises :class:`ToolError` for anything else."""
    try:
        links = json.loads(text or "[]")
        return {
            link["ifname"]: {vf["vf"]: _settings(vf) for vf in link["vfinfo_list"]}
            for link in links
            if link.get("vfinfo_list")
        }
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise ToolError(f"'{IP} -json link show' printed what cannot be understood: {exc!r}") from exc


def _settings(vf: t.Mapping[str, t.Any]) -> VfSettings:
    # Since Linux 5.1 the kernel tells the kind of link, and iproute2 calls the address otherwise.
    mac = vf.get("address", vf.get("mac"))
    vlans = vf.get("vlan_list") or [vf]
    return VfSettings(
        mac=None if mac is None else str(mac).lower(),
        vlan=int(vlans[0].get("vlan", 0)),
        qos=int(vlans[0].get("qos", 0)),
        trust=vf.get("trust"),
        spoof_check=vf.get("spoofchk"),
        link_state=vf.get("link_state"),
    )


def differing(wanted: VfSettings, present: VfSettings) -> list[str]:
    """The names of the settings to be made, in the order in which they are made; VLAN and priority are one."""
    names = [name for name, value in wanted.to_json().items() if getattr(present, name) != value]
    return ["vlan" if name == "qos" else name for name in names if name != "qos" or "vlan" not in names]


def words(settings: VfSettings, name: str) -> list[str]:
    """One setting as ``ip link set dev PF vf N`` takes it."""
    value = getattr(settings, name)
    if name == "vlan":
        return ["vlan", str(value or 0), "qos", str(settings.qos or 0)]
    if name in _SWITCHES:
        return [_SWITCHES[name], "on" if value else "off"]
    return ["state" if name == "link_state" else name, str(value)]


_SWITCHES: t.Final[t.Mapping[str, str]] = {"trust": "trust", "spoof_check": "spoofchk"}


def set_vf(run: Runner, interface: str, index: int, settings: VfSettings, name: str) -> None:
    """Make one setting; raises :class:`ToolError` with the driver's answer."""
    argv = [IP, "link", "set", "dev", interface, "vf", str(index), *words(settings, name)]
    run_checked(run, argv, f"Setting {name} of VF {index} of {interface} failed")


def read_eswitch(run: Runner, address: str) -> str | None:
    """``legacy`` or ``switchdev``; ``None`` for a card whose driver has no such switch."""
    result = run([DEVLINK, "-json", "dev", "eswitch", "show", f"pci/{address}"])
    if result.rc != 0:
        return None
    try:
        (mode,) = [entry["mode"] for entry in json.loads(result.stdout)["dev"].values()]
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise ToolError(f"'{DEVLINK} -json dev eswitch show' printed what cannot be understood: {exc!r}") from exc
    return str(mode)


def set_eswitch(run: Runner, address: str, mode: str) -> None:
    """Switch the card's embedded switch; raises :class:`ToolError` with the driver's answer."""
    argv = [DEVLINK, "dev", "eswitch", "set", f"pci/{address}", "mode", mode]
    run_checked(run, argv, f"Setting the embedded switch of {address} to {mode} failed")

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The settings of network interfaces that go away with their device, kept for its return on the running host.

Static addresses, MTU, master and whether it was up. Routes, VLANs on top, link settings and leased addresses are not
kept: a reboot, or whoever configured them, brings those back. Nothing here stops a release, which is done by then.
"""

from __future__ import annotations

import dataclasses
import json
import time
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner, run_checked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.links import IP

# udev gives an interface its name some time after the driver made it.
_WAIT_SECONDS = 5.0
_STEP_SECONDS = 0.25


@dataclasses.dataclass(frozen=True)
class Settings:
    """Of one interface; ``addresses`` with their prefix lengths (``192.0.2.5/24``), in the order of the kernel."""

    name: str
    mtu: int | None
    up: bool
    master: str | None
    addresses: tuple[str, ...]

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> Settings:
        return cls(data["name"], data["mtu"], data["up"], data["master"], tuple(data["addresses"]))

    def to_json(self) -> dict[str, t.Any]:
        return {**dataclasses.asdict(self), "addresses": list(self.addresses)}

    @property
    def is_plain(self) -> bool:
        """Whether nobody has configured it."""
        return not (self.up or self.master or self.addresses)


def parse_settings(text: str) -> dict[str, Settings]:
    """What ``ip -json address show`` printed, by interface; raises :class:`ToolError` for anything else.

    Leased addresses (``dynamic``) are their client's, link-local ones the kernel's.
    """
    try:
        return {
            link["ifname"]: Settings(
                link["ifname"],
                link.get("mtu"),
                "UP" in link.get("flags", ()),
                link.get("master"),
                tuple(
                    f"{one['local']}/{one['prefixlen']}"
                    for one in link.get("addr_info", ())
                    if one and not one.get("dynamic") and one.get("scope") != "link"
                ),
            )
            for link in json.loads(text or "[]")
            # iproute2 prints empty objects for what it leaves out.
            if link
        }
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ToolError(f"'{IP} -json address show' printed what cannot be understood: {exc!r}") from exc


def read_settings(run: Runner) -> dict[str, Settings]:
    result = run_checked(run, [IP, "-json", "address", "show"], "Reading the addresses of network interfaces failed")
    return parse_settings(result.stdout)


def interfaces_of(root: Root, address: Address) -> list[str]:
    """By name; those of virtio hang below a device of the virtio bus."""
    device = f"/sys/bus/pci/devices/{address}"
    places = [device, *(f"{device}/{name}" for name in root.listdir(device) if name.startswith("virtio"))]
    return sorted(name for place in places for name in root.listdir(f"{place}/net"))


def kept_settings(root: Root, run: Runner, addresses: t.Iterable[Address]) -> dict[Address, list[dict[str, t.Any]]]:
    """What the configured interfaces of these functions have, for the ledger. Starts ``ip`` only where there are
    interfaces."""
    names = {address: interfaces_of(root, address) for address in addresses}
    if not any(names.values()):
        return {}
    found = read_settings(run)
    kept = {
        address: [found[name].to_json() for name in held if name in found and not found[name].is_plain]
        for address, held in names.items()
    }
    return {address: settings for address, settings in kept.items() if settings}


def bring_back(
    root: Root, run: Runner, kept: t.Mapping[Address, t.Iterable[t.Mapping[str, t.Any]]], wait: bool = True
) -> list[str]:
    """Give interfaces that are back what nobody else gave them; tells of each what it still lacks."""
    return [
        note
        for address, settings in sorted(kept.items())
        for one in settings
        for note in _bring_back(root, run, address, Settings.from_json(one), wait)
    ]


def _bring_back(root: Root, run: Runner, address: Address, wanted: Settings, wait: bool) -> t.Iterator[str]:
    if not _appeared(root, address, wanted.name, wait):
        there = ", ".join(interfaces_of(root, address)) or "no interface"
        yield f"{wanted.name} of {address} is not back ({there} is there). It had {_in_words(wanted)}"
        return
    manager = managed_by(root, wanted.name)
    if manager is not None:
        yield f"{wanted.name} of {address} is back, {manager} configures it. It had {_in_words(wanted)}"
        return
    try:
        for arguments in commands(wanted, read_settings(run).get(wanted.name)):
            # What fails is found missing below.
            run([IP, *arguments])
        lacking = missing(wanted, read_settings(run).get(wanted.name))
    except ToolError as exc:
        yield f"{wanted.name} of {address} is back, it had {_in_words(wanted)}. {exc}"
        return
    if lacking:
        yield f"{wanted.name} of {address} is back without {', '.join(lacking)}: set that by hand"


def missing(wanted: Settings, present: Settings | None) -> list[str]:
    """What ``present`` lacks of ``wanted``, as people say it."""
    if present is None:
        return [_in_words(wanted)]
    lacking = [f"address {one}" for one in wanted.addresses if one not in present.addresses]
    if wanted.mtu not in (None, present.mtu):
        lacking.append(f"MTU {wanted.mtu}")
    if wanted.master not in (None, present.master):
        lacking.append(f"master {wanted.master}")
    if wanted.up and not present.up:
        lacking.append("being up")
    return lacking


def commands(wanted: Settings, present: Settings | None) -> list[list[str]]:
    """Arguments of ``ip`` that bring what is missing: a bond takes only what is down, an address may need the MTU."""
    if present is None:
        return []
    found = []
    if wanted.mtu not in (None, present.mtu):
        found.append(["link", "set", "dev", wanted.name, "mtu", str(wanted.mtu)])
    if wanted.master not in (None, present.master):
        found.append(["link", "set", "dev", wanted.name, "master", str(wanted.master)])
    if wanted.up and not present.up:
        found.append(["link", "set", "dev", wanted.name, "up"])
    lacking = [one for one in wanted.addresses if one not in present.addresses]
    return [*found, *(["address", "add", one, "dev", wanted.name] for one in lacking)]


def managed_by(root: Root, name: str) -> str | None:
    """Who configures the interface: systemd-networkd (sd-network.h: ``ADMIN_STATE`` below ``/run/systemd/netif``) or
    NetworkManager (``managed`` in ``/run/NetworkManager/devices``), both by its number; ``None`` for neither."""
    number = root.read_word(f"/sys/class/net/{name}/ifindex")
    networkd = root.read_text(f"/run/systemd/netif/links/{number}") or ""
    states = [line.partition("=")[2] for line in networkd.splitlines() if line.startswith("ADMIN_STATE=")]
    if states and states[-1] not in ("", "unmanaged"):
        return "systemd-networkd"
    manager = root.read_text(f"/run/NetworkManager/devices/{number}") or ""
    return "NetworkManager" if "managed=true" in manager.splitlines() else None


def _appeared(root: Root, address: Address, name: str, wait: bool) -> bool:
    deadline = time.monotonic() + (_WAIT_SECONDS if wait else 0)
    while name not in interfaces_of(root, address):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_STEP_SECONDS)
    return True


def _in_words(settings: Settings) -> str:
    words = [f"address {one}" for one in settings.addresses]
    words += [f"MTU {settings.mtu}"] if settings.mtu is not None else []
    words += [f"master {settings.master}"] if settings.master is not None else []
    return ", ".join([*words, "and was up" if settings.up else "and was down"])

# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""From what an operator wrote under ``vfio_devices`` to the functions of one host. Pure; runs on the controller.

jmespath and netaddr are needed only by the selectors that use them (``query``, ``mac``).
"""

from __future__ import annotations

import collections.abc
import dataclasses
import types
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.allow import device_keys
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import Refusal
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.values import (
    as_bool,
    as_int,
    as_list,
    as_mapping,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._sriov.addresses import foreseen_vfs

jmespath: types.ModuleType | None
try:
    import jmespath
    import jmespath.exceptions
except ImportError:
    jmespath = None

netaddr: types.ModuleType | None
try:
    import netaddr
except ImportError:
    netaddr = None

_ENTRY_KEYS = frozenset({"name", "match", "functions", "count", "allow"})
_FUNCTIONS = ("matched", "all", "group")
# They name VFs by their PF, which also works before there are any; other selectors look at what is there.
VF_SELECTORS = ("vf_of", "vf")
EVERY = "all"


class UnresolvedDeviceError(Exception):
    """A component asked for a device name that did not resolve; its refusal is reported where it belongs."""


class Selection(collections.abc.Mapping):  # type: ignore[type-arg]  # Mapping[...] as a base needs Python 3.9.2
    """Names to functions; a name that was refused raises :class:`UnresolvedDeviceError` instead of ``KeyError``."""

    def __init__(self, functions: t.Mapping[str, tuple[Device, ...]]) -> None:
        self._functions = functions

    def __getitem__(self, name: str) -> tuple[Device, ...]:
        try:
            return self._functions[name]
        except KeyError:
            raise UnresolvedDeviceError(name) from None

    def __iter__(self) -> t.Iterator[str]:
        return iter(self._functions)

    def __len__(self) -> int:
        return len(self._functions)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """One entry of ``vfio_devices``; ``count`` is ``None`` for any number but none."""

    name: str
    match: t.Mapping[str, t.Any]
    functions: str = "matched"
    count: int | None = 1
    allow: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: t.Any) -> Wanted:
        """One entry as it was written; raises :class:`InputError` naming what is wrong with it."""
        entry = as_mapping(data, "vfio_devices: an entry")
        unknown = sorted(set(entry) - _ENTRY_KEYS)
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            raise InputError(f"vfio_devices: {dict(entry)} has no name; domains use it to refer to the device")
        if unknown:
            raise InputError(
                f"vfio_devices '{name}': unknown key {unknown[0]}; expected {', '.join(sorted(_ENTRY_KEYS))}"
            )
        match = parse_match(entry.get("match"), f"vfio_devices '{name}'", (*SELECTORS, *VF_SELECTORS))
        vf_selectors = [selector for selector in match if selector in VF_SELECTORS]
        if vf_selectors and ("vf_of" not in match or len(vf_selectors) != len(match)):
            raise InputError(f"vfio_devices '{name}': match has {', '.join(match)}; expected vf_of, with or without vf")
        functions = entry.get("functions") or "matched"
        if functions not in _FUNCTIONS:
            raise InputError(f"vfio_devices '{name}': functions is {functions!r}; expected {', '.join(_FUNCTIONS)}")
        if vf_selectors and functions == "group":
            raise InputError(f"vfio_devices '{name}': functions: group goes with no VFs; name each with vf_of and vf")
        return cls(
            name,
            match,
            functions,
            _count(entry.get("count", EVERY if vf_selectors else None), f"vfio_devices '{name}': count"),
            device_keys(entry.get("allow"), f"vfio_devices '{name}': allow"),
        )


def parse_match(match: t.Any, option: str, known: t.Collection[str]) -> t.Mapping[str, t.Any]:
    """``match`` of an entry; raises :class:`InputError` for none and for a selector that is not ``known``."""
    if not isinstance(match, collections.abc.Mapping) or not match:
        raise InputError(f"{option}: match is missing or empty; expected at least one selector, such as address")
    for selector in match:
        if selector not in known:
            raise InputError(f"{option}: unknown selector {selector}; expected {', '.join(sorted(known))}")
    return match


def _count(value: t.Any, option: str) -> int | None:
    if value is None:
        return 1
    return None if value == EVERY else as_int(value, option, 1)


def parse_entries(entries: t.Any) -> list[Wanted]:
    """``vfio_devices`` as values, ``None`` as an empty list. Raises :class:`InputError` for what cannot be meant."""
    wanted = [Wanted.parse(entry) for entry in ([] if entries is None else as_list(entries, "vfio_devices"))]
    names = [entry.name for entry in wanted]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"vfio_devices: the name '{twice}' stands twice; expected every name once")
    return wanted


class Mates(t.Protocol):
    """The other members of a function's IOMMU group, bridges included."""

    def __call__(self, device: Device, /) -> t.Iterable[Device]: ...


def _no_mates(_device: Device) -> tuple[Device, ...]:
    return ()


def select(
    entries: t.Any,
    devices: t.Sequence[Device],
    pfs: t.Mapping[str, tuple[Device, int]] | None = None,
    mates: Mates = _no_mates,
) -> tuple[Selection, tuple[Refusal, ...]]:
    """Resolve every entry. Raises :class:`InputError` for a malformed one; what the host decides is a refusal.

    ``pfs`` maps the names of ``sriov_devices`` to the PF and the number of VFs that it is to have; one that is not
    there yet is selected as it is foreseen. ``mates`` is for ``functions: group``.
    """
    wanted = parse_entries(entries)
    resolved: dict[str, tuple[Device, ...]] = {}
    refusals: list[Refusal] = []
    for entry in wanted:
        if "vf_of" in entry.match:
            found, refusal = _resolve_vfs(entry, devices, pfs or {})
        else:
            found, refusal = resolve(entry, devices, mates)
        if refusal is not None:
            refusals.append(refusal)
        else:
            resolved[entry.name] = found
    refusals += _shared_functions(resolved)
    return Selection(resolved), tuple(refusals)


def resolve(
    entry: Wanted, devices: t.Sequence[Device], mates: Mates = _no_mates
) -> tuple[tuple[Device, ...], Refusal | None]:
    """The functions of one entry that looks at what is there, or why there are none."""
    matching = [
        device for device in devices if all(SELECTORS[key](device, value) for key, value in entry.match.items())
    ]
    endpoints = [device for device in matching if not device.is_bridge]
    if matching and not endpoints:
        bridges = ", ".join(str(device.address) for device in matching)
        return (), Refusal(
            str(matching[0].address), f"'{entry.name}' matches {bridges}, a bridge: bridges always stay with the host"
        )
    if not endpoints or entry.count not in (None, len(endpoints)):
        return (), _wrong_number(entry, endpoints, devices)
    if entry.functions == "all":
        slots = {device.address.slot for device in endpoints}
        endpoints = [device for device in devices if device.address.slot in slots and not device.is_bridge]
    if entry.functions == "group":
        together = {device.address for device in endpoints}
        together |= {mate.address for device in endpoints for mate in mates(device)}
        endpoints = [device for device in devices if device.address in together and not device.is_bridge]
    return tuple(endpoints), None


def _resolve_vfs(
    entry: Wanted, devices: t.Sequence[Device], pfs: t.Mapping[str, tuple[Device, int]]
) -> tuple[tuple[Device, ...], Refusal | None]:
    name = _text(entry.match["vf_of"], "vf_of")
    if name in pfs:
        pf, numvfs = pfs[name]
    else:
        found = _pf_at(name, devices, pfs)
        if found is None:
            reason = f"'{entry.name}' wants VFs of '{name}', which is no PF of this host and no entry of sriov_devices"
            return (), Refusal(None, reason)
        pf, numvfs = found
    wanted = _vf_numbers(entry.match.get("vf"))
    beyond = [index for index in wanted or () if index >= numvfs]
    if beyond or not numvfs:
        reason = f"'{entry.name}' wants VF {beyond[0] if beyond else 0} of {pf.address}, which has {numvfs}, from 0 on"
        return (), Refusal(str(pf.address), reason)
    vfs = foreseen_vfs(pf, numvfs, devices)
    if vfs is None:
        reason = (
            f"'{entry.name}': {pf.address} does not tell where its VFs will be before it has some. "
            "Make the VFs first (sriov_devices), then select them here"
        )
        return (), Refusal(str(pf.address), reason)
    chosen = vfs if wanted is None else tuple(vfs[index] for index in sorted(set(wanted)))
    if entry.count not in (None, len(chosen)):
        return (), Refusal(str(pf.address), f"'{entry.name}' selects {len(chosen)} VFs, expected {entry.count}")
    return chosen, None


def _pf_at(
    name: str, devices: t.Iterable[Device], pfs: t.Mapping[str, tuple[Device, int]]
) -> tuple[Device, int] | None:
    try:
        address = Address.parse(name)
    except InputError:
        return None
    managed = next((found for found in pfs.values() if found[0].address == address), None)
    present = (device for device in devices if device.address == address and device.sriov_totalvfs is not None)
    return managed or next(((device, device.sriov_numvfs or 0) for device in present), None)


def _vf_numbers(value: t.Any) -> list[int] | None:
    if value is None:
        return None
    return [as_int(index, "vf", 0) for index in (value if isinstance(value, (list, tuple)) else [value])]


def _wrong_number(entry: Wanted, found: t.Sequence[Device], devices: t.Sequence[Device]) -> Refusal:
    selector = ", ".join(f"{key}: {value}" for key, value in entry.match.items())
    if found:
        listing = ", ".join(_describe(device) for device in found)
        return Refusal(
            None,
            f"'{entry.name}' ({selector}) matches {len(found)} devices, expected {entry.count}: {listing}. "
            f"Add a selector that tells them apart, or set count: {len(found)} to take them all",
        )
    nearby = _device_at(entry, devices)
    if nearby is not None:
        return Refusal(
            str(nearby.address),
            f"'{entry.name}' ({selector}): other than expected, there sits {_describe(nearby)}",
        )
    return Refusal(None, f"'{entry.name}' ({selector}) matches no device of this host")


def _device_at(entry: Wanted, devices: t.Sequence[Device]) -> Device | None:
    if "address" not in entry.match:
        return None
    address = Address.parse(str(entry.match["address"]))
    return next((device for device in devices if device.address == address), None)


def _describe(device: Device) -> str:
    details = [f"{device.identity.vendor_id}:{device.identity.device_id}"]
    if device.name:
        details.append(device.name)
    if device.mac:
        details.append(f"MAC {device.mac}")
    return f"{device.address} ({', '.join(details)})"


def _shared_functions(resolved: t.Mapping[str, tuple[Device, ...]]) -> t.Iterator[Refusal]:
    owner: dict[Address, str] = {}
    for name, functions in resolved.items():
        for device in functions:
            first = owner.setdefault(device.address, name)
            if first != name:
                yield Refusal(str(device.address), f"'{first}' and '{name}' both select {device.address}")


def _text(value: t.Any, selector: str) -> str:
    """What YAML left as text: without quotes it makes 60.0 of 0000:01:00.0, and of a MAC address a number that netaddr
    takes for another MAC address."""
    if not isinstance(value, str):
        raise InputError(f"{selector} is {value!r}: YAML made that of what was written, so put it in quotes")
    return value


def _by_address(device: Device, value: t.Any) -> bool:
    return device.address == Address.parse(_text(value, "address"))


def _by_ids(value: t.Any, selector: str, vendor: str, product: str) -> bool:
    wanted = _text(value, selector).lower().replace("0x", "")
    parts = wanted.split(":")
    if len(parts) != 2 or any(len(part) != 4 or not _is_hexadecimal(part) for part in parts):
        raise InputError(f"{selector} is '{value}'; expected two ids of four hex digits such as 8086:10d3")
    return parts == [vendor, product]


def _is_hexadecimal(text: str) -> bool:
    return all(character in "0123456789abcdef" for character in text)


def _by_vendor_device(device: Device, value: t.Any) -> bool:
    return _by_ids(value, "vendor_device", device.identity.vendor_id, device.identity.device_id)


def _by_subsystem(device: Device, value: t.Any) -> bool:
    return _by_ids(value, "subsystem", device.identity.subsystem_vendor_id, device.identity.subsystem_device_id)


def _by_class(device: Device, value: t.Any) -> bool:
    wanted = _text(value, "class").lower().replace("0x", "")
    if len(wanted) not in (2, 4) or not _is_hexadecimal(wanted):
        raise InputError(f"class is '{value}'; expected a base class (03) or a class (0300) in quotes")
    return device.class_code.startswith(wanted)


def _by_driver(device: Device, value: t.Any) -> bool:
    return device.native_driver == str(value)


def _by_mac(device: Device, value: t.Any) -> bool:
    if netaddr is None:
        raise InputError("the selector mac needs the Python package netaddr on the controller: pip install netaddr")
    try:
        wanted = netaddr.EUI(_text(value, "mac"), version=48)
    except netaddr.core.AddrFormatError:
        raise InputError(f"mac is '{value}'; expected an address such as 52:54:00:aa:00:10") from None
    # An InfiniBand interface has an address of twenty octets.
    return device.mac is not None and device.mac.count(":") == 5 and bool(netaddr.EUI(device.mac) == wanted)


def _by_slot(device: Device, value: t.Any) -> bool:
    return device.slot == str(value)


def _by_serial(device: Device, value: t.Any) -> bool:
    wanted = _text(value, "serial").lower().replace("-", "").replace(":", "")
    if len(wanted) != 16 or not _is_hexadecimal(wanted):
        raise InputError(f"serial is '{value}'; expected a PCIe device serial number of sixteen hex digits")
    return device.identity.serial == wanted


def _by_numa_node(device: Device, value: t.Any) -> bool:
    return device.numa_node == as_int(value, "numa_node", 0)


def _by_boot_vga(device: Device, value: t.Any) -> bool:
    return device.boot_vga is as_bool(value, "boot_vga")


def _by_query(device: Device, value: t.Any) -> bool:
    if jmespath is None:
        raise InputError("the selector query needs the Python package jmespath on the controller: pip install jmespath")
    facts = device.to_json()
    try:
        expression = jmespath.compile(str(value))
        unknown = sorted(_fields(expression.parsed) - set(facts))
        if unknown:
            raise InputError(
                f"query '{value}' asks for '{unknown[0]}', which no device has; known are {', '.join(sorted(facts))}"
            )
    except jmespath.exceptions.JMESPathError as exc:
        raise InputError(f"query '{value}' is no JMESPath expression: {exc}") from None
    try:
        answer = expression.search(facts)
    except jmespath.exceptions.JMESPathError as exc:
        raise InputError(
            f"query '{value}' cannot be asked of {device.address}: {exc}. What a device lacks is null there: ask for "
            "it first, as in mac && starts_with(mac, '52:54')"
        ) from None
    if answer and answer is not True:
        raise InputError(
            f"query '{value}' gives {answer!r} for {device.address}; expected a condition such as a == 'b'"
        )
    return bool(answer)


def _fields(node: t.Any) -> set[str]:
    """The fields of a device that a parsed JMESPath expression starts from (not those inside a field's value)."""
    if not isinstance(node, dict):
        return set()
    if node.get("type") == "field":
        return {node["value"]}
    children = node.get("children", [])
    if node.get("type") in (
        "subexpression",
        "pipe",
        "index_expression",
        "projection",
        "value_projection",
        "filter_projection",
    ):
        children = children[:1]
    return {field for child in children for field in _fields(child)}


SELECTORS: t.Final[t.Mapping[str, t.Callable[[Device, t.Any], bool]]] = {
    "address": _by_address,
    "vendor_device": _by_vendor_device,
    "subsystem": _by_subsystem,
    "class": _by_class,
    "driver": _by_driver,
    "mac": _by_mac,
    "slot": _by_slot,
    "serial": _by_serial,
    "numa_node": _by_numa_node,
    "boot_vga": _by_boot_vga,
    "query": _by_query,
}
